// A person's decision about the document before them, and its undoing.

import * as documents from "./documents.js";
import { part } from "./elements.js";
import { passing, signedOut, wordsOf } from "./errors.js";
import * as kept from "./kept.js";
import { isSensitive } from "./labels.js";
import * as last from "./last.js";
import { noteOf, setNote } from "./note.js";
import { countAgain, say, trouble } from "./notices.js";
import { seconds } from "./reading.js";
import { send, takeBack } from "./sending.js";
import { call } from "./server.js";
import { person, signIn } from "./session.js";

/** @import { Decision, Row } from "./kept.js" */

const EXCERPT = 300;

/** @type {Map<number, HTMLElement>} by token: documents of decisions that can be taken back before they leave */
const put = new Map();

/**
 * @param {HTMLElement} article
 * @param {Decision["action"]} action
 * @param {Partial<Decision>} [more]
 */
export function decide(article, action, more = {}) {
  const token = documents.tokenOf(article);
  const decision = {
    document_id: documents.idOf(article), token, action, seconds: seconds(), note: noteOf(article), ...more, by: person(),
    text: (part(article, ".text").textContent ?? "").trim().slice(0, EXCERPT), about: article.dataset.about,
    sensitive: article.dataset.sensitive === "1" || isSensitive(more.label_id),
  };
  kept.add(decision);
  put.set(token, article);
  last.line(decision, noteOf(article));
  say("");
  countAgain();
  documents.remove(article);
  documents.show();
  send();
  documents.fill();
}

/** @param {HTMLElement} chosen a button or a line of the list of labels */
export function decideFor({ dataset }) {
  const article = documents.current();
  if (!article || documents.justReplaced()) return;
  decide(article, "label", { label_id: Number(dataset.label), name: dataset.name });
}

/**
 * @param {Row} row
 * @param {number} reviewId
 */
export function written(row, reviewId) {
  put.delete(row.token);
  trouble("");
  if (row.withdrawn) undoReview(reviewId, row.action === "label" ? row.note : null);
  else last.remember(row, reviewId);
}

/** @param {Row} row */
export function refused(row) {
  put.delete(row.token);
  last.forget(row);
}

export async function undo() {
  const waiting = kept.unsent().findLast((row) => put.has(row.token));
  if (!waiting) return undoWritten();
  if (kept.isUnsure(waiting)) return withdraw(waiting);
  const article = put.get(waiting.token);
  if (!article || !(await takeBack(waiting))) return say("That decision is being sent; try undo again in a moment.");
  last.forget(waiting);
  await documents.putBack(article);
  put.delete(waiting.token);
}

/**
 * The server may have the decision although no answer came: then it is undone there, as soon as it answers.
 * @param {Row} row
 */
function withdraw(row) {
  put.delete(row.token);
  last.forget(row);
  kept.withdraw(row);
  say("The server may have that decision already: it will be undone, and the document comes back, when the server answers.");
}

async function undoWritten() {
  const item = last.newest();
  if (!item) return say("There is nothing to undo.");
  const { review, note } = item.dataset;
  delete item.dataset.review; // so that the next undo, before the answer comes, is of the decision before it
  if (await undoReview(Number(review), note)) item.remove(); // or it stays decided, and the one before it can be undone
  else item.dataset.review = review;
}

/**
 * @param {number} reviewId
 * @param {string | null} [note] the document's
 * @returns {Promise<boolean>} false: it can be tried again
 */
async function undoReview(reviewId, note) {
  try {
    const { html } = await call("undo", { review_id: reviewId });
    const again = await documents.add(html, true);
    if (!again) say("Undone. Someone else has the document now and will decide it.");
    else if (note) setNote(again, note);
    documents.show();
  } catch (error) {
    if (signedOut(error)) signIn();
    else say(`The decision could not be undone: ${wordsOf(error)}.`);
    return !passing(error);
  }
  return true;
}
