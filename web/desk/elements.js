// Elements of the desk's page.

/**
 * The element with an id, of a kind that the template promises.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {{ new (): T }} [kind]
 * @returns {T}
 */
export function at(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`the element #${id} is missing from this page`);
  return /** @type {T} */ (found);
}

/**
 * The part of an element that fits a selector.
 * @param {Element} whole
 * @param {string} selector
 */
export function part(whole, selector) {
  const found = whole.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`${selector} is missing from this page`);
  return found;
}

/**
 * The element around the target of an event that fits a selector, or the target itself.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const around = ({ target }, selector) => (target instanceof Element ? target.closest(selector) : null);

/**
 * @param {string} words
 * @param {string} style
 * @param {() => void} [does]
 */
export function button(words, style, does) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = style;
  made.textContent = words;
  if (does) made.addEventListener("click", does);
  return made;
}
