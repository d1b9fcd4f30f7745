// Asks a worker, through the server, why a document could have a label, and waits for the answer.

import { idOf, tokenOf } from "./documents.js";
import { statusOf } from "./errors.js";
import { call } from "./server.js";

/**
 * The text with its words in colour, and what is said of them; or why there is no explanation.
 * @typedef {{ text: Element, told: Element } | { missing: string }} Answer
 */

const LOOK_AGAIN_MS = 300;
const LOOK_AGAIN_LATE_MS = 2000;
const SAID_FROM_MS = 2000;
const TAKEN_WITHIN_MS = 10_000;
const DONE_WITHIN_MS = 90_000;

/**
 * @param {HTMLElement} article
 * @param {string} label its id
 * @param {(words: string) => void} waiting is told what is being waited for
 * @returns {Promise<Answer | null>} null: the document is gone from the page
 */
export async function explanation(article, label, waiting) {
  const wanted = { document_id: idOf(article), token: tokenOf(article), label_id: Number(label) };
  const began = performance.now();
  while (article.isConnected) {
    const answer = await call("explanation", wanted).catch(askedLater);
    const passed = performance.now() - began;
    if (answer.html) return read(answer.html);
    if (answer.state === "failed") return { missing: `There is no explanation: ${answer.error}.` };
    const late = answer.state === "waiting" && passed > TAKEN_WITHIN_MS;
    if (passed > DONE_WITHIN_MS)
      return { missing: `${late ? "No worker has started yet" : "This takes too long"}. Choose the label again to retry.` };
    const seconds = passed > SAID_FROM_MS ? ` ${Math.round(passed / 1000)} s` : "";
    waiting(`${late ? "No worker has started yet; workers are asked again" : "A worker is computing it"} …${seconds}`);
    await new Promise((done) => setTimeout(done, late ? LOOK_AGAIN_LATE_MS : LOOK_AGAIN_MS));
  }
  return null;
}

/**
 * The broker is away: the explanation waits, and workers are asked again.
 * @param {unknown} error
 */
function askedLater(error) {
  if (statusOf(error) !== 503) throw error;
  return { state: "waiting" };
}

/**
 * @param {string} html
 * @returns {Answer}
 */
function read(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html; // from our own server, which escapes every text
  const [text, told] = holder.content.children;
  if (!text || !told) throw new Error("a part of the server's explanation is missing");
  return { text, told };
}
