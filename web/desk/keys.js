// All keys of the desk come through here once. Compositions, held keys and the browser's own keys are sorted out before
// any part of the desk sees a key, so no part can forget them.

import { composes, isEnter } from "./composing.js";
import { LETTER, digitOf } from "./digits.js";
import { around } from "./elements.js";

/**
 * A key as the desk sees it.
 * @typedef {object} Key
 * @property {string | null} name Enter, Escape, F2 ..., or Undo
 * @property {number | null} digit 0 to 9
 * @property {string | null} sign one character
 * @property {boolean} letter whether it begins a label
 * @property {boolean} repeat whether it is held down
 */

const NAMED = /^[A-Z][A-Za-z0-9]+$/;
const MOVES = /^Arrow/; // what may be held down
const UNSAID = ["Dead", "Process", "Unidentified", "Compose"]; // half of a character, or none yet
/** @type {Record<string, string>} as other scripts write them; full-width ones are folded by NFKC */
const SIGNS = { "؟": "?", "،": ",", "、": ",", "。": ".", "−": "-", "–": "-" };

/**
 * @param {KeyboardEvent} event
 * @returns {Key | null} null: it is the browser's
 */
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

/**
 * Where the layout has no Latin letters, it is the key that has the Z.
 * @param {KeyboardEvent} event
 */
const isZ = ({ key, code }) => (/^[a-z]$/i.test(key) ? key.toLowerCase() === "z" : code === "KeyZ");

/** @param {Event} event */
function stop(event) {
  event.preventDefault();
  event.stopPropagation();
}

/**
 * @param {(key: Key, event: KeyboardEvent) => boolean} press what the desk does with a key; true: it is done, and the
 *   browser does nothing more with it
 */
export function onKeys(press) {
  /** @type {string | null} the key that did something, while it is down: it must not write into the field that it opened */
  let did = null;
  document.addEventListener("keydown", (event) => {
    if (!event.key) return; // filled in by the browser
    if (composes(event)) {
      if (isEnter(event)) stop(event); // otherwise it would submit a form
      return;
    }
    if (UNSAID.includes(event.key)) return;
    // Held down, Enter would press the same button repeatedly.
    const again = event.repeat && /^(Enter| )$/.test(event.key) && around(event, "button, a, summary");
    if (again || (event.repeat && event.code === did && !MOVES.test(event.key))) return stop(event);
    const key = read(event);
    const done = Boolean(key && press(key, event));
    if (!event.repeat) did = done ? event.code : null;
    if (done) stop(event);
  }, true);
}
