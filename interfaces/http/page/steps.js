// The steps of a job, page by page, with their progress, attempts and errors.

import { h } from "./dom.js";
import { amount, duration, number } from "./format.js";
import { bar, chip, errorDetails, head, markOf, meaningId, meanings, name, notice, time, unknownStatus } from "./parts.js";
import { toJob } from "./route.js";

const PAGE = 100;
const COUNTERS = {
  Failed: "failedSteps",
  Running: "runningSteps",
  Waiting: "waitingSteps",
  Stopped: "stoppedSteps",
  Pending: "pendingSteps",
  Succeeded: "successfulSteps",
  Cancelled: "cancelledSteps",
};

export function stepsPart({ place, id, query, rules }) {
  const statuses = query.getAll("status").filter((each) => rules.step.has(each));
  const wrong = unknownStatus(query.getAll("status"), rules.step);
  const after = Number.parseInt(query.get("after") ?? "-1", 10);
  const asked = { steps: wrong ? 0 : PAGE, stepsAfter: Number.isFinite(after) ? Math.max(after, -1) : -1, stepStatus: statuses };
  return { asked, render };

  function to(chosen, behind = -1) {
    const wanted = new URLSearchParams(chosen.map((each) => ["status", each]));
    if (behind >= 0) wanted.set("after", behind);
    return toJob(place, id, "steps", wanted);
  }

  function render(job) {
    if (wrong) return [filter(job), notice(wrong), h("p", {}, h("a", { href: to([]) }, "Show all steps"))];
    if (job.steps === null) return [filter(job), h("p", { class: "muted", role: "status" }, "Loading …")];
    return [filter(job), job.steps.length ? table(job.steps) : h("p", { class: "empty" }, empty(job)), pager(job)];
  }

  function empty(job) {
    if (!job.progress.totalSteps) return "It has no steps yet: they come with its plan.";
    return statuses.length ? "No step has this status." : "There are no more steps.";
  }

  function filter(job) {
    const shown = Object.entries(COUNTERS).filter(([status, counter]) => job.progress[counter] || statuses.includes(status));
    return h(
      "div",
      { class: "statuses", role: "group", "aria-label": "Filter steps by status", key: "filter" },
      shown.map(([status, counter]) => {
        const [mark, tone] = markOf(status);
        const chosen = statuses.includes(status);
        const go = () => (location.hash = to(chosen ? statuses.filter((each) => each !== status) : [...statuses, status]));
        return h("button", { type: "button", class: `status ${tone}`, "aria-pressed": String(chosen), title: rules.step.get(status).meaning, "aria-describedby": meaningId(status), onclick: go, key: status }, h("span", { class: "mark", "aria-hidden": "true" }, mark), h("span", {}, name(status)), " ", h("span", { class: "count" }, number(job.progress[counter])));
      }),
      meanings(rules.step),
    );
  }

  function table(steps) {
    return h(
      "table",
      { class: "steps cards", key: "table" },
      h("caption", { class: "unseen" }, "Steps"),
      head(["#", "Step", "Status", "Progress", "Attempts", "Started", "Took"], ["#", "Attempts", "Took"]),
      h("tbody", {}, steps.map((step) => [row(step), step.errors.length ? errorRow(step) : null])),
    );
  }

  function row(step) {
    const { progress } = step;
    const known = progress.done || progress.total !== null;
    const message = progress.message ? h("span", { class: "under" }, progress.message) : null;
    return h(
      "tr",
      { key: step.index },
      h("td", { class: "number index" }, number(step.index)),
      h("th", { scope: "row", class: "break" }, step.name),
      h("td", { "data-label": "Status" }, chip(step.status, rules.step.get(step.status)?.meaning), step.retryAt ? h("span", { class: "under" }, "tried again at ", time(step.retryAt)) : null),
      h("td", { "data-label": "Progress", class: "wide" }, known ? bar(progress.done, progress.total ?? null, `Progress of ${step.name}`, amount(progress.done, progress.total, progress.unit)) : h("span", { class: "muted" }, "–"), message),
      h("td", { class: "number", "data-label": "Attempts" }, number(step.attempts)),
      h("td", { class: "time", "data-label": "Started" }, step.startedAt ? time(step.startedAt) : "–"),
      h("td", { class: "number", "data-label": "Took" }, step.seconds ? duration(step.seconds) : "–"),
    );
  }

  function errorRow(step) {
    return h("tr", { class: "error-row", key: `${step.index}-errors` }, h("td", { colspan: 7 }, [...step.errors].reverse().map((error) => errorDetails(error))));
  }

  function pager(job) {
    const first = asked.stepsAfter < 0;
    const next = job.nextStepsAfter;
    if (first && next === null) return null;
    const previous = statuses.length ? null : Math.max(-1, asked.stepsAfter - PAGE);
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages of steps", key: "pager" },
      first ? null : h("a", { class: "button", href: to(statuses), key: "first" }, "First"),
      first || previous === null ? null : h("a", { class: "button", href: to(statuses, previous), key: "previous" }, "Previous"),
      next === null ? null : h("a", { class: "button", href: to(statuses, next), key: "next" }, "Next"),
    );
  }
}
