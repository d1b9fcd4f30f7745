// The browser's store of decisions: one database for each person, shared by all their tabs and safe from crashes.

import { MINE, OURS } from "./tabs.js";

/** @import { Row } from "./kept.js" */

const STORE = "decisions";

const opened = open();
opened.catch(() => {}); // a browser that keeps nothing: each use of the store fails

async function open() {
  const asked = indexedDB.open(MINE, 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
  return result(asked);
}

/**
 * @template T
 * @param {IDBRequest<T>} asked
 * @returns {Promise<T>}
 */
function result(asked) {
  return new Promise((done, fail) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
}

/**
 * In one transaction, which is on the disk when this ends.
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} does
 * @returns {Promise<T>}
 */
async function within(mode, does) {
  const transaction = (await opened).transaction(STORE, mode, { durability: "strict" });
  const asked = does(transaction.objectStore(STORE));
  await new Promise((done, fail) => {
    transaction.oncomplete = done;
    transaction.onabort = () => fail(transaction.error);
  });
  return asked.result;
}

/** @returns {Promise<Row[]>} */
export const all = () => within("readonly", (store) => store.getAll());

/** @param {Row} row */
export const put = (row) => within("readwrite", (store) => store.put(row));

/** @param {string} id */
export const remove = (id) => within("readwrite", (store) => store.delete(id));

/** Whose unsent decisions this browser keeps beside those of who is signed in: how many, by name. */
export async function ofOthers() {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { name = "" } of await indexedDB.databases().catch(() => [])) {
    if (name === MINE || !name.startsWith(OURS) || !/^\d+$/.test(name.slice(OURS.length))) continue;
    const found = await rowsOf(name).catch(() => []);
    for (const { by = "" } of found.filter((row) => !row.refused)) counts[by] = (counts[by] || 0) + 1;
  }
  return counts;
}

/**
 * @param {string} name
 * @returns {Promise<Row[]>}
 */
async function rowsOf(name) {
  const database = await result(indexedDB.open(name));
  try {
    return await result(database.transaction(STORE).objectStore(STORE).getAll());
  } finally {
    database.close();
  }
}
