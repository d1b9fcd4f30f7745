// The desk: what a person does with the document before them. Documents come as HTML from the server; decisions are
// kept until the server has them, and survive a lost connection, an ended session, a reload, and a crash.

import "./controls.js";
import { refused, written } from "./deciding.js";
import { fill, renew, watchDocuments } from "./documents.js";
import { signedOut } from "./errors.js";
import { endFinding } from "./finding.js";
import * as kept from "./kept.js";
import { loadLabels } from "./labels.js";
import { line } from "./last.js";
import { showNote } from "./note.js";
import { countAgain, lost, sayWhatOthersLeft } from "./notices.js";
import { showRefused } from "./refused.js";
import { onOutcome, send } from "./sending.js";
import { signIn, watchSession } from "./session.js";
import { onMessage } from "./tabs.js";
import { reflect } from "./why.js";

const LOOK_AGAIN_MS = 5_000;

watchDocuments((article) => {
  reflect(article);
  showNote(article);
  endFinding();
});

const sent = () => {
  if (!kept.unsent().length) fill();
};
onOutcome({ written, refused, sent });
onMessage((message) => "written" in message && written(message.written, message.review_id)); // by another tab

async function goOn() {
  await renew();
  send();
  fill();
}

async function begin() {
  try {
    await loadLabels();
  } catch (error) {
    if (signedOut(error)) signIn();
    else lost(error);
    setTimeout(begin, LOOK_AGAIN_MS);
    return;
  }
  await kept.begin(() => {
    showRefused();
    countAgain(); // the other tabs' decisions count too
  });
  kept.unsent().forEach((row) => row.withdrawn || line(row));
  sayWhatOthersLeft().catch(() => {}); // a browser that can't list what it keeps
  await send();
  await fill();
}

window.addEventListener("online", goOn);
watchSession(goOn);
begin();
