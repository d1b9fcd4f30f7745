// The keys and buttons of the desk.

import { choose, confirm, flag, isBlurred, noneFits, showText, skip, takeNote, why, whyNext } from "./actions.js";
import { decideFor, undo } from "./deciding.js";
import { inDialog, opened, showHelp } from "./dialogs.js";
import { current, focusText } from "./documents.js";
import { around, at } from "./elements.js";
import { inFinding, isFinding, startFinding } from "./finding.js";
import { onKeys } from "./keys.js";
import { touched } from "./reading.js";

/** @import { Key } from "./keys.js" */

/** @type {Record<string, () => unknown>} */
const SIGNS = {
  "-": skip, "!": flag, "+": takeNote, "?": showHelp, ".": why, ",": whyNext, "/": startFinding,
};
/** @type {Record<string, () => unknown>} for layouts that have a sign on the row of digits: these are on every keyboard */
const NAMES = { Backspace: undo, F2: takeNote, F4: flag, F8: skip, F9: why };
/** @type {Record<string, () => unknown>} */
const BUTTONS = { "none-fits": noneFits, skip, flag, note: takeNote, why, undo, help: showHelp };

onKeys((key, event) => {
  touched();
  const box = opened();
  const typing = around(event, "input, textarea, select, [contenteditable]");
  if (key.name === "Undo") return !box && !typing && once(key, undo);
  if (box) return inDialog(box, key);
  if (isFinding(event)) return inFinding(key);
  if (typing) return false;
  return atDesk(key, Boolean(around(event, "button, a, summary")));
});

/**
 * @param {Key} key
 * @param {boolean} onButton
 * @returns {boolean} whether it did something
 */
function atDesk(key, onButton) {
  if (key.name === "Enter") return !onButton && once(key, confirm);
  if (key.digit === 0) return once(key, noneFits);
  const { digit } = key;
  if (digit) return once(key, () => choose(digit));
  if (key.sign === " ") return !onButton && isBlurred() && once(key, showText);
  const does = SIGNS[key.sign ?? ""] || NAMES[key.name ?? ""];
  if (does) return once(key, does);
  if (current() && key.letter) startFinding(); // and the browser writes the letter there
  return false;
}

/**
 * However long the key is held: the next document is not decided by the key of the last.
 * @param {Key} key
 * @param {() => unknown} does
 */
function once(key, does) {
  if (!key.repeat) does();
  return true;
}

// The second click of a double click would decide the next document, answer the dialog that opened under it, or discard
// the next decision that is not saved.
document.addEventListener("click", (event) => {
  if (event.detail > 1 && around(event, "[data-label], button:not(#undo)")) event.stopPropagation();
}, true);

at("documents").addEventListener("click", (event) => {
  const button = around(event, "[data-label]");
  if (button) decideFor(button);
  else if (around(event, ".blurred, .show")) {
    showText();
    focusText();
  }
});
for (const [id, does] of Object.entries(BUTTONS)) at(id).addEventListener("click", () => does());
