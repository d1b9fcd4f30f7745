// Keeps the page on the line fresh: asks for it again and puts what changed into the page that is there, so that
// focus, selection, scrolling and what was opened stay. Without it the page loads itself again (noscript).

import { link } from "./link.js";

const EVERY_MS = 5_000;
const main = document.querySelector("main");

function become(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes])
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [had, has] = [[...old.childNodes], [...fresh.childNodes]];
  had.slice(has.length).forEach((node) => node.remove());
  has.forEach((node, i) => (had[i] ? become(had[i], node) : old.append(document.importNode(node, true))));
}

async function look() {
  try {
    const answer = await fetch(link("/"), { signal: AbortSignal.timeout(15_000) });
    const type = answer.headers.get("content-type") || "";
    if (!type.startsWith("text/html")) throw new Error(`the server answered ${answer.status}`);
    become(main, new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main"));
  } catch {
    const lost = document.getElementById("lost");
    if (lost) lost.hidden = false; // the next answer hides it again
  }
}

async function keep() {
  if (!document.hidden) await look();
  setTimeout(keep, EVERY_MS);
}

setTimeout(keep, EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || look());
