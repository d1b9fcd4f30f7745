// The person's note on the document before them.

import { at } from "./elements.js";

/** @type {string | null} */
let written = null;

export const note = () => written;

/** @param {string | null} words */
export function setNote(words) {
  written = words;
  at("note").classList.toggle("set", Boolean(words));
}
