// What the desk tells the person: what happens by itself, and what is wrong.

import { at } from "./elements.js";
import { isAway } from "./errors.js";
import * as kept from "./kept.js";
import { ofOthers } from "./store.js";

const SAID_MS = 12_000;

/** @type {number | undefined} */
let saidUntil;
let away = true; // whether the connection is lost

/**
 * @param {string} id
 * @param {string} words none: it is hidden
 */
function write(id, words) {
  at(id).textContent = words;
  at(id).hidden = !words;
}

/** @param {string} words */
export const trouble = (words) => write("trouble", words);

/** @param {string} words which disappear after a while */
export function say(words) {
  clearTimeout(saidUntil);
  write("said", words);
  if (words) saidUntil = setTimeout(() => say(""), SAID_MS);
}

/** @param {unknown} error why the server has not answered as it should */
export function lost(error) {
  away = isAway(error);
  sayLost();
}

/** While something is wrong: the number of decisions that wait has changed. */
export function countAgain() {
  if (!at("trouble").hidden) sayLost();
}

function sayLost() {
  const n = kept.unsent().length;
  const [why, until] = away ? ["The connection is lost.", "it is back"] : ["The server has problems.", "it works again"];
  const what = n === 1 ? "One decision is" : `${n} decisions are`;
  const where = kept.safe() ? "kept here" : "kept only in this page (don't close it)";
  trouble(`${why} ${n ? `${what} ${where} and will be sent when ${until}.` : `The page continues when ${until}.`}`);
}

export async function sayWhatOthersLeft() {
  const told = Object.entries(await ofOthers()).map(([name, n]) => {
    const who = name || "another person";
    return `${n === 1 ? "One decision" : `${n} decisions`} by ${who} ${n === 1 ? "is" : "are"} kept in this browser ` +
      `and will be sent when ${name || "that person"} opens the desk here.`;
  });
  write("others", told.join(" "));
}
