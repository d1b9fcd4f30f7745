// A decision in a few words: what was decided, and the beginning of the text, blurred if it is sensitive.

import { around, button } from "./elements.js";

/** @import { Decision } from "./kept.js" */

/** @type {Record<string, string>} */
const NAMES = { skip: "skipped", none_fits: "none fits", flag: "flagged" };

/** @param {Decision} decision */
export const decided = (decision) => decision.name || NAMES[decision.action] || "";

/** @param {string} words */
function apart(words) {
  const made = document.createElement("bdi"); // isolates text of any script from the text around it
  made.textContent = words;
  return made;
}

/** @param {Decision} decision */
export const excerpt = (decision) => [apart(decided(decision)), " ", ...textOf(decision)];

/** @param {Decision} decision */
function textOf(decision) {
  const soft = document.createElement("span");
  const text = apart(decision.text || "");
  soft.className = "soft";
  soft.append(text);
  if (!decision.sensitive) return [soft];
  soft.classList.add("blurred");
  text.ariaHidden = "true";
  const show = button("Show", "plain show");
  show.ariaLabel = "Show the text: its label is sensitive";
  return [soft, " ", show];
}

/** @param {Element} within */
export function unblur(within) {
  within.querySelector(".blurred")?.classList.remove("blurred");
  within.querySelector("[aria-hidden]")?.removeAttribute("aria-hidden");
  within.querySelector(".show")?.remove();
}

/** @param {HTMLElement} list of decisions, whose texts a button shows */
export const unblursByButton = (list) => list.addEventListener("click", (event) => {
  const item = around(event, ".show")?.closest("li");
  if (item) unblur(item);
});
