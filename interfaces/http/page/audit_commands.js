// The jobs that prove histories and that rebuild what the lists show: asked with a reason, and seen on their own pages.

import { ask, newKey, paths } from "./api.js";
import { openDialog, reasonField } from "./dialog.js";
import { h } from "./dom.js";
import { toJob } from "./route.js";
import { say, sayProblem } from "./say.js";

const VERIFY = {
  verb: "Verify histories",
  go: "Verify them",
  type: "verify-histories",
  explained: "A job folds the histories of this namespace from the stored bytes, and compares all that is shown with them. It changes nothing. Its steps fail where something differs, and name it.",
};
const REBUILD = {
  verb: "Rebuild read models",
  go: "Rebuild them",
  type: "rebuild-read-models",
  explained: "A job makes what is shown of the jobs of this namespace follow from their events, while others work. A job whose history does not hold is left as it is, and named.",
};

/** For whoever may start jobs. */
export function auditButtons(place) {
  return h(
    "div",
    { class: "commands", role: "group", "aria-label": "Audit" },
    [VERIFY, REBUILD].map((command) => h("button", { type: "button", key: command.type, onclick: () => open(place, command) }, command.verb)),
  );
}

function open(place, { verb, go: words, type, explained }) {
  const { input, field } = reasonField();
  const key = newKey(); // one job, however often it is sent
  const go = h("button", { type: "submit", class: "primary" }, words);
  const form = h(
    "form",
    { method: "dialog", onsubmit: submit },
    h("p", {}, explained),
    field,
    h("p", { class: "buttons" }, go, h("button", { type: "button", onclick: () => opened.close() }, "Do nothing")),
  );
  const opened = openDialog(`${verb}?`, form);

  async function submit(event) {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    try {
      const result = await ask(paths(place).jobs, { method: "POST", body: { type, reason: input.value.trim() }, headers: { "Idempotency-Key": key } });
      opened.close();
      location.hash = toJob(place, result.id);
      say(result.message);
    } catch (problem) {
      opened.close();
      sayProblem(problem);
    }
  }
}
