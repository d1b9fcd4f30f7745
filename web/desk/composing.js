// Composing (Japanese, Chinese, Korean): the Enter that ends it is no Enter of ours.

const SAME_PRESS_MS = 1;

let entered = false; // an Enter came while it was composed
let ended = -Infinity; // when the last composition ended without one

document.addEventListener("compositionstart", () => (entered = false), true);
document.addEventListener("compositionend", (event) => (ended = entered ? -Infinity : event.timeStamp), true);

/** @param {KeyboardEvent} event */
export const isEnter = ({ key, code }) => key === "Enter" || /Enter$/.test(code); // Windows calls it Process while composing

/**
 * Whether a key belongs to a composition.
 * @param {KeyboardEvent} event
 */
export function composes(event) {
  if (event.isComposing || event.keyCode === 229) {
    entered ||= isEnter(event);
    return true;
  }
  // Safari ends the composition before it tells of the key that ended it. Once: a second Enter is meant.
  const same = isEnter(event) && event.timeStamp - ended < SAME_PRESS_MS;
  ended = -Infinity;
  return same;
}
