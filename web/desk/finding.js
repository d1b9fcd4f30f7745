// Finding a label by typing: names are compared as people type them (folding.js).

import { decideFor } from "./deciding.js";
import { focusText } from "./documents.js";
import { around, at } from "./elements.js";
import { fold } from "./folding.js";
import { labels, onOthers } from "./labels.js";

/** @import { Key } from "./keys.js" */
/** @import { Label } from "./labels.js" */

const MOST = 12;
const find = at("find", HTMLInputElement);
const found = at("found");
const told = at("find-told");
const items = () => /** @type {HTMLElement[]} */ ([...found.children]);

let chosen = -1;

export const startFinding = () => find.focus();

/** @param {Event} event */
export const isFinding = (event) => event.target === find;

// Clear the search too: Enter in the empty field must not decide by what it found.
export function endFinding() {
  find.value = "";
  search();
}

function search() {
  const wanted = fold(find.value).split(" ").filter(Boolean);
  /** @param {Label} label */
  const fits = ({ folded }) => wanted.every((word) => folded.includes(word));
  const fitting = wanted.length ? labels().filter(fits).sort((a, b) => distance(a) - distance(b)) : [];
  const some = fitting.slice(0, MOST);
  found.replaceChildren(...some.map(option));
  found.hidden = !some.length;
  const more = fitting.length - some.length;
  told.textContent = more ? `${more} more: type on.` : wanted.length && !some.length ? "No label has a name like that." : "";
  find.setAttribute("aria-expanded", String(Boolean(some.length)));
  choose(some.length ? 0 : -1);
}

/**
 * How far a label is from what was typed: 0 is the same name letter by letter.
 * @param {Label} label
 */
function distance({ name, folded }) {
  const typed = find.value.trim();
  const whole = fold(typed);
  const near = [name === typed.normalize(), folded === whole, folded.startsWith(whole)].indexOf(true);
  return near < 0 ? (folded.startsWith(whole.split(" ")[0] ?? "") ? 3 : 4) : near;
}

/**
 * @param {Label} label
 * @param {number} i
 */
function option(label, i) {
  const item = document.createElement("li");
  item.id = `found-${i}`;
  item.role = "option";
  item.dataset.label = String(label.id);
  item.dataset.name = label.name;
  const name = document.createElement("bdi");
  name.textContent = label.name;
  const about = document.createElement("small");
  about.className = "soft";
  about.textContent = label.description;
  item.append(name, " ", about);
  return item;
}

/** @param {number} i */
function choose(i) {
  chosen = i;
  items().forEach((each, j) => each.setAttribute("aria-selected", String(j === i)));
  const item = items()[i];
  if (!item) return find.removeAttribute("aria-activedescendant");
  find.setAttribute("aria-activedescendant", item.id);
  item.scrollIntoView({ block: "nearest" });
}

/**
 * What a key does in the field.
 * @param {Key} key
 * @returns {boolean} whether it did something
 */
export function inFinding(key) {
  const many = items().length;
  const item = items()[chosen];
  if (key.name === "ArrowDown" && many) choose((chosen + 1) % many);
  else if (key.name === "ArrowUp" && many) choose((chosen + many - 1) % many);
  else if (key.name === "Enter" && item) key.repeat || decideFor(item);
  else if (key.name === "Escape" || (key.name === "Backspace" && !find.value)) {
    endFinding();
    focusText();
  } else return false;
  return true;
}

find.addEventListener("input", search);
onOthers(() => {
  if (!find.value) return;
  const before = items()[chosen]?.dataset.label;
  search(); // what was typed may be the name of a new one
  const again = items().findIndex((each) => each.dataset.label === before);
  if (again > 0) choose(again); // Enter decides by it
});
found.addEventListener("click", (event) => {
  const item = around(event, "li");
  if (item) decideFor(item);
});
