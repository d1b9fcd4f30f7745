// What a person can do at the desk, by a key or a button.

import { decide, decideFor } from "./deciding.js";
import { askFlag, askNoneFits, askNote, askWhySkip } from "./dialogs.js";
import { current } from "./documents.js";
import { unblur } from "./excerpt.js";
import { note, setNote } from "./note.js";
import { say } from "./notices.js";
import { nextWhy, toggleWhy } from "./why.js";

/** @param {() => void} does */
const whenShown = (does) => () => {
  if (current()) does();
};

export const skip = whenShown(() =>
  askWhySkip((why) => decide("skip", { note: [why, note()].filter(Boolean).join(". ") })));
export const noneFits = whenShown(() => askNoneFits((proposed) => decide("none_fits", { proposed_label: proposed })));
export const flag = whenShown(() => askFlag(note(), (words) => decide("flag", { note: words })));
export const takeNote = whenShown(() => askNote(note(), setNote));
export const why = () => toggleWhy(current());
export const whyNext = () => nextWhy(current());

/** @param {number} n which of the labels that are shown with the document, from 1 on */
export function choose(n) {
  const button = current()?.querySelectorAll("[data-label]")[n - 1];
  if (button instanceof HTMLElement) decideFor(button);
}

export function confirm() {
  if (current()?.dataset.predicted === "1") choose(1);
  else if (current()) say("There is no prediction to confirm here: choose a label.");
}

export const isBlurred = () => Boolean(current()?.querySelector(".blurred"));

export function showText() {
  const article = current();
  if (article) unblur(article);
}
