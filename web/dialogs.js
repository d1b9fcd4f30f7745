// The desk's dialogs: each asks one thing and gives the answer to who opened it.

const at = (id) => document.getElementById(id);

// done(value): what to do with the button that was pressed; leave(): where the focus goes.
function open(id, leave, done) {
  const box = at(id);
  // At the submit, not at the close that follows: the next key may come before that.
  box.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    box.close();
    leave();
    if (event.submitter?.value) done(event.submitter.value);
  };
  box.showModal();
}

export const opened = () => document.querySelector("dialog[open]");

// What the digits do in a dialog: true where one pressed a button.
export function inDialog(box, key) {
  const button = box.id === "skip-dialog" && key.digit > 0 ? box.querySelectorAll("button[value]:not([value=''])")[key.digit - 1] : null;
  if (button && !key.repeat) button.click();
  return Boolean(button);
}

export const askWhySkip = (leave, done) => open("skip-dialog", leave, done);

export function askNoneFits(leave, done) {
  at("proposed").value = "";
  open("none-dialog", leave, () => done(at("proposed").value.trim() || null));
}

export function askFlag(note, leave, done) {
  at("flag-text").value = note || "";
  open("flag-dialog", leave, () => done(at("flag-text").value.trim() || null));
}

export function askNote(note, leave, done) {
  at("note-text").value = note || "";
  open("note-dialog", leave, () => done(at("note-text").value.trim() || null));
}

export function showHelp(labels, leave) {
  at("guidelines").replaceChildren(...labels.flatMap((each) => {
    const name = document.createElement("dt");
    const told = document.createElement("dd");
    name.textContent = each.name;
    told.textContent = each.description || "no guideline yet";
    return [name, told];
  }));
  open("help-dialog", leave, () => {});
}
