// The person's note on a document, which stays with it when it is put back.

import { at } from "./elements.js";

/**
 * @param {HTMLElement} article
 * @returns {string | null}
 */
export const noteOf = ({ dataset }) => dataset.note || null;

/**
 * @param {HTMLElement} article
 * @param {string | null} words
 */
export function setNote(article, words) {
  article.dataset.note = words ?? "";
  if (article.isConnected && !article.hidden) showNote(article);
}

/** @param {HTMLElement | null} article the one that is shown */
export const showNote = (article) => at("note").classList.toggle("set", Boolean(article?.dataset.note));
