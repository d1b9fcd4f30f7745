// A session that ended: the person signs in here, or in another tab, and goes on.

import { link } from "./link.js";
import { renewed } from "./server.js";
import { onMessage, tell } from "./tabs.js";

const LOOK_AGAIN_MS = 3_000;
const at = (id) => document.getElementById(id);
const box = at("session-dialog");

export const waits = () => box.open;

export function signIn() {
  if (!box.open) box.showModal();
}

// goOn(): what to do once somebody is signed in again.
export function session(goOn) {
  async function look() {
    await renewed();
    if (!box.open) return;
    at("session-password").value = "";
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
        const fields = new URLSearchParams({ name: at("session-name").value, password, next });
        await fetch(link("/sign-in"), { method: "POST", body: fields });
      }
      await look();
    } catch (error) {
      const away = "The server can't be reached.";
      wrong.textContent = error.status === 401 ? "You are not signed in: is the password right?" : away;
      wrong.hidden = false;
    }
  });
  onMessage((message) => message.signedIn && lookQuietly());
  setInterval(() => document.hidden || lookQuietly(), LOOK_AGAIN_MS); // in another tab, which need not be at the desk
  document.addEventListener("visibilitychange", lookQuietly);
  window.addEventListener("focus", lookQuietly);
  tell({ signedIn: true });
}
