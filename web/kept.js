// Decisions that the server does not have yet, or has refused: a row each in the browser's store, which all tabs of the
// person share and a crash leaves as it is. A row leaves it when the server has it, or when the person discards it.

import { MINE, OURS, onMessage, tell } from "./tabs.js";

const STORE = "decisions";

export let rows = []; // of all tabs, in order
let changes = 0; // of this tab, to know whether what was read is old
const unsaved = new Set(); // rows that the store does not have, or not yet
const tries = new Map(); // id: how often a row could not be written, and what was answered
const SHOWN_FROM = 2; // a moment's trouble is not worth a word
let full = false; // the store takes nothing
let told = () => {};

const opened = new Promise((done, fail) => {
  const asked = indexedDB.open(MINE, 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
  asked.onsuccess = () => done(asked.result);
  asked.onerror = () => fail(asked.error);
});
opened.catch(() => {}); // a browser that keeps nothing: the decisions stay in this page

// In one transaction, which is on the disk when this ends.
async function within(mode, does) {
  const transaction = (await opened).transaction(STORE, mode, { durability: "strict" });
  const asked = does(transaction.objectStore(STORE));
  await new Promise((done, fail) => {
    transaction.oncomplete = done;
    transaction.onabort = () => fail(transaction.error);
  });
  return asked.result;
}

export const unsent = () => rows.filter((row) => !row.refused);
export const refused = () => rows.filter((row) => row.refused);
export const safe = () => !unsaved.size; // whether the page may be closed

export const failures = (row) => tries.get(row.id)?.times || 0;

// That a row could not be written, and what was answered; null: nothing was.
export function failed(row, answered) {
  tries.set(row.id, { times: failures(row) + 1, answered });
  told();
}

// What the server has answered to a row that it does not take now; null where there is nothing to say of it.
export const trouble = (row) => (failures(row) >= SHOWN_FROM && !row.refused ? tries.get(row.id).answered : null);

export async function load() {
  const before = changes;
  const found = await within("readonly", (store) => store.getAll()).catch(() => null);
  if (changes !== before) return load();
  if (!found) return;
  const ids = new Set(found.map((row) => row.id));
  rows = [...found, ...[...unsaved].filter((row) => !ids.has(row.id))].sort((a, b) => a.at - b.at);
  told();
}

async function save(row) {
  unsaved.add(row);
  changes += 1;
  told();
  try {
    await within("readwrite", (store) => store.put(row));
    unsaved.delete(row);
    full = false;
    tell({ changed: true });
  } catch {
    full = true; // or not allowed: it stays in this page
  }
  changes += 1;
  told();
}

window.addEventListener("beforeunload", (event) => full && unsaved.size && event.preventDefault());

export function add(decision) {
  const row = { ...decision, id: decision.id ?? crypto.randomUUID(), at: performance.timeOrigin + performance.now() };
  rows = [...rows, row];
  return save(row);
}

export function refuse(row, reason) {
  const changed = { ...row, refused: reason };
  unsaved.delete(row);
  rows = rows.map((each) => (each.id === row.id ? changed : each));
  return save(changed);
}

export async function remove(row) {
  rows = rows.filter((each) => each.id !== row.id);
  unsaved.forEach((each) => each.id === row.id && unsaved.delete(each));
  tries.delete(row.id);
  changes += 1;
  told();
  await within("readwrite", (store) => store.delete(row.id)).catch(() => {});
  changes += 1;
  tell({ changed: true });
}

// What the desk kept before it had a store of rows: one list in localStorage, in which tabs overwrote each other.
async function takeOver() {
  const old = JSON.parse(localStorage.getItem(MINE) || "[]");
  for (const decision of old) await add({ ...decision, id: `token-${decision.token}` });
  if (safe()) localStorage.removeItem(MINE);
}

// Whose unsent decisions this browser keeps beside those of who is signed in: how many, by name.
export async function ofOthers() {
  const counts = {};
  for (const { name } of await indexedDB.databases().catch(() => [])) {
    if (name === MINE || !name.startsWith(OURS) || !/^\d+$/.test(name.slice(OURS.length))) continue;
    const found = await rowsOf(name).catch(() => []);
    for (const row of found.filter((each) => !each.refused)) counts[row.by || ""] = (counts[row.by || ""] || 0) + 1;
  }
  return counts;
}

async function rowsOf(name) {
  const asked = indexedDB.open(name);
  const database = await new Promise((done, fail) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
  try {
    const rows = database.transaction(STORE).objectStore(STORE).getAll();
    return await new Promise((done, fail) => {
      rows.onsuccess = () => done(rows.result);
      rows.onerror = () => fail(rows.error);
    });
  } finally {
    database.close();
  }
}

// does(): what is to be done whenever the rows change, here or in another tab.
export async function begin(does) {
  told = does;
  onMessage((message) => message.changed && load());
  await takeOver().catch(() => {});
  await load();
}
