// The documents on the page: it requests the next ones and shows one.

import { at, part } from "./elements.js";
import { needsFactor, passing, signedOut, wordsOf } from "./errors.js";
import * as kept from "./kept.js";
import { renewLabels } from "./labels.js";
import { lost, say, trouble } from "./notices.js";
import { startAgain, untouchedFor } from "./reading.js";
import { call } from "./server.js";
import { signIn, waits } from "./session.js";
import { elsewhere, letGo, take } from "./tabs.js";

const AT_ONCE = 3;
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5_000;
const UNREAD_MS = 1_000;
const NOTHING = "Nothing is waiting for you now. This page checks again automatically.";
const IN_ANOTHER_TAB = "Your documents are open in another tab. This page checks again automatically.";

const list = at("documents");
const articles = () => /** @type {HTMLElement[]} */ ([...list.children]);

/** @type {HTMLElement | null} */
let shown = null;
let asking = false;
let replaced = -Infinity; // when the document before the person went away by itself
/** @type {(article: HTMLElement | null) => void} */
let told = () => {};

/** @param {HTMLElement} article */
export const idOf = (article) => Number(article.dataset.id);
/** @param {HTMLElement} article */
export const tokenOf = (article) => Number(article.dataset.token);

/** The document before the person. */
export const current = () => shown;
export const focusText = () => shown && part(shown, ".text").focus({ preventScroll: true });

export function show() {
  const next = articles()[0] ?? null;
  at("empty").hidden = Boolean(next) || asking || kept.unsent().length > 0;
  at("deciding").hidden = false; // what was decided last can be undone even if nothing waits
  at("deciding").classList.toggle("nothing", !next);
  if (next === shown) return;
  shown = next;
  articles().forEach((each) => (each.hidden = each !== shown));
  startAgain();
  told(shown);
  if (!shown) return;
  focusText();
  window.scrollTo({ top: 0 });
}

/** @returns {Promise<void>} */
export async function fill() {
  if (asking || list.children.length >= AT_ONCE || waits()) return;
  asking = true;
  const leaving = kept.unsent().length;
  try {
    const others = await elsewhere();
    const decided = kept.unsent().map((row) => row.document_id);
    const { html, labels } = await call("next", {
      have: articles().map(idOf), elsewhere: [...others, ...decided].slice(-200),
    });
    await add(html, false);
    renewLabels(labels).catch(() => {}); // the next answer says it again
    at("empty").textContent = others.length ? IN_ANOTHER_TAB : NOTHING;
    if (!kept.unsent().length) trouble(""); // otherwise it still says how many decisions are kept here
  } catch (error) {
    if (signedOut(error)) signIn();
    else if (passing(error)) lost(error);
    else trouble(wordsOf(error));
  }
  asking = false;
  // The server gives no document again whose decision is being sent. Now that it is stored, there may be more.
  if (leaving && !kept.unsent().length && !list.children.length) return fill();
  show();
}

/**
 * @param {string} html documents as the server writes them
 * @param {boolean} first whether they come before the others
 * @returns {Promise<HTMLElement | null>} the last one that was added
 */
export async function add(html, first) {
  const holder = document.createElement("template");
  holder.innerHTML = html; // from our own server, which escapes every text
  let added = null;
  for (const article of /** @type {NodeListOf<HTMLElement>} */ (holder.content.querySelectorAll("article.document"))) {
    if (kept.unsent().some((row) => row.token === tokenOf(article))) continue;
    if (!(await take(idOf(article)))) continue; // another tab shows it
    list.querySelector(`[data-id="${idOf(article)}"]`)?.remove();
    if (first) list.prepend(article);
    else list.append(article);
    added = article;
  }
  return added;
}

/**
 * Put back what was decided here and has not left.
 * @param {HTMLElement} article
 */
export async function putBack(article) {
  if (!(await take(idOf(article)))) return;
  list.prepend(article);
  show();
}

/** @param {HTMLElement} article */
export function remove(article) {
  letGo(idOf(article));
  article.remove();
}

/** Let the leases of the page's documents last longer. */
export async function renew() {
  if (document.hidden || untouchedFor() > 3 * RENEW_MS || waits()) return;
  const asked = articles().map(tokenOf);
  try {
    const held = await call("renew", { tokens: asked });
    at("waiting").textContent = held.around.waiting;
    at("training").textContent = held.around.training;
    removeLost(asked.filter((token) => !held.tokens.includes(token)));
    if (!kept.unsent().length) trouble("");
    show();
    fill();
  } catch (error) {
    if (signedOut(error)) signIn();
    else if (needsFactor(error)) lost(error);
  }
}

/** @param {number[]} tokens of leases that ran out */
function removeLost(tokens) {
  for (const article of articles().filter((each) => tokens.includes(tokenOf(each)))) {
    if (article === shown) {
      say("Your time for that document ran out; someone else may have it now.");
      replaced = performance.now();
    }
    remove(article);
  }
}

/** Whether a key or click of this moment was meant for the document before, which went away by itself. */
export const justReplaced = () => performance.now() - replaced < UNREAD_MS;

/** @param {(article: HTMLElement | null) => void} does what to do when another document is before the person */
export function watchDocuments(does) {
  told = does;
  setInterval(renew, RENEW_MS);
  setInterval(() => list.children.length || fill(), LOOK_AGAIN_MS);
  document.addEventListener("visibilitychange", () => document.hidden || renew());
}
