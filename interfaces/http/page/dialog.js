// A modal dialog: labelled by its heading, closed by Escape, and the focus goes back to where it came from.

import { h } from "./dom.js";

let numbers = 0;

/** Shows `content` under a heading until it is closed. Answers {dialog, body, close}. `onClose` may refuse by false. */
export function openDialog(title, content, { onClose = () => {}, mayClose = () => true } = {}) {
  const from = document.activeElement;
  const id = `dialog-${++numbers}`;
  const body = h("div", { class: "dialog-body" }, content);
  const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), body);
  dialog.addEventListener("cancel", (event) => {
    if (!mayClose()) event.preventDefault();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose();
    if (from?.isConnected) from.focus();
    else document.getElementById("main").focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, body, close: () => dialog.close() };
}

/** A labelled place for a reason. */
export function reasonField() {
  const input = h("input", {
    id: `reason-${++numbers}`,
    name: "reason",
    maxlength: 2000,
    autocomplete: "off",
    placeholder: "Kept in the history",
    autofocus: true,
  });
  return { input, field: h("p", { class: "field" }, h("label", { for: input.id }, "Reason"), input) };
}
