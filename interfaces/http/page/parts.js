// The small pieces that several views show: a status, a progress bar, a time, an error.

import { h } from "./dom.js";
import { amount, count, duration, number, words } from "./format.js";
import { written } from "./times.js";

// A shape and a colour for each: what one cannot tell by the colour one can by the shape and the word.
const MARKS = {
  Pending: ["○", "quiet"],
  Preparing: ["◔", "active"],
  Running: ["▶", "active"],
  Waiting: ["◷", "warn"],
  Stopping: ["◫", "warn"],
  Stopped: ["■", "warn"],
  Cancelling: ["⊘", "warn"],
  Cancelled: ["⊘", "quiet"],
  CompletedSuccessfully: ["✓", "good"],
  Succeeded: ["✓", "good"],
  CompletedWithFailures: ["!", "bad"],
  Failed: ["✕", "bad"],
  Removed: ["–", "quiet"],
  Active: ["●", "good"],
  CatchingUp: ["»", "active"],
  Replaying: ["↻", "active"],
  Paused: ["‖", "warn"],
  Quarantined: ["⊗", "bad"],
  Disconnected: ["◌", "bad"],
  "Active (trouble)": ["!", "bad"], // as it is shown of an observer that is run, and cannot go on
};

export function chip(status, title = null) {
  const [mark, tone] = MARKS[status] ?? ["?", "quiet"];
  return h("span", { class: `chip ${tone}`, title }, h("span", { class: "mark", "aria-hidden": "true" }, mark), name(status));
}

/** `CompletedWithFailures` as `Completed with failures`. */
export function name(status) {
  const text = words(status);
  return text[0].toUpperCase() + text.slice(1);
}

/** Where it says what a status means, for what is `aria-describedby` it. */
export const meaningId = (status) => `meaning-${status}`;

/** What each status means, to be opened: what the mouse is told by its pointing. `known`: those of jobs, or of steps. */
export function meanings(known) {
  return h(
    "details",
    { class: "meanings", key: "meanings" },
    h("summary", {}, "What they mean"),
    h("dl", { class: "facts" }, [...known.values()].map((each) => h("div", { class: "fact", key: each.name }, h("dt", {}, chip(each.name)), h("dd", { id: meaningId(each.name) }, each.meaning)))),
  );
}

/** What is wrong with a filter by status; null where all of them are `known`. */
export function unknownStatus(statuses, known) {
  const unknown = statuses.filter((each) => !known.has(each));
  if (!unknown.length) return null;
  const named = unknown.map((each) => `“${each}”`).join(", ");
  return { message: `There is no status ${named}.`, suggestion: `There are ${[...known.keys()].join(", ")}.` };
}

export const markOf = (status) => MARKS[status] ?? ["?", "quiet"];

export function time(text) {
  return h("time", { datetime: text, title: text }, written(text));
}

/** A bar with what it means in words beside it. `label`: of what it is the progress. */
export function bar(done, total, label, text) {
  const known = total !== null && total !== undefined;
  const properties = known ? { max: Math.max(total, 1), value: Math.min(done, total) } : { max: 1, value: 0 };
  return h(
    "span",
    { class: "progress" },
    h("progress", { ...properties, "aria-label": label }),
    h("span", { class: "progress-text" }, text),
  );
}

/** `70 of 100 steps, 1 failed · 42 items, 12/s · 3 s left` */
export function jobBar(job) {
  const progress = job.progress;
  const ended = progress.successfulSteps + progress.failedSteps;
  if (!progress.totalSteps) {
    return h("span", { class: "muted" }, progress.isCompleted ? "no steps to do" : "no steps yet");
  }
  const label = `Progress of ${job.type} ${job.id}`;
  const parts = [`${number(ended)} of ${count(progress.totalSteps, "step")}`];
  if (progress.failedSteps) parts[0] += `, ${number(progress.failedSteps)} failed`;
  return h(
    "div",
    { class: "job-progress" },
    h(
      "span",
      { class: "progress" },
      h("progress", {
        class: progress.failedSteps ? "has-failures" : null,
        max: progress.totalSteps,
        value: ended,
        "aria-label": label,
      }),
      h("span", { class: "percent" }, `${Math.floor(progress.percentage)} %`),
    ),
    h("span", { class: "progress-text" }, [...parts, ...rates(progress)].map(unbroken).join(" · ")),
  );
}

/** Lines end between the parts, and not in "1 min 06 s". */
const unbroken = (text) => text.replaceAll(" ", "\u00a0");

/** What is known of how fast it goes. */
export function rates(progress) {
  const found = [];
  if (progress.itemsDone) {
    const rate = progress.itemsPerSecond ? `, ${number(progress.itemsPerSecond)}/s` : "";
    found.push(`${amount(progress.itemsDone, null, progress.unit || "items")}${rate}`);
  } else if (progress.stepsPerSecond) found.push(`${number(progress.stepsPerSecond)} steps/s`);
  if (progress.etaSeconds !== null && progress.etaSeconds !== undefined) found.push(`${duration(progress.etaSeconds)} left`);
  return found;
}

/** The change of status by which somebody asked for what its worker then brought about; null where it was no worker. */
export function askedBy(job) {
  const last = job.statusChanges.at(-1);
  const before = job.statusChanges.at(-2);
  return last?.source === "worker" && ["Stopping", "Cancelling"].includes(before?.status) ? before : null;
}

/** An error that opens to all that is known of it. */
export function errorDetails(error, title = null) {
  const kind = error.type.split(".").pop();
  const attempt = error.attempt ? `Attempt ${error.attempt}: ` : "";
  return h(
    "details",
    { class: "error" },
    h("summary", {}, title ? `${title}: ` : attempt, h("strong", {}, kind), ": ", error.message || "no message"),
    error.cut ? h("p", { class: "muted" }, "Shortened: it was larger than what is kept.") : null,
    h("pre", { tabindex: "0", "aria-label": `Traceback of ${kind}` }, error.traceback || "There is no traceback."),
    error.causes.map((cause) => [h("p", {}, "Caused by"), h("pre", { tabindex: "0", "aria-label": "Cause" }, cause)]),
  );
}

export function fact(term, ...value) {
  return h("div", { class: "fact" }, h("dt", {}, term), h("dd", {}, ...value));
}

/** The head of a table. `numeric`: the titles of columns of numbers. */
export function head(titles, numeric = [], before = null) {
  return h("thead", {}, h("tr", {}, before, titles.map((title) => h("th", { scope: "col", class: numeric.includes(title) ? "number" : null }, title))));
}

/** A message that stands where it is until something better is known. */
export function notice(problem) {
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, problem.message),
    problem.suggestion ? h("p", { class: "muted" }, problem.suggestion) : null,
  );
}
