// Shows a document's explanations: a button for each label, and the explanation of the chosen one.

import { button, part } from "./elements.js";

/** @param {HTMLElement} article */
export function labelsOf(article) {
  const choices = /** @type {NodeListOf<HTMLElement>} */ (article.querySelectorAll("[data-label]"));
  return [...choices].map(({ dataset }) => ({ id: dataset.label ?? "", name: dataset.name ?? "" }));
}

/**
 * A panel below the text.
 * @param {HTMLElement} article
 * @param {(label: string) => void} choose what to do once a label is chosen
 */
export function panelOf(article, choose) {
  const panel = document.createElement("div");
  panel.className = "why";
  const group = document.createElement("p");
  group.className = "labels";
  group.role = "group";
  group.ariaLabel = "Explain the label";
  for (const { id, name } of labelsOf(article)) {
    const choice = button("", "quiet", () => choose(id));
    const written = document.createElement("bdi");
    choice.dataset.why = id;
    written.textContent = name;
    choice.append(written);
    group.append(choice);
  }
  const told = document.createElement("div");
  told.role = "status";
  panel.append(group, told);
  part(article, ".text").after(panel);
  return panel;
}

/**
 * @param {HTMLElement} panel
 * @param {string | null} label the one that is chosen; null: the panel is hidden
 * @param {Element | string} told
 */
export function showIn(panel, label, told) {
  panel.hidden = label === null;
  const choices = /** @type {NodeListOf<HTMLElement>} */ (panel.querySelectorAll("[data-why]"));
  choices.forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.why === label)));
  panel.lastElementChild?.replaceChildren(told);
}
