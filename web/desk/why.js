// Why a label: colours the words of the text that speak for it or against it. A worker computes them the first time; what
// this page has already received is shown at once.

import { at, part } from "./elements.js";
import { signedOut, statusOf, wordsOf } from "./errors.js";
import { explanation } from "./explanation.js";
import { say } from "./notices.js";
import { labelsOf, panelOf, showIn } from "./panel.js";
import { signIn } from "./session.js";

/**
 * What is shown of a document's explanations.
 * @typedef {object} State
 * @property {Element} plain the text without colours
 * @property {HTMLElement} panel
 * @property {string | null} label the id of the one that is explained now
 * @property {string | null} last the one that was explained last
 * @property {Map<string, { text: Element, told: Element }>} found by label
 * @property {Set<string>} asking labels whose explanation is under way
 */

const toggleButton = at("why");
/** @type {WeakMap<HTMLElement, State>} by document */
const states = new WeakMap();

/** @param {HTMLElement} article */
function stateOf(article) {
  let state = states.get(article);
  if (!state) {
    const plain = part(article, ".text bdi");
    const panel = panelOf(article, (label) => explain(article, label));
    state = { plain, label: null, last: null, panel, found: new Map(), asking: new Set() };
    states.set(article, state);
  }
  return state;
}

/**
 * @param {HTMLElement} article
 * @param {string} words what is said where there is no explanation
 */
function paint(article, words) {
  const { plain, panel, label, found } = stateOf(article);
  const shown = label === null ? undefined : found.get(label);
  part(article, ".text").replaceChildren(shown ? shown.text : plain);
  showIn(panel, label, shown ? shown.told : words);
  reflect(article);
}

/**
 * @param {HTMLElement} article
 * @param {string} label
 */
function explain(article, label) {
  const state = stateOf(article);
  state.label = state.last = label;
  paint(article, "Asking a worker …");
  if (!state.found.has(label) && !state.asking.has(label)) ask(article, label);
}

/**
 * @param {HTMLElement} article
 * @param {string} label
 */
async function ask(article, label) {
  const state = stateOf(article);
  /** @param {string} words */
  const tell = (words) => {
    if (state.label === label) paint(article, words);
  };
  state.asking.add(label);
  try {
    const answer = await explanation(article, label, tell);
    if (!answer) return;
    if ("missing" in answer) return tell(answer.missing);
    state.found.set(label, answer);
    tell("");
  } catch (error) {
    if (signedOut(error)) signIn();
    tell(statusOf(error) ? `There is no explanation: ${wordsOf(error)}` : "The server can't be reached.");
  } finally {
    state.asking.delete(label);
  }
}

/** @param {HTMLElement | null} article */
const explains = (article) => article?.dataset.explains === "1";

/**
 * @param {HTMLElement | null} article
 * @returns {article is HTMLElement} whether it can be explained; else it is said why not
 */
function ready(article) {
  if (!article) return false;
  if (!explains(article)) say("There is no prediction to explain here.");
  else if (article.querySelector(".blurred")) say("Show the text first.");
  else return true;
  return false;
}

/** @param {HTMLElement | null} article */
export function toggleWhy(article) {
  if (!ready(article)) return;
  const state = stateOf(article);
  const wanted = state.last ?? labelsOf(article)[0]?.id;
  if (state.label !== null) {
    state.label = null;
    paint(article, "");
  } else if (wanted) explain(article, wanted);
}

/**
 * Explain the next of the document's labels.
 * @param {HTMLElement | null} article
 */
export function nextWhy(article) {
  if (!ready(article)) return;
  const ids = labelsOf(article).map(({ id }) => id);
  const { label } = stateOf(article);
  const next = ids[(label === null ? 0 : ids.indexOf(label) + 1) % ids.length];
  if (next) explain(article, next);
}

/**
 * Let the button say what it does for a document.
 * @param {HTMLElement | null} article
 */
export function reflect(article) {
  toggleButton.hidden = !explains(article);
  toggleButton.setAttribute("aria-pressed", String(Boolean(article && states.get(article)?.label)));
}
