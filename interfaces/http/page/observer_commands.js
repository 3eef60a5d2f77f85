// What an operator may do to an observer and to a failed partition: asked with a reason, told as it was answered.

import { ask, newKey } from "./api.js";
import { openDialog, reasonField } from "./dialog.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";
import { observerPaths } from "./observer_paths.js";
import { toJob } from "./route.js";
import { say, sayProblem } from "./say.js";

const PAUSE = { verb: "Pause", path: "pause", explained: "It handles no live events until it is unpaused. They are not lost: it goes on where it was." };
const UNPAUSE = { verb: "Unpause", path: "unpause", explained: "It goes on where it was. Where it was quarantined, that is over." };
const CATCH_UP = { verb: "Catch up", go: "Catch it up", path: "catch-up", starts: true, explained: "A job handles what it is behind. Live events go on behind it." };
const REPLAY = { verb: "Replay", path: "replay", starts: true, explained: "A job handles all its events again from the first. It can be stopped and resumed." };
const REBUILD = { verb: "Rebuild index", go: "Rebuild it", path: "rebuild-index", starts: true, explained: "A job builds it anew beside the one that is read, compares it with the events, and swaps them only if it is right." };
const RETRY = { verb: "Retry", path: "retry", explained: "Its event is tried again at once, and its attempts count anew. What waits behind it follows." };
const SKIP = { verb: "Skip", path: "skip", explained: "Its event is never handled, and what waits behind it follows. It cannot be taken back but by a replay.", final: true, reasoned: true };
const REPLAY_PARTITION = { verb: "Replay partition", go: "Replay it", path: "replay", starts: true, explained: "A job undoes what this partition brought about, and handles all its events again from the first." };

/** The buttons for what can be done to it as it is. `onDone`: when something was done, or refused. */
export function observerButtons(place, observer, onDone) {
  const still = ["Paused", "Quarantined"].includes(observer.status);
  const possible = [
    observer.canReplay || observer.canReplayBeside ? REPLAY : null,
    observer.declared ? CATCH_UP : null,
    observer.canRebuild ? REBUILD : null,
    still ? UNPAUSE : PAUSE,
  ].filter(Boolean);
  const path = observerPaths(place).observer(observer.name);
  const open = (command) => openCommand({ place, command, path, subject: observer.name, choices: command === REPLAY ? waysOf(observer) : null, onDone });
  return buttons(possible, open);
}

/** The same of a failed partition, for the event that is shown: where another one fails by then, nothing is done. */
export function partitionButtons(place, observer, found, onDone) {
  if (found.status === "Replaying") return null;
  const possible = observer.canReplayPartition ? [RETRY, SKIP, REPLAY_PARTITION] : [RETRY, SKIP];
  const paths = observerPaths(place);
  const { partition } = found;
  const open = (command) =>
    command === REPLAY_PARTITION
      ? openCommand({ place, command, path: paths.observer(observer.name), body: { partition }, subject: partition, onDone })
      : openCommand({ place, command, path: paths.partition(observer.name, partition), body: { ifPosition: found.position }, subject: `${partition}, event ${number(found.position)}, ${count(found.waiting, "event")} waiting`, onDone });
  return buttons(possible, open);
}

function buttons(possible, open) {
  if (!possible.length) return null;
  return h(
    "div",
    { class: "commands", role: "group", "aria-label": "Commands" },
    possible.map((command) => h("button", { type: "button", class: command.final ? "danger" : null, key: command.verb, onclick: () => open(command) }, command.verb)),
  );
}

/** How it can be replayed: [{label, note, body}], the one that readers notice least first. */
function waysOf(observer) {
  const beside = { label: "Beside", note: "Readers keep what is there until the new generation has caught up; then both are swapped at once.", body: { beside: true } };
  const inPlace = { label: "In place", note: "What is there is undone first: until the replay ends, readers find a part of it.", body: { beside: false } };
  return [observer.canReplayBeside ? beside : null, observer.canReplay ? inPlace : null].filter(Boolean);
}

function openCommand({ place, command, path, subject, choices = null, body = {}, onDone }) {
  const { input, field } = reasonField();
  if (command.reasoned) input.required = true;
  const go = h("button", { type: "submit", class: command.final ? "danger" : "primary" }, command.go ?? `${command.verb} it`);
  let busy = false;
  const form = h(
    "form",
    { method: "dialog", onsubmit: submit },
    h("p", { class: "break" }, h("strong", {}, subject)),
    h("p", {}, command.explained),
    choices ? ways(choices) : null,
    command.reasoned ? h("p", { class: "note" }, "A reason must be given: it is all that says later why this event is missing.") : null,
    field,
    h("p", { class: "buttons" }, go, h("button", { type: "button", onclick: () => opened.close() }, "Do nothing")),
  );
  const opened = openDialog(`${command.verb}?`, form);

  async function submit(event) {
    event.preventDefault();
    const reason = input.value.trim();
    if (command.reasoned && !reason) {
      input.setCustomValidity("Say why");
      input.reportValidity();
      input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
      return;
    }
    if (busy) return;
    busy = true;
    go.disabled = true;
    const chosen = choices ? choices[Number(new FormData(form).get("way"))].body : {};
    try {
      // Where a job is started, a key lets it be sent again if the answer is lost; nothing else is sent twice.
      const headers = command.starts ? { "Idempotency-Key": newKey() } : {};
      const result = await ask(`${path}/${command.path}`, { method: "POST", body: { reason, ...body, ...chosen }, headers });
      opened.close();
      say(told(place, result));
    } catch (problem) {
      opened.close();
      sayProblem(problem);
    }
    onDone();
  }
}

function ways(choices) {
  return h(
    "fieldset",
    { class: "ways" },
    h("legend", {}, "How"),
    choices.map(({ label, note }, at) =>
      h("div", {}, h("label", { class: "check" }, h("input", { type: "radio", name: "way", value: at, ".checked": at === 0, "aria-describedby": `way-${at}` }), label), h("p", { class: "muted", id: `way-${at}` }, note)),
    ),
  );
}

/** The answer's own words, with a link to the job that does it. */
function told(place, result) {
  const job = result.job ?? result.id ?? null;
  return job ? [result.message, " ", h("a", { href: toJob(place, job) }, "Its job")] : result.message;
}
