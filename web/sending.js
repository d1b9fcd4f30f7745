// Decisions on their way to the server, by one tab at a time, each until the server has it or refuses it: in order,
// and what could not be written comes after what was tried less often.

import * as kept from "./kept.js";
import { call, isAway, passing } from "./server.js";
import { alone, tell } from "./tabs.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const WAIT_MS = 1000; // for another tab that sends

let sending = false; // this tab does, or waits until another one has
let again = false; // there may be more since
let underway = null; // the row that the server is being asked about
let pause = FIRST_PAUSE_MS;
let retry = null;
let failing = false; // something was not taken in this round

const body = ({ document_id, token, action, label_id, seconds, note, proposed_label }) => (
  { document_id, token, action, label_id, seconds, note, proposed_label });

// desk: what it does when a session ended, when the server is away, and when a decision is written.
export function sends(desk) {
  async function send() {
    again = true;
    if (sending || desk.waits()) return;
    sending = true;
    clearTimeout(retry);
    while (again) {
      again = false;
      if (kept.unsent().length) await alone(sendAll).catch(desk.lost);
    }
    sending = false;
    desk.sent();
  }

  async function sendAll() {
    await kept.load(); // another tab may have sent what was seen here
    failing = false;
    const tried = new Set();
    for (;;) {
      const left = kept.unsent().filter((each) => !tried.has(each.id));
      const row = left.sort((a, b) => kept.failures(a) - kept.failures(b))[0];
      if (!row) break;
      tried.add(row.id);
      if ((await sendOne(row)) === "stop") break;
    }
    if (failing) tryAgain();
  }

  function tryAgain() {
    clearTimeout(retry);
    retry = setTimeout(send, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }

  async function sendOne(row) {
    underway = row;
    try {
      const done = await call("decisions", body(row));
      if (!Number.isInteger(done.review_id)) throw new Error("the server gave no answer of its own");
      pause = FIRST_PAUSE_MS;
      await kept.remove(row);
      desk.written(row, done.review_id);
      tell({ written: row, review_id: done.review_id });
    } catch (error) {
      if (error.status === 401) return desk.signIn(), "stop";
      if (passing(error)) return later(row, error);
      await kept.refuse(row, error.message);
      desk.refused(row);
    } finally {
      underway = null;
    }
    return "on";
  }

  // One that the server can't take now holds none up that comes after it; without a connection none gets through.
  function later(row, error) {
    kept.failed(row, isAway(error) ? null : error.message);
    failing = true;
    desk.lost(error);
    return isAway(error) || error.status === 429 ? "stop" : "on";
  }

  return send;
}

// Take a decision back that has not left: true; false where it is on its way, or gone.
export async function takeBack(row) {
  if (underway?.id === row.id) return false;
  if (underway) return takeOut(row); // this tab sends, and has not come to it
  return alone(() => takeOut(row), AbortSignal.timeout(WAIT_MS)).catch(() => false);
}

async function takeOut(row) {
  await kept.load();
  if (underway?.id === row.id || !kept.unsent().some((each) => each.id === row.id)) return false;
  await kept.remove(row);
  return true;
}
