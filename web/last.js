// The last decisions, and those that the server refused: these stay until the person has seen them and discards them.

import * as kept from "./kept.js";
import { takeBack } from "./sending.js";

const MOST = 10;
const NAMES = { skip: "skipped", none_fits: "none fits", flag: "flagged" };

const last = document.getElementById("last");
const refused = document.getElementById("refused");

function said(decision) {
  const name = document.createElement("bdi");
  name.textContent = decision.name || NAMES[decision.action];
  return name;
}

// The beginning of a text; of a sensitive one blurred, with the way to show it.
function textOf(decision) {
  const soft = document.createElement("span");
  const text = document.createElement("bdi");
  soft.className = "soft";
  text.textContent = decision.text || "";
  soft.append(text);
  if (!decision.sensitive) return [soft];
  soft.classList.add("blurred");
  text.ariaHidden = "true";
  const show = document.createElement("button");
  show.type = "button";
  show.className = "plain show";
  show.textContent = "Show";
  show.ariaLabel = "Show the text: its label is sensitive";
  return [soft, " ", show];
}

export function line(decision) {
  const item = document.createElement("li");
  item.append(said(decision), " ", ...textOf(decision));
  item.dataset.token = decision.token;
  last.prepend(item);
  while (last.children.length > MOST) last.lastElementChild.remove();
}

export const lineOf = (decision) => last.querySelector(`[data-token="${decision.token}"]`);
export const newest = () => [...last.children].find((each) => each.dataset.review);

export function remember(decision, reviewId) {
  const item = lineOf(decision);
  if (item) item.dataset.review = reviewId;
}

export function forget(decision) {
  lineOf(decision)?.remove();
}

export function unblur(within) {
  within.querySelector(".blurred")?.classList.remove("blurred");
  within.querySelector("[aria-hidden]")?.removeAttribute("aria-hidden");
  within.querySelector(".show")?.remove();
}

function button(words, does) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = words;
  made.addEventListener("click", does);
  return made;
}

const told = (row) => [
  `${row.name || NAMES[row.action]}: ${row.about || `document ${row.document_id}`}`, row.note, row.proposed_label, row.text,
].filter(Boolean).join("\n");

async function discard(row) {
  if (row.refused) return kept.remove(row);
  if (await takeBack(row)) forget(row);
}

// What can't be written, or not now: why, the decision with its note and text, and what may be done with it.
export function showRefused() {
  const rows = kept.rows.filter((row) => row.refused || kept.trouble(row));
  refused.hidden = !rows.length;
  refused.querySelector("ul").replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    const why = document.createElement("p");
    const about = document.createElement("p");
    const note = document.createElement("bdi");
    why.textContent = row.refused
      ? `Not written: ${row.refused}.`
      : `Not written yet: ${kept.trouble(row)}. It is tried again.`;
    about.append(said(row), " ", ...textOf(row));
    note.textContent = [row.note, row.proposed_label].filter(Boolean).join(" · ");
    const copy = button("Copy", async () => {
      const done = await navigator.clipboard.writeText(told(row)).then(() => true, () => false);
      copy.textContent = done ? "Copied" : "The browser forbids it: select the text";
    });
    item.append(why, about, note, " ", copy, " ", button("Discard", () => discard(row)));
    return item;
  }));
}

for (const list of [last, refused])
  list.addEventListener("click", (event) => {
    if (event.target.closest(".show")) unblur(event.target.closest("li"));
  });
