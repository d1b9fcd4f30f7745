// What the tabs of one person share: messages, and who of them does what. A lock ends with its tab, even in a crash.

import { link } from "../scripts/link.js";
import { user } from "./server.js";

/** @import { Row } from "./kept.js" */

/**
 * What a tab tells the others: a person signed in, the rows of the store changed, a decision is written.
 * @typedef {{ signedIn: true } | { changed: true } | { written: Row, review_id: number }} Message
 */

// Names in the browser are shared by all that lies on this host: a neighbour under another path keeps its own.
export const OURS = `sortline.desk.${link("/").pathname.slice(1)}`;
export const MINE = `${OURS}${user}`;
const DOCUMENT = `${MINE}.document.`;

/** @type {Map<number, () => void>} by document: what lets go of it */
const held = new Map();

const channel = new BroadcastChannel(MINE);

/** @param {Message} message */
export const tell = (message) => channel.postMessage(message);

/** @param {(message: Message) => void} does */
export const onMessage = (does) => channel.addEventListener("message", ({ data }) => does(data));

/**
 * Do what one tab at a time may do; fails where the signal comes while another tab is at it.
 * @template T
 * @param {() => Promise<T>} does
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export const alone = (does, signal) => navigator.locks.request(`${MINE}.send`, { signal }, does);

/**
 * Show a document in this tab and no other.
 * @param {number} id
 * @returns {Promise<boolean>} false: another tab shows it
 */
export function take(id) {
  if (held.has(id)) return Promise.resolve(true);
  return new Promise((done) => {
    navigator.locks.request(`${DOCUMENT}${id}`, { ifAvailable: true }, (lock) => {
      if (lock && !held.has(id)) {
        /** @type {Promise<void>} */
        const kept = new Promise((letGo) => held.set(id, letGo));
        done(true);
        return kept;
      }
      return done(held.has(id));
    });
  });
}

/** @param {number} id */
export function letGo(id) {
  held.get(id)?.();
  held.delete(id);
}

/** Documents that other tabs show. */
export async function elsewhere() {
  const names = ((await navigator.locks.query()).held ?? []).map(({ name = "" }) => name);
  const ids = names.filter((name) => name.startsWith(DOCUMENT)).map((name) => Number(name.slice(DOCUMENT.length)));
  return ids.filter((id) => !held.has(id));
}
