// The labels in use, with their guidelines.

import { fold } from "./folding.js";
import { call } from "./server.js";

/**
 * @typedef {object} Label
 * @property {number} id
 * @property {string} name
 * @property {string | null} description
 * @property {boolean} sensitive
 * @property {string} folded the name as it is compared
 */

/** @type {readonly Label[]} */
let known = [];

export const labels = () => known;

/** @param {number | undefined} id */
export const isSensitive = (id) => Boolean(known.find((each) => each.id === id)?.sensitive);

export async function loadLabels() {
  /** @type {Omit<Label, "folded">[]} */
  const found = await call("labels");
  known = found.map((each) => ({ ...each, folded: fold(each.name) }));
}
