// The last decisions, which can be undone.

import { at } from "./elements.js";
import { excerpt, unblursByButton } from "./excerpt.js";

/** @import { Decision } from "./kept.js" */

const MOST = 10;

const last = at("last");
const items = () => /** @type {HTMLElement[]} */ ([...last.children]);

unblursByButton(last);

/**
 * @param {Decision} decision
 * @param {string | null} [note] which the document gets back with an undo
 */
export function line(decision, note) {
  const item = document.createElement("li");
  item.append(...excerpt(decision));
  item.dataset.token = String(decision.token);
  if (note) item.dataset.note = note;
  last.prepend(item);
  items().slice(MOST).forEach((each) => each.remove());
}

/** @param {Decision} decision */
const lineOf = ({ token }) => items().find((each) => each.dataset.token === String(token));

/** The newest one that the server has. */
export const newest = () => items().find((each) => each.dataset.review);

/**
 * @param {Decision} decision
 * @param {number} reviewId by which the server knows it
 */
export function remember(decision, reviewId) {
  const item = lineOf(decision);
  if (item) item.dataset.review = String(reviewId);
}

/** @param {Decision} decision */
export const forget = (decision) => lineOf(decision)?.remove();
