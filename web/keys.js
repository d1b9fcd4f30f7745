// All keys of the desk come through here, once. What composes a character, what is held down and what belongs to the
// browser is sorted out before any part of the desk sees a key; so no part can forget it.

const LETTER = /^[\p{L}\p{M}]+$/u;
const DIGIT = /^\p{Nd}$/u;
const NAMED = /^[A-Z][A-Za-z0-9]+$/;
const UNSAID = ["Dead", "Process", "Unidentified", "Compose"]; // half of a character, or none yet
// Signs as other scripts write them; full-width ones are folded by NFKC.
const SIGNS = { "؟": "?", "،": ",", "、": ",", "。": ".", "−": "-", "–": "-" };
const SAME_PRESS_MS = 1;

// ---- composing (Japanese, Chinese, Korean): the Enter that ends it is no Enter of ours

let entered = false; // an Enter came while it was composed
let ended = -Infinity; // when the last composition ended without one

document.addEventListener("compositionstart", () => (entered = false), true);
document.addEventListener("compositionend", (event) => (ended = entered ? -Infinity : event.timeStamp), true);

const isEnter = ({ key, code }) => key === "Enter" || /Enter$/.test(code); // Windows calls it Process while composing

function composes(event) {
  if (event.isComposing || event.keyCode === 229) {
    entered ||= isEnter(event);
    return true;
  }
  // Safari ends the composition before it tells of the key that ended it. Once: a second Enter is meant.
  const same = isEnter(event) && event.timeStamp - ended < SAME_PRESS_MS;
  ended = -Infinity;
  return same;
}

// ---- digits: by what is printed on the key, where the layout has other signs there (AZERTY, Czech)

const WITH_SHIFT = ")!@#$%^&*("; // above 0 to 9 on most keyboards
let plain = null; // whether the row of digits gives digits without Shift; null: not seen yet

function digitOf(event) {
  const { key, code, shiftKey } = event;
  const place = /^Digit(\d)$/.exec(code)?.[1];
  const said = DIGIT.test(key);
  const caps = event.getModifierState("CapsLock"); // turns Shift round on AZERTY
  if (place > 0 && !shiftKey && !caps && key !== WITH_SHIFT[place]) plain = said;
  if (said) return valueOf(key);
  if (key === WITH_SHIFT[place]) return null; // keyboards on a screen do not always say that Shift was down
  if (!place || (shiftKey && !(caps && plain === false))) return null;
  // Thai and Armenian write letters there, of which words are made. Hungarian has its 0 elsewhere, and ö here.
  if (LETTER.test(key) && !/^\p{Script=Latin}/u.test(key)) return null;
  if (place === "0" && (plain || /^ö$/i.test(key))) return null;
  return Number(place);
}

function valueOf(digit) {
  const folded = digit.normalize("NFKC");
  if (folded >= "0" && folded <= "9") return Number(folded);
  let zero = digit.codePointAt(0); // each script's digits stand in a row, the zero first
  while (DIGIT.test(String.fromCodePoint(zero - 1)) && digit.codePointAt(0) - zero < 9) zero -= 1;
  return digit.codePointAt(0) - zero;
}

// ---- a key as the desk sees it

// name: Enter, Escape, F2 ..., or Undo; digit: 0 to 9; sign: one character; letter: whether it begins a label.
function read(event) {
  const { key, ctrlKey, altKey, metaKey, shiftKey, repeat } = event;
  const found = { name: null, digit: null, sign: null, letter: false, repeat };
  const third = event.getModifierState("AltGraph"); // writes letters; on Windows it is Ctrl and Alt as well
  if (third) return LETTER.test(key) && !NAMED.test(key) ? { ...found, letter: true } : null;
  if (ctrlKey !== metaKey && !altKey && !shiftKey && isZ(event)) return { ...found, name: "Undo" };
  if (ctrlKey || altKey || metaKey) return null; // the browser's, or the system's
  if (NAMED.test(key)) return { ...found, name: key }; // the numpad's too, where it moves (NumLock off)
  const digit = digitOf(event);
  if (digit !== null) return { ...found, digit };
  if (LETTER.test(key)) return { ...found, letter: true };
  return { ...found, sign: SIGNS[key] ?? key.normalize("NFKC") };
}

// Where the layout has no Latin letters, it is the key that has the Z.
const isZ = ({ key, code }) => (/^[a-z]$/i.test(key) ? key.toLowerCase() === "z" : code === "KeyZ");

// press(key, event): what the desk does with a key; true: it is done, and the browser does nothing more with it.
export function onKeys(press) {
  const stop = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener("keydown", (event) => {
    if (!event.key) return; // what the browser fills in
    if (composes(event)) {
      if (isEnter(event)) stop(event); // else it would send a form
      return;
    }
    if (UNSAID.includes(event.key)) return;
    // Held down, Enter would press the same button again and again.
    const again = event.repeat && /^(Enter| )$/.test(event.key) && event.target.closest("button, a, summary");
    const key = read(event);
    if (again || (key && press(key, event))) stop(event);
  }, true);
}
