// Keeps the page on the line fresh: it fetches the page again and replaces only what changed, so that focus, selection,
// scrolling and opened parts stay. Without this script the page reloads itself (noscript).

import { link } from "../scripts/link.js";

const EVERY_MS = 5_000;

/**
 * Make one node like another that was asked for later.
 * @param {ChildNode} old
 * @param {ChildNode} fresh
 */
function become(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
  if (old instanceof Text && fresh instanceof Text) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (!(old instanceof Element && fresh instanceof Element)) return;
  for (const { name } of [...old.attributes])
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const had = [...old.childNodes];
  had.slice(fresh.childNodes.length).forEach((node) => node.remove());
  fresh.childNodes.forEach((node, i) => {
    const before = had[i];
    if (before) become(before, node);
    else old.append(document.importNode(node, true));
  });
}

async function look() {
  try {
    const answer = await fetch(link("/"), { signal: AbortSignal.timeout(15_000) });
    const type = answer.headers.get("content-type") || "";
    if (!type.startsWith("text/html")) throw new Error(`the server answered ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    become(mainOf(document), mainOf(fresh));
  } catch {
    const lost = document.getElementById("lost");
    if (lost) lost.hidden = false; // the next answer hides it again
  }
}

/** @param {Document} page */
function mainOf(page) {
  const main = page.querySelector("main");
  if (!main) throw new Error("the main part of the page is missing");
  return main;
}

async function keep() {
  if (!document.hidden) await look();
  setTimeout(keep, EVERY_MS);
}

setTimeout(keep, EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || look());
