// Decisions that the server does not have yet, or has refused: a row each in the browser's store. A row leaves it when
// the server has it, or when the person discards it.

import * as store from "./store.js";
import { MINE, onMessage, tell } from "./tabs.js";

/**
 * What a person decided about a document.
 * @typedef {object} Decision
 * @property {number} document_id
 * @property {number} token of the lease
 * @property {"label" | "none_fits" | "skip" | "flag"} action
 * @property {number} [label_id]
 * @property {string} [name] of the label
 * @property {string | null} [proposed_label]
 * @property {string | null} note
 * @property {number} seconds that the document was looked at
 * @property {string} [by] who decided
 * @property {string} text its beginning
 * @property {string} [about] its source and id
 * @property {boolean} [sensitive] whether the text is blurred
 */

/**
 * A decision that is kept.
 * @typedef {Decision & { id: string, at: number, refused?: string, withdrawn?: boolean }} Row
 * refused: why the server does not take it; withdrawn: it is undone as soon as it is known that the server has it
 */

/** @type {readonly Row[]} of all tabs, in order */
let known = [];
let changes = 0; // of this tab, to know whether what was read is outdated
/** @type {Set<Row>} rows that the store does not have, or not yet */
const unsaved = new Set();
/**
 * How often a row could not be written, the last answer, and whether the server may have written it all the same.
 * @type {Map<string, { times: number, answered: string | null, unsure: boolean }>}
 */
const tries = new Map();
const SHOWN_FROM = 2; // a short failure is not worth mentioning
let full = false; // the store accepts nothing
let told = () => {};

export const rows = () => known;
export const unsent = () => known.filter((row) => !row.refused);
export const safe = () => !unsaved.size; // whether the page may be closed

/** @param {Row} row */
export const failures = (row) => tries.get(row.id)?.times ?? 0;

/** @param {Row} row */
export const isUnsure = (row) => Boolean(tries.get(row.id)?.unsure);

/**
 * Note that a row could not be written.
 * @param {Row} row
 * @param {string | null} answered null: nothing was
 * @param {boolean} left whether the request may have reached the server
 */
export function failed(row, answered, left) {
  tries.set(row.id, { times: failures(row) + 1, answered, unsure: left || isUnsure(row) });
  told();
}

/**
 * The server's answer to a row that it can't store now; null if there is nothing to report.
 * @param {Row} row
 */
export function trouble(row) {
  return failures(row) >= SHOWN_FROM && !row.refused ? (tries.get(row.id)?.answered ?? null) : null;
}

/** @returns {Promise<void>} */
export async function load() {
  const before = changes;
  const found = await store.all().catch(() => null);
  if (changes !== before) return load();
  if (!found) return;
  const ids = new Set(found.map((row) => row.id));
  known = [...found, ...[...unsaved].filter((row) => !ids.has(row.id))].sort((a, b) => a.at - b.at);
  told();
}

/** @param {Row} row */
async function save(row) {
  unsaved.add(row);
  changes += 1;
  told();
  try {
    await store.put(row);
    unsaved.delete(row);
    full = false;
    tell({ changed: true });
  } catch {
    full = true; // or not allowed: the row stays in this page
  }
  changes += 1;
  told();
}

window.addEventListener("beforeunload", (event) => full && unsaved.size && event.preventDefault());

/** @param {Decision & { id?: string }} decision */
export function add(decision) {
  const row = { ...decision, id: decision.id ?? crypto.randomUUID(), at: performance.timeOrigin + performance.now() };
  known = [...known, row];
  return save(row);
}

/**
 * @param {Row} row
 * @param {string} reason
 */
export const refuse = (row, reason) => change(row, { refused: reason });

/** @param {Row} row */
export const withdraw = (row) => change(row, { withdrawn: true });

/**
 * @param {Row} row
 * @param {Partial<Row>} more
 */
function change(row, more) {
  const changed = { ...row, ...more };
  unsaved.delete(row);
  known = known.map((each) => (each.id === row.id ? changed : each));
  return save(changed);
}

/** @param {Row} row */
export async function remove(row) {
  known = known.filter((each) => each.id !== row.id);
  unsaved.forEach((each) => each.id === row.id && unsaved.delete(each));
  tries.delete(row.id);
  changes += 1;
  told();
  await store.remove(row.id).catch(() => {});
  changes += 1;
  tell({ changed: true });
}

// What the desk kept before it had a store of rows: one list in localStorage, in which tabs overwrote each other.
async function takeOver() {
  const old = JSON.parse(localStorage.getItem(MINE) || "[]");
  for (const decision of old) await add({ ...decision, id: `token-${decision.token}` });
  if (safe()) localStorage.removeItem(MINE);
}

/** @param {() => void} does what to do whenever the rows change, here or in another tab */
export async function begin(does) {
  told = does;
  onMessage((message) => "changed" in message && load());
  await takeOver().catch(() => {});
  await load();
}
