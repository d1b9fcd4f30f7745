// What the desk says to the person: what goes on by itself, and what is the matter.

import { link } from "../scripts/link.js";
import { at } from "./elements.js";
import { isAway, needsFactor } from "./errors.js";
import * as kept from "./kept.js";
import { ofOthers } from "./store.js";

const SAID_MS = 12_000;

/** @type {number | undefined} */
let saidUntil;
/**
 * What is the matter, when it is over, and what ends it.
 * @typedef {{ why: string, until: string, does?: HTMLElement }} Matter
 */

/** @type {Matter} */
const AWAY = { why: "The connection is lost.", until: "it is back" };
/** @type {Matter} */
const TROUBLE = { why: "The server has trouble.", until: "that is over" };
/** @type {Matter} */
const FACTOR = {
  why: "Your role requires a second factor, and you have none.", until: "you have set one up", does: settingUp(),
};
let matter = AWAY;

// In a tab of its own: where the browser keeps nothing, decisions are in this page alone.
function settingUp() {
  const does = document.createElement("a");
  does.href = link("/account/second-factor").href;
  does.target = "_blank";
  does.rel = "noopener";
  does.textContent = "Set up a second factor";
  return does;
}

/**
 * @param {string} id
 * @param {string} words none: it is hidden
 * @param {HTMLElement} [does] comes after them
 */
function write(id, words, does) {
  at(id).replaceChildren(words, ...(does ? [" ", does] : []));
  at(id).hidden = !words;
}

/**
 * @param {string} words
 * @param {HTMLElement} [does]
 */
export const trouble = (words, does) => write("trouble", words, does);

/** @param {string} words which are gone after a while */
export function say(words) {
  clearTimeout(saidUntil);
  write("said", words);
  if (words) saidUntil = setTimeout(() => say(""), SAID_MS);
}

/** @param {unknown} error why the server has not answered as it should */
export function lost(error) {
  matter = needsFactor(error) ? FACTOR : isAway(error) ? AWAY : TROUBLE;
  sayLost();
}

/** While something is the matter: the number of decisions that wait has changed. */
export function countAgain() {
  if (!at("trouble").hidden) sayLost();
}

function sayLost() {
  const n = kept.unsent().length;
  const { why, until, does } = matter;
  const what = n === 1 ? "One decision is" : `${n} decisions are`;
  const where = kept.safe() ? "kept here" : "kept in this page alone (don't close it)";
  trouble(`${why} ${n ? `${what} ${where} and sent when ${until}.` : `The page goes on when ${until}.`}`, does);
}

export async function sayWhatOthersLeft() {
  const told = Object.entries(await ofOthers()).map(([name, n]) => {
    const who = name || "another person";
    return `${n === 1 ? "One decision" : `${n} decisions`} of ${who} ${n === 1 ? "is" : "are"} kept in this browser, ` +
      `and sent when ${name || "that person"} opens the desk here.`;
  });
  write("others", told.join(" "));
}
