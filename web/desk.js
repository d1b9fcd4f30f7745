// The desk. Documents come as HTML from the server; decisions leave in order, are kept until the server has them,
// and survive a lost connection, an ended session and a reload.

import { explaining } from "./explain.js";
import { link } from "./link.js";

const IDLE_MS = 30_000; // who touches nothing for so long is not reading
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5_000;
const user = document.querySelector('meta[name="user"]').content;
const KEPT = `sortline.desk.${link("/").pathname.slice(1)}${user}`; // a neighbour under another path keeps its own
let csrf = document.querySelector('meta[name="csrf"]').content;

const at = (id) => document.getElementById(id);
const documents = at("documents");
const find = at("find");
const found = at("found");

let labels = [];
let unsent = kept(); // decisions that the server does not have yet, in order
let sending = false;
let asking = false;
let spent = 0; // milliseconds on the current document
let note = null;
let lastInput = performance.now();
let lastTick = performance.now();
const put = new Map(); // token: article, of decisions that can be taken back before they leave

// ---- talking to the server

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function call(path, body) {
  const options = { headers: { Accept: "application/json, text/html;q=0.9" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.headers["X-CSRF-Token"] = csrf;
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(link(`/desk/${path}`), { ...options, signal: AbortSignal.timeout(15_000) });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail || `the server answered ${answer.status}`);
  }
  return (answer.headers.get("content-type") || "").startsWith("application/json") ? answer.json() : answer.text();
}

const passing = (error) => !(error instanceof Refused) || error.status >= 500 || error.status === 429;

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify(unsent));
  } catch {
    // A browser that keeps nothing: the decisions stay in this page.
  }
}

let backOff = 1000;
let retry = null;

async function send() {
  if (sending || at("session-dialog").open) return;
  sending = true;
  clearTimeout(retry);
  while (unsent.length) {
    const decision = unsent[0];
    try {
      const done = await call("decisions", strip(decision));
      backOff = 1000;
      trouble("");
      remember(decision, done);
    } catch (error) {
      if (error.status === 401) {
        askToSignIn();
        break;
      }
      if (passing(error)) {
        lost();
        retry = setTimeout(send, backOff);
        backOff = Math.min(backOff * 2, 15_000);
        break;
      }
      say(`Not written: ${error.message}.`);
      forget(decision);
    }
    unsent.shift();
    keep();
    put.delete(decision.token);
  }
  sending = false;
  if (!unsent.length) fill();
}

const strip = ({ name, text, ...rest }) => rest;

function lost() {
  const n = unsent.length;
  const what = n === 1 ? "One decision is" : `${n} decisions are`;
  trouble(`The connection is lost. ${n ? `${what} kept here, and sent when it is back.` : "The page goes on when it is back."}`);
}

async function fill() {
  const have = [...documents.children].map((each) => Number(each.dataset.id));
  if (asking || have.length >= 3 || at("session-dialog").open) return;
  asking = true;
  const leaving = unsent.length;
  try {
    const html = await call("next", { have: [...have, ...unsent.map((each) => each.document_id)] });
    add(html, false);
    if (!unsent.length) trouble(""); // else it still says how many decisions are kept here
  } catch (error) {
    if (error.status === 401) askToSignIn();
    else if (passing(error)) lost();
    else trouble(`${error.message}`);
  }
  asking = false;
  // Decisions on their way counted as documents that the page has: now that they are gone, there may be more.
  if (leaving && !unsent.length && !documents.children.length) return fill();
  show();
}

function add(html, first) {
  const holder = document.createElement("template");
  holder.innerHTML = html; // from our own server, which escapes every text
  const fresh = [...holder.content.querySelectorAll("article.document")];
  for (const article of fresh) {
    const same = documents.querySelector(`[data-id="${article.dataset.id}"]`);
    if (same) same.remove();
    if (unsent.some((each) => each.token === Number(article.dataset.token))) continue;
    if (first) documents.prepend(article);
    else documents.append(article);
  }
  return fresh.length;
}

// ---- what is seen

let current = null;

function show() {
  const next = documents.firstElementChild;
  at("empty").hidden = Boolean(next) || asking || unsent.length > 0;
  at("deciding").hidden = !next;
  if (next === current) return;
  current = next;
  [...documents.children].forEach((each) => (each.hidden = each !== current));
  why.reflect(current);
  if (!current) return;
  spent = 0;
  note = null;
  at("note").classList.remove("set");
  close();
  current.querySelector(".text").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
}

function trouble(words) {
  at("trouble").textContent = words;
  at("trouble").hidden = !words;
}

let saidUntil = null;

function say(words) {
  clearTimeout(saidUntil);
  at("said").textContent = words;
  at("said").hidden = !words;
  if (words) saidUntil = setTimeout(() => say(""), 12_000);
}

const NAMES = { skip: "skipped", none_fits: "none fits", flag: "flagged" };

function line(decision) {
  const item = document.createElement("li");
  const name = document.createElement("bdi");
  name.textContent = decision.name || NAMES[decision.action];
  const text = document.createElement("bdi");
  text.textContent = decision.text || "";
  const soft = document.createElement("span");
  soft.className = "soft";
  soft.append(text);
  item.append(name, " ", soft);
  item.dataset.token = decision.token;
  at("last").prepend(item);
  while (at("last").children.length > 10) at("last").lastElementChild.remove();
}

const lineOf = (decision) => at("last").querySelector(`[data-token="${decision.token}"]`);

function remember(decision, done) {
  const item = lineOf(decision);
  if (item) item.dataset.review = done.review_id;
}

function forget(decision) {
  lineOf(decision)?.remove();
}

// ---- deciding

function decide(action, more = {}) {
  if (!current) return;
  const token = Number(current.dataset.token);
  const text = current.querySelector(".text").textContent.trim().slice(0, 120);
  const decision = {
    document_id: Number(current.dataset.id), token, action, seconds: Math.round(spent / 100) / 10, note, text, ...more,
  };
  unsent.push(decision);
  keep();
  put.set(token, current);
  line(decision);
  say("");
  if (!at("trouble").hidden) lost();
  current.remove();
  show();
  send();
  fill();
}

function label(button) {
  decide("label", { label_id: Number(button.dataset.label), name: button.dataset.name });
}

async function undo() {
  const waiting = unsent[unsent.length - 1];
  if (waiting && !(sending && unsent.length === 1) && put.has(waiting.token)) {
    unsent.pop(); // it has not left: nothing to tell the server
    keep();
    forget(waiting);
    documents.prepend(put.get(waiting.token));
    put.delete(waiting.token);
    return show();
  }
  if (unsent.length) return say("That decision is on its way; undo again in a moment.");
  const item = [...at("last").children].find((each) => each.dataset.review);
  if (!item) return say("There is nothing to undo.");
  try {
    const html = await call("undo", { review_id: Number(item.dataset.review) });
    item.remove();
    if (!add(html, true)) say("Undone. Somebody else has the document by now and decides it.");
    show();
  } catch (error) {
    if (error.status === 401) askToSignIn();
    else say(`Not undone: ${error.message}.`);
  }
}

function dialog(id, done) {
  const box = at(id);
  // At the submit, not at the close that follows: the next key may come before that.
  box.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    box.close();
    current?.querySelector(".text").focus({ preventScroll: true });
    if (event.submitter?.value) done(event.submitter.value);
  };
  box.showModal();
}

function skip() {
  if (current) dialog("skip-dialog", (why) => decide("skip", { note: [why, note].filter(Boolean).join(". ") }));
}

function noneFits() {
  if (!current) return;
  at("proposed").value = "";
  dialog("none-dialog", () => decide("none_fits", { proposed_label: at("proposed").value.trim() || null }));
}

function flag() {
  if (!current) return;
  at("flag-text").value = note || "";
  dialog("flag-dialog", () => decide("flag", { note: at("flag-text").value.trim() || null }));
}

function takeNote() {
  if (!current) return;
  at("note-text").value = note || "";
  dialog("note-dialog", () => {
    note = at("note-text").value.trim() || null;
    at("note").classList.toggle("set", Boolean(note));
  });
}

function unblur() {
  current?.querySelector(".text").classList.remove("blurred");
  current?.querySelector(".show")?.remove();
}

function help() {
  const list = at("guidelines");
  list.replaceChildren(...labels.flatMap((each) => {
    const name = document.createElement("dt");
    const told = document.createElement("dd");
    name.textContent = each.name;
    told.textContent = each.description || "no guideline yet";
    return [name, told];
  }));
  dialog("help-dialog", () => {});
}

// ---- finding a label

let chosen = -1;
const fold = (text) => text.replaceAll("_", " ").toLowerCase(); // cash_withdrawal is found by either spelling

function close() {
  find.value = "";
  found.hidden = true;
  find.setAttribute("aria-expanded", "false");
  find.removeAttribute("aria-activedescendant");
}

function search() {
  const wanted = fold(find.value).split(/\s+/).filter(Boolean);
  const fits = (each) => wanted.every((word) => each.folded.includes(word));
  const starts = (each) => (each.folded.startsWith(wanted[0] || "") ? 0 : 1);
  const some = wanted.length ? labels.filter(fits).sort((a, b) => starts(a) - starts(b)).slice(0, 12) : [];
  found.replaceChildren(...some.map((each, i) => {
    const option = document.createElement("li");
    option.id = `found-${i}`;
    option.role = "option";
    option.dataset.label = each.id;
    option.dataset.name = each.name;
    const name = document.createElement("bdi");
    name.textContent = each.name;
    const told = document.createElement("small");
    told.className = "soft";
    told.textContent = each.description;
    option.append(name, " ", told);
    return option;
  }));
  found.hidden = !some.length;
  find.setAttribute("aria-expanded", String(Boolean(some.length)));
  choose(some.length ? 0 : -1);
}

function choose(i) {
  chosen = i;
  [...found.children].forEach((each, j) => each.setAttribute("aria-selected", String(j === i)));
  if (i >= 0) {
    find.setAttribute("aria-activedescendant", `found-${i}`);
    found.children[i].scrollIntoView({ block: "nearest" });
  } else find.removeAttribute("aria-activedescendant");
}

find.addEventListener("input", search);
find.addEventListener("keydown", (event) => {
  const many = found.children.length;
  if (event.key === "ArrowDown" && many) choose((chosen + 1) % many);
  else if (event.key === "ArrowUp" && many) choose((chosen + many - 1) % many);
  else if (event.key === "Enter" && chosen >= 0 && !event.repeat) label(found.children[chosen]);
  else if (event.key === "Escape" || (event.key === "Backspace" && !find.value)) {
    close();
    current?.querySelector(".text").focus({ preventScroll: true });
  } else return;
  event.preventDefault();
  event.stopPropagation();
});
found.addEventListener("click", (event) => {
  const option = event.target.closest("li");
  if (option) label(option);
});

// ---- keys, clicks and time

const why = explaining(call, say, askToSignIn);
const KEYS = {
  "0": noneFits, "-": skip, "!": flag, "+": takeNote, "?": help, Backspace: undo, " ": unblur,
  ".": () => why.toggle(current), ",": () => why.next(current),
};

document.addEventListener("keydown", (event) => {
  lastInput = performance.now();
  if (event.ctrlKey && event.key === "z" && event.target !== find) {
    event.preventDefault();
    return undo();
  }
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const open = document.querySelector("dialog[open]");
  if (open?.id === "skip-dialog" && /^[1-5]$/.test(event.key)) {
    event.preventDefault();
    return open.querySelectorAll("button")[Number(event.key) - 1].click();
  }
  if (open || /^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  const onButton = event.target.closest("button, a");
  if (event.key === "Enter" && !onButton) {
    event.preventDefault();
    if (event.repeat || !current) return;
    if (current.dataset.predicted === "1") label(current.querySelector("[data-label]"));
    else say("There is no prediction to confirm here: choose a label.");
  } else if (/^[1-9]$/.test(event.key) && !event.repeat) {
    const button = current?.querySelectorAll("[data-label]")[Number(event.key) - 1];
    if (button) label(button);
  } else if (event.key === " " && (onButton || !current?.querySelector(".blurred"))) {
    return; // a button's own key, and the page's
  } else if (KEYS[event.key] && !event.repeat) {
    event.preventDefault();
    KEYS[event.key]();
  } else if (current && event.key.length === 1 && /\p{L}/u.test(event.key)) {
    find.focus();
  }
});

documents.addEventListener("click", (event) => {
  const button = event.target.closest("[data-label]");
  if (button) label(button);
  else if (event.target.closest(".blurred, .show")) unblur();
});
const BUTTONS = { "none-fits": noneFits, skip, flag, note: takeNote, why: KEYS["."], undo, help };
for (const [id, does] of Object.entries(BUTTONS)) at(id).addEventListener("click", does);
for (const kind of ["pointerdown", "pointermove", "wheel", "touchstart"])
  document.addEventListener(kind, () => (lastInput = performance.now()), { passive: true });

setInterval(() => {
  const now = performance.now();
  const here = !document.hidden && document.hasFocus() && now - lastInput < IDLE_MS;
  if (current && here) spent += Math.min(now - lastTick, 1000);
  lastTick = now;
}, 250);

async function renew() {
  if (document.hidden || performance.now() - lastInput > 3 * RENEW_MS || at("session-dialog").open) return;
  const tokens = [...documents.children].map((each) => Number(each.dataset.token));
  try {
    const held = await call("renew", { tokens });
    at("waiting").textContent = held.around.waiting;
    at("training").textContent = held.around.training;
    for (const article of [...documents.children]) {
      const token = Number(article.dataset.token);
      if (tokens.includes(token) && !held.tokens.includes(token)) {
        if (article === current) say("Your time for that document ran out; somebody else may have it now.");
        article.remove();
      }
    }
    show();
    fill();
  } catch (error) {
    if (error.status === 401) askToSignIn();
  }
}

setInterval(renew, RENEW_MS);
setInterval(() => documents.children.length || fill(), LOOK_AGAIN_MS);
window.addEventListener("online", () => (send(), fill()));
document.addEventListener("visibilitychange", () => document.hidden || renew());

// ---- a session that ended

function askToSignIn() {
  if (!at("session-dialog").open) at("session-dialog").showModal();
}

at("session-dialog").addEventListener("cancel", (event) => event.preventDefault());
at("session-dialog").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = at("session-password").value;
  const wrong = at("session-wrong");
  wrong.hidden = true;
  try {
    if (password) {
      const fields = new URLSearchParams({ name: at("session-name").value, password, next: link("/desk/session").pathname });
      await fetch(link("/sign-in"), { method: "POST", body: fields });
    }
    const who = await call("session");
    if (String(who.id) !== user) return location.reload(); // somebody else: what is kept here stays theirs
    csrf = who.csrf;
    at("session-password").value = "";
    at("session-dialog").close();
    await renew();
    send();
    fill();
  } catch (error) {
    wrong.textContent = error.status === 401 ? "You are not signed in: is the password right?" : "The server can't be reached.";
    wrong.hidden = false;
  }
});

async function begin() {
  try {
    labels = (await call("labels")).map((each) => ({ ...each, folded: fold(each.name) }));
  } catch (error) {
    if (error.status === 401) askToSignIn();
    setTimeout(begin, LOOK_AGAIN_MS);
    return;
  }
  for (const decision of unsent) line(decision);
  await send();
  await fill();
}

begin();
