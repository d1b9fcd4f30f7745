// Documents on the page: what comes next is asked for, one is shown, and the time it is looked at is taken.

import * as kept from "./kept.js";
import { call, passing } from "./server.js";
import { elsewhere, letGo, take } from "./tabs.js";

const AT_ONCE = 3;
const IDLE_MS = 30_000; // who touches nothing for so long is not reading
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5_000;
const NOTHING = "Nothing waits for you now. This page looks again by itself.";
const IN_ANOTHER_TAB = "What waits for you is before you in another tab. This page looks again by itself.";

const at = (id) => document.getElementById(id);
const documents = at("documents");
const idOf = (article) => Number(article.dataset.id);
const tokenOf = (article) => Number(article.dataset.token);

export let current = null;
let asking = false;
let spent = 0; // milliseconds on the current document
let lastInput = performance.now();
let lastTick = performance.now();

export const touched = () => (lastInput = performance.now());
export const seconds = () => Math.round(spent / 100) / 10;
export const focusText = () => current?.querySelector(".text").focus({ preventScroll: true });

// desk: waits (for a sign-in), signIn, lost, trouble, say, changed (another document is before the person).
export function documentsOf(desk) {
  function show() {
    const next = documents.firstElementChild;
    at("empty").hidden = Boolean(next) || asking || kept.unsent().length > 0;
    at("deciding").hidden = !next;
    if (next === current) return;
    current = next;
    [...documents.children].forEach((each) => (each.hidden = each !== current));
    spent = 0;
    desk.changed();
    if (!current) return;
    focusText();
    window.scrollTo({ top: 0 });
  }

  async function fill() {
    if (asking || documents.children.length >= AT_ONCE || desk.waits()) return undefined;
    asking = true;
    const leaving = kept.unsent().length;
    try {
      const others = await elsewhere();
      const decided = kept.unsent().map((row) => row.document_id);
      const have = [...documents.children].map(idOf);
      const { html } = await call("next", { have, elsewhere: [...others, ...decided].slice(-200) });
      await add(html, false);
      at("empty").textContent = others.length ? IN_ANOTHER_TAB : NOTHING;
      if (!kept.unsent().length) desk.trouble(""); // else it still says how many decisions are kept here
    } catch (error) {
      if (error.status === 401) desk.signIn();
      else if (passing(error)) desk.lost(error);
      else desk.trouble(error.message);
    }
    asking = false;
    // What was on its way then was not given again: now that it is written, there may be more.
    if (leaving && !kept.unsent().length && !documents.children.length) return fill();
    return show();
  }

  async function add(html, first) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // from our own server, which escapes every text
    let added = 0;
    for (const article of holder.content.querySelectorAll("article.document")) {
      if (kept.unsent().some((row) => row.token === tokenOf(article))) continue;
      if (!(await take(idOf(article)))) continue; // another tab shows it
      documents.querySelector(`[data-id="${idOf(article)}"]`)?.remove();
      if (first) documents.prepend(article);
      else documents.append(article);
      added += 1;
    }
    return added;
  }

  // Put back what was decided here and has not left.
  async function putBack(article) {
    if (!(await take(idOf(article)))) return;
    documents.prepend(article);
    show();
  }

  function remove(article) {
    letGo(idOf(article));
    article.remove();
  }

  async function renew() {
    if (document.hidden || performance.now() - lastInput > 3 * RENEW_MS || desk.waits()) return;
    const tokens = [...documents.children].map(tokenOf);
    try {
      const held = await call("renew", { tokens });
      at("waiting").textContent = held.around.waiting;
      at("training").textContent = held.around.training;
      for (const article of [...documents.children]) {
        if (!tokens.includes(tokenOf(article)) || held.tokens.includes(tokenOf(article))) continue;
        if (article === current) desk.say("Your time for that document ran out; somebody else may have it now.");
        remove(article);
      }
      if (!kept.unsent().length) desk.trouble("");
      show();
      fill();
    } catch (error) {
      if (error.status === 401) desk.signIn();
    }
  }

  for (const kind of ["pointerdown", "pointermove", "wheel", "touchstart"])
    document.addEventListener(kind, touched, { passive: true });
  setInterval(() => {
    const now = performance.now();
    const here = !document.hidden && document.hasFocus() && now - lastInput < IDLE_MS;
    if (current && here) spent += Math.min(now - lastTick, 1000);
    lastTick = now;
  }, 250);
  setInterval(renew, RENEW_MS);
  setInterval(() => documents.children.length || fill(), LOOK_AGAIN_MS);
  document.addEventListener("visibilitychange", () => document.hidden || renew());

  return { show, fill, add, putBack, remove, renew };
}
