// Finding a label by typing: names are compared as people type them (folding.js).

import { fold } from "./folding.js";

const MOST = 12;
const at = (id) => document.getElementById(id);
export const find = at("find");
const found = at("found");

let labels = [];
let chosen = -1;

export const setLabels = (all) => (labels = all.map((each) => ({ ...each, folded: fold(each.name) })));

export function close() {
  find.value = "";
  found.hidden = true;
  find.setAttribute("aria-expanded", "false");
  find.removeAttribute("aria-activedescendant");
}

function search() {
  const wanted = fold(find.value).split(" ").filter(Boolean);
  const fits = (each) => wanted.every((word) => each.folded.includes(word));
  const starts = (each) => (each.folded.startsWith(wanted[0] || "") ? 0 : 1);
  const some = wanted.length ? labels.filter(fits).sort((a, b) => starts(a) - starts(b)).slice(0, MOST) : [];
  found.replaceChildren(...some.map(option));
  found.hidden = !some.length;
  find.setAttribute("aria-expanded", String(Boolean(some.length)));
  choose(some.length ? 0 : -1);
}

function option(label, i) {
  const item = document.createElement("li");
  item.id = `found-${i}`;
  item.role = "option";
  item.dataset.label = label.id;
  item.dataset.name = label.name;
  const name = document.createElement("bdi");
  name.textContent = label.name;
  const told = document.createElement("small");
  told.className = "soft";
  told.textContent = label.description;
  item.append(name, " ", told);
  return item;
}

function choose(i) {
  chosen = i;
  [...found.children].forEach((each, j) => each.setAttribute("aria-selected", String(j === i)));
  if (i >= 0) {
    find.setAttribute("aria-activedescendant", `found-${i}`);
    found.children[i].scrollIntoView({ block: "nearest" });
  } else find.removeAttribute("aria-activedescendant");
}

// label(item): decide for it; leave(): back to the text. Gives what to do with a key in the field.
export function finding(label, leave) {
  find.addEventListener("input", search);
  found.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) label(item);
  });
  return (key) => {
    const many = found.children.length;
    if (key.name === "ArrowDown" && many) choose((chosen + 1) % many);
    else if (key.name === "ArrowUp" && many) choose((chosen + many - 1) % many);
    else if (key.name === "Enter" && chosen >= 0) key.repeat || label(found.children[chosen]);
    else if (key.name === "Escape" || (key.name === "Backspace" && !find.value)) {
      close();
      leave();
    } else return false;
    return true;
  };
}
