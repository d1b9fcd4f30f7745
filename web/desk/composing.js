// Composing (Japanese, Chinese, Korean): the Enter that ends a composition is not meant for the desk.

const SAME_PRESS_MS = 1;

let entered = false; // an Enter came during the composition
let ended = -Infinity; // when the last composition ended without an Enter

document.addEventListener("compositionstart", () => (entered = false), true);
document.addEventListener("compositionend", (event) => (ended = entered ? -Infinity : event.timeStamp), true);

/** @param {KeyboardEvent} event */
export const isEnter = ({ key, code }) => key === "Enter" || /Enter$/.test(code); // during a composition Windows names the key Process

/**
 * Whether a key belongs to a composition.
 * @param {KeyboardEvent} event
 */
export function composes(event) {
  if (event.isComposing || event.keyCode === 229) {
    entered ||= isEnter(event);
    return true;
  }
  // Safari ends the composition before it reports the key that ended it. Once only: a second Enter counts.
  const same = isEnter(event) && event.timeStamp - ended < SAME_PRESS_MS;
  ended = -Infinity;
  return same;
}
