// Sends decisions to the server, from one tab at a time, each until the server has stored or refused it. They go in
// order, but those that failed more often go later.

import { isAway, needsFactor, passing, signedOut, statusOf, wordsOf } from "./errors.js";
import * as kept from "./kept.js";
import { lost } from "./notices.js";
import { call } from "./server.js";
import { signIn, waits } from "./session.js";
import { alone, tell } from "./tabs.js";

/** @import { Row } from "./kept.js" */

/**
 * What to do once a decision is written, once one is refused, and once nothing is being sent.
 * @typedef {{ written: (row: Row, reviewId: number) => void, refused: (row: Row) => void, sent: () => void }} Outcomes
 */

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const WAIT_MS = 1000; // for another tab that is sending

/** @type {Outcomes} */
let outcomes = { written() {}, refused() {}, sent() {} };
let sending = false; // this tab is sending, or waits until another one has sent
let again = false; // more may have come since
/** @type {Row | null} that the server is being asked about */
let underway = null;
let pause = FIRST_PAUSE_MS;
/** @type {number | undefined} */
let retry;
let failing = false; // something was not accepted in this round

/** @param {Outcomes} does */
export const onOutcome = (does) => (outcomes = does);

export async function send() {
  again = true;
  if (sending || waits()) return;
  sending = true;
  clearTimeout(retry);
  while (again) {
    again = false;
    if (kept.unsent().length) await alone(sendAll).catch(lost);
  }
  sending = false;
  outcomes.sent();
}

async function sendAll() {
  await kept.load(); // another tab may have sent what this one has seen
  failing = false;
  const tried = new Set();
  for (;;) {
    const left = kept.unsent().filter((each) => !tried.has(each.id));
    const row = left.sort((a, b) => kept.failures(a) - kept.failures(b))[0];
    if (!row) break;
    tried.add(row.id);
    if (!(await sendOne(row))) break;
  }
  if (failing) tryAgain();
}

function tryAgain() {
  clearTimeout(retry);
  retry = setTimeout(send, pause);
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
}

/**
 * @param {Row} row
 * @returns {Promise<boolean>} whether the next one may be sent
 */
async function sendOne(row) {
  underway = row;
  const left = navigator.onLine; // without a connection nothing leaves this machine
  try {
    const { document_id, token, action, label_id, seconds, note, proposed_label } = row;
    const body = { document_id, token, action, label_id, seconds, note, proposed_label };
    const done = await call("decisions", body);
    if (!Number.isInteger(done.review_id)) throw new Error("the answer did not come from Sortline");
    pause = FIRST_PAUSE_MS;
    await kept.remove(row);
    outcomes.written(row, done.review_id);
    tell({ written: row, review_id: done.review_id });
  } catch (error) {
    if (signedOut(error)) {
      signIn();
      return false;
    }
    if (passing(error)) return later(row, error, left);
    await (row.withdrawn ? kept.remove(row) : kept.refuse(row, wordsOf(error)));
    outcomes.refused(row);
  } finally {
    underway = null;
  }
  return true;
}

/**
 * A decision that the server can't store now does not hold up the next ones; without a connection, or without the
 * second factor that the person needs, none gets through.
 * @param {Row} row
 * @param {unknown} error
 * @param {boolean} left whether the request may have reached the server
 */
function later(row, error, left) {
  const none = isAway(error) || needsFactor(error);
  kept.failed(row, none ? null : wordsOf(error), left);
  failing = true;
  lost(error);
  return !none && statusOf(error) !== 429;
}

/**
 * Take back a decision that has not been sent.
 * @param {Row} row
 * @returns {Promise<boolean>} false: it is being sent, or gone
 */
export async function takeBack(row) {
  if (underway?.id === row.id) return false;
  if (underway) return takeOut(row); // this tab is sending, but has not reached it
  return alone(() => takeOut(row), AbortSignal.timeout(WAIT_MS)).catch(() => false);
}

/** @param {Row} row */
async function takeOut(row) {
  await kept.load();
  if (underway?.id === row.id || !kept.unsent().some((each) => each.id === row.id)) return false;
  await kept.remove(row);
  return true;
}
