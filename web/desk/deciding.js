// A person's decision about the document before them, and its undoing.

import * as documents from "./documents.js";
import { part } from "./elements.js";
import { passing, signedOut, wordsOf } from "./errors.js";
import * as kept from "./kept.js";
import { isSensitive } from "./labels.js";
import * as last from "./last.js";
import { note } from "./note.js";
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
 * @param {Decision["action"]} action
 * @param {Partial<Decision>} [more]
 */
export function decide(action, more = {}) {
  const article = documents.current();
  if (!article) return;
  const token = documents.tokenOf(article);
  const decision = {
    document_id: documents.idOf(article), token, action, seconds: seconds(), note: note(), ...more, by: person(),
    text: (part(article, ".text").textContent ?? "").trim().slice(0, EXCERPT), about: article.dataset.about,
    sensitive: article.dataset.sensitive === "1" || isSensitive(more.label_id),
  };
  kept.add(decision);
  put.set(token, article);
  last.line(decision);
  say("");
  countAgain();
  documents.remove(article);
  documents.show();
  send();
  documents.fill();
}

/** @param {HTMLElement} shown a button or a line of the list of labels */
export const decideFor = ({ dataset }) => decide("label", { label_id: Number(dataset.label), name: dataset.name });

/**
 * @param {Row} row
 * @param {number} reviewId
 */
export function written(row, reviewId) {
  put.delete(row.token);
  last.remember(row, reviewId);
  trouble("");
}

/** @param {Row} row */
export function refused(row) {
  put.delete(row.token);
  last.forget(row);
}

export async function undo() {
  const waiting = kept.unsent().findLast((row) => put.has(row.token));
  if (!waiting) return undoWritten();
  const article = put.get(waiting.token);
  if (!article || !(await takeBack(waiting))) return say("That decision is being sent; try undo again in a moment.");
  last.forget(waiting);
  await documents.putBack(article);
  put.delete(waiting.token);
}

async function undoWritten() {
  const item = last.newest();
  if (!item) return say("There is nothing to undo.");
  try {
    const { html } = await call("undo", { review_id: Number(item.dataset.review) });
    item.remove();
    if (!(await documents.add(html, true))) say("Undone. Someone else has the document now and will decide it.");
    documents.show();
  } catch (error) {
    if (signedOut(error)) return signIn();
    if (!passing(error)) item.remove(); // it stays decided, and the decision before it can be undone
    say(`The decision could not be undone: ${wordsOf(error)}.`);
  }
}
