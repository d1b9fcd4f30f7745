// Digits: the digit printed on the key counts, also where the layout has other signs there (AZERTY, Czech).

export const LETTER = /^[\p{L}\p{M}]+$/u;
const DIGIT = /^\p{Nd}$/u;
const WITH_SHIFT = ")!@#$%^&*("; // above 0 to 9 on most keyboards

/** @type {boolean | null} whether the row of digits gives digits without Shift; null: not seen yet */
let plain = null;

/**
 * The digit that a key means, 0 to 9; null: none.
 * @param {KeyboardEvent} event
 */
export function digitOf(event) {
  const { key, code, shiftKey } = event;
  const digit = /^Digit(\d)$/.exec(code)?.[1];
  const place = digit === undefined ? null : Number(digit);
  const said = DIGIT.test(key);
  const caps = event.getModifierState("CapsLock"); // inverts Shift on AZERTY
  if (place && !shiftKey && !caps && key !== WITH_SHIFT[place]) plain = said;
  if (said) return valueOf(key);
  if (place === null) return null;
  if (key === WITH_SHIFT[place]) return null; // on-screen keyboards do not always report Shift
  if (shiftKey && !(caps && plain === false)) return null;
  // Thai and Armenian have letters there, which words need. Hungarian has its 0 elsewhere, and ö here.
  if (LETTER.test(key) && !/^\p{Script=Latin}/u.test(key)) return null;
  if (place === 0 && (plain || /^ö$/i.test(key))) return null;
  return place;
}

/** @param {string} digit of any script */
function valueOf(digit) {
  const folded = digit.normalize("NFKC");
  if (folded >= "0" && folded <= "9") return Number(folded);
  const code = digit.codePointAt(0) ?? 0;
  let zero = code; // the digits of each script are consecutive, from zero on
  while (DIGIT.test(String.fromCodePoint(zero - 1)) && code - zero < 9) zero -= 1;
  return code - zero;
}
