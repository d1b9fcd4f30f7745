// Decisions that the server refused or can't store now: the reason, the decision with its note and text, and what the
// person can do with it. They stay until the person discards them or the server stores them.

import { at, button, part } from "./elements.js";
import { decided, excerpt, unblursByButton } from "./excerpt.js";
import * as kept from "./kept.js";
import { forget } from "./last.js";
import { takeBack } from "./sending.js";

/** @import { Row } from "./kept.js" */

const refused = at("refused");
unblursByButton(refused);

/** @param {Row} row */
const told = (row) => [
  `${decided(row)}: ${row.about || `document ${row.document_id}`}`, row.note, row.proposed_label, row.text,
].filter(Boolean).join("\n");

/** @param {Row} row */
async function discard(row) {
  if (row.refused) await kept.remove(row);
  else if (await takeBack(row)) forget(row);
}

/** @param {Row} row */
function copying(row) {
  const copy = button("Copy", "quiet", async () => {
    const done = await navigator.clipboard.writeText(told(row)).then(() => true, () => false);
    copy.textContent = done ? "Copied" : "Copying is blocked: select the text";
  });
  return copy;
}

/** @param {Row} row */
function itemOf(row) {
  const item = document.createElement("li");
  const why = document.createElement("p");
  const about = document.createElement("p");
  const note = document.createElement("bdi");
  why.textContent = row.refused
    ? `Not saved: ${row.refused}.`
    : `Not saved yet: ${kept.trouble(row)}. It will be tried again.`;
  about.append(...excerpt(row));
  note.textContent = [row.note, row.proposed_label].filter(Boolean).join(" · ");
  item.append(why, about, note, " ", copying(row), " ", button("Discard", "quiet", () => discard(row)));
  return item;
}

export function showRefused() {
  const rows = kept.rows().filter((row) => row.refused || kept.trouble(row));
  refused.hidden = !rows.length;
  part(refused, "ul").replaceChildren(...rows.map(itemOf));
}
