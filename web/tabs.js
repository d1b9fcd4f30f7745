// What the tabs of one person share: messages, and who of them does what. A lock ends with its tab, also in a crash.

import { link } from "./link.js";
import { user } from "./server.js";

// Names in the browser are shared by all that lies on this host: a neighbour under another path keeps its own.
export const OURS = `sortline.desk.${link("/").pathname.slice(1)}`;
export const MINE = `${OURS}${user}`;
const DOCUMENT = `${MINE}.document.`;
const held = new Map(); // id: lets it go

const channel = new BroadcastChannel(MINE);
export const tell = (message) => channel.postMessage(message);
export const onMessage = (does) => channel.addEventListener("message", ({ data }) => does(data));

// One tab at a time does it; fails where the signal comes while another tab is at it.
export const alone = (does, signal = undefined) => navigator.locks.request(`${MINE}.send`, { signal }, does);

// Show a document in this tab and no other; false: another one shows it.
export function take(id) {
  if (held.has(id)) return Promise.resolve(true);
  return new Promise((done) => {
    navigator.locks.request(`${DOCUMENT}${id}`, { ifAvailable: true }, (lock) => {
      if (lock && !held.has(id)) {
        const kept = new Promise((letGo) => held.set(id, letGo));
        done(true);
        return kept;
      }
      done(held.has(id));
    });
  });
}

export function letGo(id) {
  held.get(id)?.();
  held.delete(id);
}

// Documents that other tabs show.
export async function elsewhere() {
  const { held: all } = await navigator.locks.query();
  const ids = all.filter(({ name }) => name.startsWith(DOCUMENT)).map(({ name }) => Number(name.slice(DOCUMENT.length)));
  return ids.filter((id) => !held.has(id));
}
