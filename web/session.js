// A session that ended: the person signs in here, or in another tab, and goes on.

import * as kept from "./kept.js";
import { link } from "./link.js";
import { onAnother, renewed } from "./server.js";
import { onMessage, tell } from "./tabs.js";

const LOOK_AGAIN_MS = 3_000;
const at = (id) => document.getElementById(id);
const box = at("session-dialog");
const ENDED = at("session-why").textContent;

export const waits = () => box.open;

export function signIn() {
  if (!box.open) box.showModal();
}

// Another person gets a desk of their own; what is kept here waits for its owner. Where the browser keeps nothing, it is
// in this page alone, which stays.
onAnother((name) => {
  if (kept.safe()) return location.reload();
  at("session-why").textContent =
    `${name} is signed in now. Your decisions are in this page alone: don't close it. They are sent once you sign in again.`;
  signIn();
});

// goOn(): what to do once somebody is signed in again.
export function session(goOn) {
  async function look() {
    await renewed();
    if (!box.open) return;
    at("session-password").value = "";
    at("session-why").textContent = ENDED;
    box.close();
    tell({ signedIn: true });
    goOn();
  }

  const lookQuietly = () => box.open && look().catch(() => {});

  box.addEventListener("cancel", (event) => event.preventDefault());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const password = at("session-password").value;
    const wrong = at("session-wrong");
    wrong.hidden = true;
    try {
      if (password) {
        const next = link("/desk/session").pathname;
        const code = at("session-code")?.value ?? "";
        const fields = new URLSearchParams({ name: at("session-name").value, password, code, next });
        await fetch(link("/sign-in"), { method: "POST", body: fields });
      }
      await look();
    } catch (error) {
      const away = "The server can't be reached.";
      wrong.textContent = error.status === 401 ? "That did not sign you in: is the password right?" : away;
      wrong.hidden = false;
    }
  });
  onMessage((message) => message.signedIn && lookQuietly());
  setInterval(() => document.hidden || lookQuietly(), LOOK_AGAIN_MS); // in another tab, which need not be at the desk
  document.addEventListener("visibilitychange", lookQuietly);
  window.addEventListener("focus", lookQuietly);
  tell({ signedIn: true });
}
