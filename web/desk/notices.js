// What the desk tells the person: what happens by itself, and what is wrong.

import { link } from "../scripts/link.js";
import { at } from "./elements.js";
import { isAway, needsFactor } from "./errors.js";
import * as kept from "./kept.js";
import { ofOthers } from "./store.js";

const SAID_MS = 12_000;

/** @type {number | undefined} */
let saidUntil;
/**
 * Why decisions can't be sent now, when they will be, and what the person can do.
 * @typedef {{ why: string, until: string, remedy?: HTMLElement }} Obstacle
 */

/** @type {Obstacle} */
const AWAY = { why: "The connection is lost.", until: "it is back" };
/** @type {Obstacle} */
const TROUBLE = { why: "The server has problems.", until: "it works again" };
/** @type {Obstacle} */
const FACTOR = {
  why: "Your role requires a second factor, and you have none.", until: "you have set one up", remedy: settingUp(),
};
let obstacle = AWAY;

// In a tab of its own: where the browser stores nothing, decisions are kept only in this page.
function settingUp() {
  const address = document.createElement("a");
  address.href = link("/account/second-factor").href;
  address.target = "_blank";
  address.rel = "noopener";
  address.textContent = "Set up a second factor";
  return address;
}

/**
 * @param {string} id
 * @param {string} words none: it is hidden
 * @param {HTMLElement} [remedy] comes after them
 */
function write(id, words, remedy) {
  at(id).replaceChildren(words, ...(remedy ? [" ", remedy] : []));
  at(id).hidden = !words;
}

/**
 * @param {string} words
 * @param {HTMLElement} [remedy]
 */
export const trouble = (words, remedy) => write("trouble", words, remedy);

/** @param {string} words which disappear after a while */
export function say(words) {
  clearTimeout(saidUntil);
  write("said", words);
  if (words) saidUntil = setTimeout(() => say(""), SAID_MS);
}

/** @param {unknown} error why the server has not answered as it should */
export function lost(error) {
  obstacle = needsFactor(error) ? FACTOR : isAway(error) ? AWAY : TROUBLE;
  sayLost();
}

/** While something is wrong: the number of decisions that wait has changed. */
export function countAgain() {
  if (!at("trouble").hidden) sayLost();
}

function sayLost() {
  const n = kept.unsent().length;
  const { why, until, remedy } = obstacle;
  const what = n === 1 ? "One decision is" : `${n} decisions are`;
  const where = kept.safe() ? "kept here" : "kept only in this page (don't close it)";
  const words = n ? `${what} ${where} and will be sent when ${until}.` : `The page continues when ${until}.`;
  trouble(`${why} ${words}`, remedy);
}

export async function sayWhatOthersLeft() {
  const told = Object.entries(await ofOthers()).map(([name, n]) => {
    const who = name || "another person";
    return `${n === 1 ? "One decision" : `${n} decisions`} by ${who} ${n === 1 ? "is" : "are"} kept in this browser ` +
      `and will be sent when ${name || "that person"} opens the desk here.`;
  });
  write("others", told.join(" "));
}
