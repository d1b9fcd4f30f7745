// The desk: what a person does with the document before them. Documents come as HTML from the server; decisions are
// kept until the server has them, and survive a lost connection, an ended session, a reload, and a crash.

import * as ask from "./dialogs.js";
import { current, documentsOf, focusText, seconds, touched } from "./documents.js";
import { explaining } from "./explain.js";
import { close, find, finding, setLabels } from "./finding.js";
import * as kept from "./kept.js";
import { onKeys } from "./keys.js";
import * as last from "./last.js";
import { sends, takeBack } from "./sending.js";
import { call, isAway, passing } from "./server.js";
import { session, signIn, waits } from "./session.js";
import { onMessage } from "./tabs.js";

const LOOK_AGAIN_MS = 5_000;
const SAID_MS = 12_000;
const at = (id) => document.getElementById(id);

let labels = [];
let note = null;
let saidUntil = null;
let away = true; // whether it is the connection that is lost
const put = new Map(); // token: article, of decisions that can be taken back before they leave

// ---- what is said

function trouble(words) {
  at("trouble").textContent = words;
  at("trouble").hidden = !words;
}

// error: why it is lost; left out where only the number of decisions has changed.
function lost(error) {
  if (error) away = isAway(error);
  const n = kept.unsent().length;
  const [why, until] = away ? ["The connection is lost.", "it is back"] : ["The server has trouble.", "that is over"];
  const what = n === 1 ? "One decision is" : `${n} decisions are`;
  const where = kept.safe() ? "kept here" : "kept in this page alone (don't close it)";
  trouble(`${why} ${n ? `${what} ${where} and sent when ${until}.` : `The page goes on when ${until}.`}`);
}

async function sayWhatOthersLeft() {
  const counts = Object.entries(await kept.ofOthers());
  const told = counts.map(([name, n]) => {
    const who = name || "another person";
    return `${n === 1 ? "One decision" : `${n} decisions`} of ${who} ${n === 1 ? "is" : "are"} kept in this browser, ` +
      `and sent when ${name || "that person"} opens the desk here.`;
  });
  at("others").textContent = told.join(" ");
  at("others").hidden = !told.length;
}

function say(words) {
  clearTimeout(saidUntil);
  at("said").textContent = words;
  at("said").hidden = !words;
  if (words) saidUntil = setTimeout(() => say(""), SAID_MS);
}

// ---- deciding

function decide(action, more = {}) {
  if (!current) return;
  const token = Number(current.dataset.token);
  const chosen = labels.find((each) => each.id === more.label_id);
  const decision = {
    document_id: Number(current.dataset.id), token, action, seconds: seconds(), note, ...more, by: at("session-name").value,
    text: current.querySelector(".text").textContent.trim().slice(0, 300), about: current.dataset.about,
    sensitive: current.dataset.sensitive === "1" || Boolean(chosen?.sensitive),
  };
  kept.add(decision);
  put.set(token, current);
  last.line(decision);
  say("");
  if (!at("trouble").hidden) lost();
  page.remove(current);
  page.show();
  send();
  page.fill();
}

const label = (button) => decide("label", { label_id: Number(button.dataset.label), name: button.dataset.name });

async function undo() {
  const waiting = kept.unsent().findLast((row) => put.has(row.token));
  if (waiting && (await takeBack(waiting))) {
    last.forget(waiting);
    await page.putBack(put.get(waiting.token));
    put.delete(waiting.token);
    return;
  }
  if (waiting) return say("That decision is on its way; undo again in a moment.");
  const item = last.newest();
  if (!item) return say("There is nothing to undo.");
  try {
    const { html } = await call("undo", { review_id: Number(item.dataset.review) });
    item.remove();
    if (!(await page.add(html, true))) say("Undone. Somebody else has the document by now and decides it.");
    page.show();
  } catch (error) {
    if (error.status === 401) return signIn();
    if (!passing(error)) item.remove(); // it stays decided, and what was decided before it can be undone
    say(`Not undone: ${error.message}.`);
  }
}

const whenShown = (does) => () => current && does();
const skip = whenShown(() =>
  ask.askWhySkip(focusText, (why) => decide("skip", { note: [why, note].filter(Boolean).join(". ") })));
const noneFits = whenShown(() => ask.askNoneFits(focusText, (proposed) => decide("none_fits", { proposed_label: proposed })));
const flag = whenShown(() => ask.askFlag(note, focusText, (words) => decide("flag", { note: words })));
const takeNote = whenShown(() => ask.askNote(note, focusText, setNote));
const help = () => ask.showHelp(labels, focusText);
const unblur = whenShown(() => last.unblur(current));

function setNote(words) {
  note = words;
  at("note").classList.toggle("set", Boolean(note));
}

function confirm() {
  if (current?.dataset.predicted === "1") label(current.querySelector("[data-label]"));
  else if (current) say("There is no prediction to confirm here: choose a label.");
}

// ---- what the desk is made of

const desk = {
  waits, signIn, lost, trouble, say,
  changed() {
    why.reflect(current);
    setNote(null);
    close();
  },
  written(row, reviewId) {
    put.delete(row.token);
    last.remember(row, reviewId);
    trouble("");
  },
  refused(row) {
    put.delete(row.token);
    last.forget(row);
  },
  sent: () => kept.unsent().length || page.fill(),
};
const why = explaining(call, say, signIn);
const page = documentsOf(desk);
const send = sends(desk);
const inFind = finding(label, focusText);

// ---- keys and clicks

const toggleWhy = () => why.toggle(current);
const SIGNS = {
  "-": skip, "!": flag, "+": takeNote, "?": help, ".": toggleWhy, ",": () => why.next(current), "/": () => find.focus(),
};
// For layouts that have a sign on the row of digits: these are on every keyboard.
const NAMES = { Backspace: undo, F2: takeNote, F4: flag, F8: skip, F9: toggleWhy };

onKeys((key, event) => {
  touched();
  const box = ask.opened();
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (key.name === "Undo") return !box && !typing && (key.repeat || undo(), true);
  if (box) return ask.inDialog(box, key);
  if (event.target === find) return inFind(key);
  if (typing) return false;
  return atDesk(key, event.target.closest("button, a, summary"));
});

// Done once, however long the key is held: the next document is not decided by the key of the last.
function atDesk(key, onButton) {
  const once = (does) => (key.repeat || does(), true);
  if (key.name === "Enter") return !onButton && once(confirm);
  if (key.digit === 0) return once(noneFits);
  if (key.digit) return once(() => choose(key.digit));
  if (key.sign === " ") return !onButton && Boolean(current?.querySelector(".blurred")) && once(unblur);
  const does = SIGNS[key.sign] || NAMES[key.name];
  if (does) return once(does);
  if (current && key.letter) find.focus(); // and the browser writes the letter there
  return false;
}

function choose(n) {
  const button = current?.querySelectorAll("[data-label]")[n - 1];
  if (button) label(button);
}

at("documents").addEventListener("click", (event) => {
  const button = event.target.closest("[data-label]");
  if (button) label(button);
  else if (event.target.closest(".blurred, .show")) {
    unblur();
    focusText();
  }
});
const BUTTONS = { "none-fits": noneFits, skip, flag, note: takeNote, why: toggleWhy, undo, help };
for (const [id, does] of Object.entries(BUTTONS)) at(id).addEventListener("click", does);
window.addEventListener("online", () => goOn());
onMessage(({ written, review_id }) => written && desk.written(written, review_id)); // by another tab

async function goOn() {
  await page.renew();
  send();
  page.fill();
}

async function begin() {
  try {
    labels = await call("labels");
    setLabels(labels);
  } catch (error) {
    if (error.status === 401) signIn();
    setTimeout(begin, LOOK_AGAIN_MS);
    return;
  }
  await kept.begin(() => {
    last.showRefused();
    if (!at("trouble").hidden) lost(); // the other tabs' decisions count too
  });
  kept.unsent().forEach(last.line);
  sayWhatOthersLeft().catch(() => {}); // a browser that can't list what it keeps
  await send();
  await page.fill();
}

session(goOn);
begin();
