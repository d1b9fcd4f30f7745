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
let renewed = () => {};

export const labels = () => known;

/** @param {number | undefined} id */
export const isSensitive = (id) => Boolean(known.find((each) => each.id === id)?.sensitive);

export async function loadLabels() {
  /** @type {Omit<Label, "folded">[]} */
  const found = await call("labels");
  known = found.map((each) => ({ ...each, folded: fold(each.name) }));
}

/** @param {() => void} does what to do when there are others */
export const onOthers = (does) => (renewed = does);

/**
 * Load them again if the server has others.
 * @param {string | undefined} there which labels the server has, as it writes that; undefined: it does not say
 */
export async function renewLabels(there) {
  const here = `${known.length}-${known.reduce((sum, each) => sum + each.id, 0)}`;
  if (there === undefined || there === here) return;
  await loadLabels();
  renewed();
}
