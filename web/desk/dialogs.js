// The desk's dialogs: each asks one question and passes the answer to its caller. Then the text gets the focus back.

import { focusText } from "./documents.js";
import { at } from "./elements.js";
import { call } from "./server.js";

/** @import { Key } from "./keys.js" */

/** @typedef {(words: string | null) => void} Done what to do with what was written; null: nothing was */

/**
 * @param {string} id
 * @param {(value: string) => void} done what to do with the button that was pressed
 */
function open(id, done) {
  const box = at(id, HTMLDialogElement);
  const form = box.querySelector("form");
  if (!form) throw new Error(`the form of the dialog #${id} is missing`);
  // On submit, not on the close event that follows: the next key may come before that.
  form.onsubmit = (event) => {
    event.preventDefault();
    box.close();
    focusText();
    if (event.submitter instanceof HTMLButtonElement && event.submitter.value) done(event.submitter.value);
  };
  box.showModal();
}

/**
 * @param {string} id
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {string | null} words that stand in it
 * @param {Done} done
 */
function openField(id, field, words, done) {
  field.value = words || "";
  open(id, () => done(field.value.trim() || null));
}

/**
 * The dialog that is open, the uppermost of two: a session can end while another question is asked.
 * @returns {HTMLDialogElement | null}
 */
export const opened = () => document.querySelector("#session-dialog[open]") ?? document.querySelector("dialog[open]");

/**
 * What the digits do in a dialog.
 * @param {HTMLDialogElement} box
 * @param {Key} key
 * @returns {boolean} whether one pressed a button
 */
export function inDialog(box, key) {
  if (box.id !== "skip-dialog" || !key.digit) return false;
  /** @type {NodeListOf<HTMLButtonElement>} */
  const buttons = box.querySelectorAll("button[value]:not([value=''])");
  const button = buttons[key.digit - 1];
  if (button && !key.repeat) button.click();
  return Boolean(button);
}

/** @param {(why: string) => void} done */
export const askWhySkip = (done) => open("skip-dialog", done);

/** @param {Done} done */
export const askNoneFits = (done) => openField("none-dialog", at("proposed", HTMLInputElement), null, done);

/**
 * @param {string | null} note
 * @param {Done} done
 */
export const askFlag = (note, done) => openField("flag-dialog", at("flag-text", HTMLTextAreaElement), note, done);

/**
 * @param {string | null} note
 * @param {Done} done
 */
export const askNote = (note, done) => openField("note-dialog", at("note-text", HTMLTextAreaElement), note, done);

export function showHelp() {
  open("help-dialog", () => {});
  // What was shown before stays while the server can't be reached.
  call("guidelines").then(({ html }) => {
    at("guidelines").innerHTML = html; // from our own server, which escapes every text
  }, () => {});
}
