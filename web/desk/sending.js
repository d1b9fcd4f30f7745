// Decisions on their way to the server, by one tab at a time, each until the server has it or refuses it: in order,
// and what could not be written comes after what was tried less often.

import { isAway, needsFactor, passing, signedOut, statusOf, wordsOf } from "./errors.js";
import * as kept from "./kept.js";
import { lost } from "./notices.js";
import { call } from "./server.js";
import { signIn, waits } from "./session.js";
import { alone, tell } from "./tabs.js";

/** @import { Row } from "./kept.js" */

/**
 * What is done once a decision is written, once one is refused, and once nothing is on its way.
 * @typedef {{ written: (row: Row, reviewId: number) => void, refused: (row: Row) => void, sent: () => void }} Outcomes
 */

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const WAIT_MS = 1000; // for another tab that sends

/** @type {Outcomes} */
let outcomes = { written() {}, refused() {}, sent() {} };
let sending = false; // this tab does, or waits until another one has
let again = false; // there may be more since
/** @type {Row | null} that the server is being asked about */
let underway = null;
let pause = FIRST_PAUSE_MS;
/** @type {number | undefined} */
let retry;
let failing = false; // something was not taken in this round

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
  await kept.load(); // another tab may have sent what was seen here
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
  try {
    const { document_id, token, action, label_id, seconds, note, proposed_label } = row;
    const body = { document_id, token, action, label_id, seconds, note, proposed_label };
    const done = await call("decisions", body);
    if (!Number.isInteger(done.review_id)) throw new Error("the server gave no answer of its own");
    pause = FIRST_PAUSE_MS;
    await kept.remove(row);
    outcomes.written(row, done.review_id);
    tell({ written: row, review_id: done.review_id });
  } catch (error) {
    if (signedOut(error)) {
      signIn();
      return false;
    }
    if (passing(error)) return later(row, error);
    await kept.refuse(row, wordsOf(error));
    outcomes.refused(row);
  } finally {
    underway = null;
  }
  return true;
}

/**
 * One that the server can't take now holds none up that comes after it; without a connection, or before the person has
 * the second factor that they need, none gets through.
 * @param {Row} row
 * @param {unknown} error
 */
function later(row, error) {
  const none = isAway(error) || needsFactor(error);
  kept.failed(row, none ? null : wordsOf(error));
  failing = true;
  lost(error);
  return !none && statusOf(error) !== 429;
}

/**
 * Take a decision back that has not left.
 * @param {Row} row
 * @returns {Promise<boolean>} false: it is on its way, or gone
 */
export async function takeBack(row) {
  if (underway?.id === row.id) return false;
  if (underway) return takeOut(row); // this tab sends, and has not come to it
  return alone(() => takeOut(row), AbortSignal.timeout(WAIT_MS)).catch(() => false);
}

/** @param {Row} row */
async function takeOut(row) {
  await kept.load();
  if (underway?.id === row.id || !kept.unsent().some((each) => each.id === row.id)) return false;
  await kept.remove(row);
  return true;
}
