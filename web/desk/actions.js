// What a person can do at the desk, by a key or a button.

import { decide, decideFor } from "./deciding.js";
import { askFlag, askNoneFits, askNote, askWhySkip } from "./dialogs.js";
import { current } from "./documents.js";
import { unblur } from "./excerpt.js";
import { noteOf, setNote } from "./note.js";
import { say } from "./notices.js";
import { nextWhy, toggleWhy } from "./why.js";

/**
 * The answer of a dialog is about the document for which it was asked, even if another one is shown by then.
 * @param {(article: HTMLElement) => void} does
 */
const whenShown = (does) => () => {
  const article = current();
  if (article) does(article);
};

export const skip = whenShown((article) =>
  askWhySkip((why) => decide(article, "skip", { note: [why, noteOf(article)].filter(Boolean).join(". ") })));
export const noneFits = whenShown((article) =>
  askNoneFits((proposed) => decide(article, "none_fits", { proposed_label: proposed })));
export const flag = whenShown((article) =>
  askFlag(noteOf(article), (words) => decide(article, "flag", { note: words })));
export const takeNote = whenShown((article) => askNote(noteOf(article), (words) => setNote(article, words)));
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
