// A session that ended: the person signs in here, or in another tab, and goes on.

import { link } from "../scripts/link.js";
import { at, part } from "./elements.js";
import { signedOut } from "./errors.js";
import * as kept from "./kept.js";
import { onAnother, renewed } from "./server.js";
import { onMessage, tell } from "./tabs.js";

const LOOK_AGAIN_MS = 3_000;
const box = at("session-dialog", HTMLDialogElement);
const name = at("session-name", HTMLInputElement);
const password = at("session-password", HTMLInputElement);
const code = document.getElementById("session-code"); // only for people with a second factor
const why = at("session-why");
const wrong = at("session-wrong");
const ENDED = why.textContent;

export const person = () => name.value;
export const waits = () => box.open;

export function signIn() {
  if (!box.open) box.showModal();
}

// Another person gets a desk of their own; the decisions kept here wait for their owner. If the browser stores nothing,
// they are only in this page, so it stays open.
onAnother((other) => {
  if (kept.safe()) return location.reload();
  why.textContent =
    `${other} is signed in now. Your decisions are only in this page: don't close it. They will be sent once you sign in again.`;
  signIn();
});

async function sendPassword() {
  const fields = { name: name.value, password: password.value, code: code instanceof HTMLInputElement ? code.value : "" };
  const body = new URLSearchParams({ ...fields, next: link("/desk/session").pathname });
  await fetch(link("/sign-in"), { method: "POST", body });
}

/** @param {() => void} goOn what to do once somebody is signed in again */
export function watchSession(goOn) {
  async function look() {
    await renewed();
    if (!box.open) return;
    password.value = "";
    why.textContent = ENDED;
    box.close();
    tell({ signedIn: true });
    goOn();
  }

  const lookQuietly = () => box.open && look().catch(() => {});

  box.addEventListener("cancel", (event) => event.preventDefault());
  part(box, "form").addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    try {
      if (password.value) await sendPassword();
      await look();
    } catch (error) {
      const away = "The server can't be reached.";
      wrong.textContent = signedOut(error) ? "You could not be signed in: check the password." : away;
      wrong.hidden = false;
    }
  });
  onMessage((message) => "signedIn" in message && lookQuietly());
  setInterval(() => document.hidden || lookQuietly(), LOOK_AGAIN_MS); // in another tab, which need not be at the desk
  document.addEventListener("visibilitychange", lookQuietly);
  window.addEventListener("focus", lookQuietly);
  tell({ signedIn: true });
}
