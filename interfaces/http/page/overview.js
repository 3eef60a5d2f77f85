// The overview of a job: why it is as it is, what it was asked to do, how fast it goes, what went wrong.

import { h } from "./dom.js";
import { between, count, duration, number } from "./format.js";
import { askedBy, chip, errorDetails, fact, name, rates, time } from "./parts.js";
import { toJob, toList, toObserver } from "./route.js";
import { ask, query } from "./api.js";
import { coalesced } from "./stream.js";

const FAILED_SHOWN = 5;
const OF_OBSERVERS = ["catch-up-observer", "replay-observer", "replay-observer-partition", "recover-partition", "rebuild-index"];

const LIVE_EVERY = 1_000; // milliseconds
const GROWS_OLD = 10_000; // milliseconds: it says for how long something has been so

export function overviewPart({ place, rules, id, path, draw }) {
  const look = coalesced(load, LIVE_EVERY);
  const again = setInterval(() => document.hidden || look(), GROWS_OLD);
  let why = null;
  let closed = false;
  const close = () => {
    closed = true;
    clearInterval(again);
    look.close();
  };
  return { asked: { steps: FAILED_SHOWN, stepStatus: "Failed" }, render, look, close };

  async function load() {
    try {
      why = await ask(`${path}/why`);
    } catch {
      why = null; // the job itself says what the matter is; until it is known, a shorter sentence does
    }
    if (!closed) draw();
  }

  function render(job) {
    return [
      // What is known of another status explains this one no more.
      why?.status === job.status ? explained(why) : h("p", { key: "why", class: "why", id: "why" }, ...sentence(job)),
      lastChange(job),
      errors(job),
      h("div", { key: "columns", class: "columns" }, facts(job), h("div", {}, progress(job), changes(job))),
    ];
  }

  // What comes and goes has a key: nothing else is to take its place, and what a reader has opened with it.

  /** Why it is so, as `milepost jobs why` tells it. */
  function explained(told) {
    return h(
      "section",
      { key: "explained", "aria-label": "Why" },
      h("p", { class: "why", id: "why" }, h("strong", {}, "Why: "), told.sentence),
      told.pace ? h("p", { class: "muted", id: "pace" }, capital(told.pace.text), ".") : null,
      h("p", { class: "muted", id: "next" }, "Next: ", told.moves.map((move) => move.text).join("; "), "."),
      h(
        "details",
        {},
        h("summary", {}, "The events that explain it"),
        h("ol", { class: "changes", id: "chain" }, told.chain.map((link) => h("li", { key: link.version ?? link.occurred }, time(link.occurred), " ", link.text))),
        told.leftOut ? h("p", { class: "muted" }, `and ${told.leftOut}`) : null,
      ),
    );
  }

  /** In one sentence, why the job is where it is. */
  function sentence(job) {
    const { progress: done } = job;
    const ended = done.successfulSteps + done.failedSteps;
    if (job.waiting) return [h("strong", {}, "It waits: "), job.waiting, "."];
    if (job.heldBy) return [h("strong", {}, "It is still "), name(job.status).toLowerCase(), ", ", job.heldBy, "."];
    switch (job.status) {
      case "Running":
        return [`${number(ended)} of ${count(done.totalSteps, "step")} have ended, ${number(done.runningSteps)} run`, done.waitingSteps ? `, ${number(done.waitingSteps)} wait for another attempt` : "", job.worker ? ` on ${job.worker}.` : "."];
      case "Failed":
        return [h("strong", {}, "The job itself could not go on: "), job.error?.message ?? "see its history", "."];
      case "CompletedWithFailures":
        return [`All steps ended, and ${number(done.failedSteps)} of ${number(done.totalSteps)} failed. A resume runs only those again, from their checkpoints.`];
      case "Stopped":
        return [`It is at rest with ${number(ended)} of ${count(done.totalSteps, "step")} ended, and goes on from its checkpoints when it is resumed.`];
      default:
        return [capital(rules.job.get(job.status)?.meaning ?? job.status), "."];
    }
  }

  function lastChange(job) {
    const change = job.statusChanges.at(-1);
    if (!change) return null;
    const asked = askedBy(job);
    return h(
      "p",
      { key: "last-change", class: "last-change" },
      `${name(change.status)} since `,
      time(change.occurred),
      ", by ",
      h("strong", {}, change.actor),
      ` (${change.source})`,
      change.reason ? [": ", h("q", {}, change.reason)] : ".",
      asked ? [" Asked for by ", h("strong", {}, asked.actor), ` (${asked.source})`, asked.reason ? [": ", h("q", {}, asked.reason)] : "."] : null,
    );
  }

  function errors(job) {
    const failed = (job.steps ?? []).filter((step) => step.error);
    if (!job.error && !failed.length) return null;
    const more = job.progress.failedSteps - failed.length;
    return h(
      "section",
      { key: "errors", class: "errors", "aria-labelledby": "errors" },
      h("h3", { id: "errors" }, "Errors"),
      job.error ? errorDetails(job.error, "The job") : null,
      failed.map((step) => errorDetails(step.error, step.name)),
      more > 0 ? h("p", {}, h("a", { href: toJob(place, id, "steps", "status=Failed") }, `${count(more, "more failed step")}`)) : null,
    );
  }

  function facts(job) {
    return h(
      "section",
      { "aria-labelledby": "facts" },
      h("h3", { id: "facts" }, "What it is"),
      h(
        "dl",
        { class: "facts" },
        fact("Id", h("code", { class: "break" }, job.id)),
        fact("Type", h("a", { href: toList(place, query({ type: job.type }).slice(1)) }, job.type)),
        OF_OBSERVERS.includes(job.type) ? fact("Observer", h("a", { href: toObserver(place, job.request.observer) }, job.request.observer)) : null,
        fact("Created", time(job.created)),
        job.ended ? fact("Ended", time(job.ended), h("span", { class: "muted" }, ` after ${duration(between(job.created, job.ended))}`)) : null,
        fact("Worker", job.worker ?? "none"),
        fact("Queue", `${job.queue}, priority ${job.priority}`),
        fact("Tags", job.tags.length ? job.tags.map((tag) => [h("a", { class: "tag", href: toList(place, query({ tag }).slice(1)) }, tag), " "]) : "none"),
        job.key ? fact("Key", job.key) : null,
        fact("Version", number(job.version)),
      ),
      h("h3", {}, "Request"),
      h("pre", { tabindex: "0", "aria-label": "Request" }, JSON.stringify(job.request, null, 2)),
    );
  }

  function progress(job) {
    const { progress: done } = job;
    const steps = [
      ["Succeeded", done.successfulSteps],
      ["Failed", done.failedSteps],
      ["Running", done.runningSteps],
      ["Waiting", done.waitingSteps],
      ["Stopped", done.stoppedSteps],
      ["Pending", done.pendingSteps],
      ["Cancelled", done.cancelledSteps],
    ].filter(([, amount]) => amount > 0);
    const speed = rates(done);
    return h(
      "section",
      { "aria-labelledby": "speed" },
      h("h3", { id: "speed" }, "Progress"),
      steps.length ? h("ul", { class: "tally-list" }, steps.map(([status, amount]) => h("li", { key: status }, h("a", { href: toJob(place, id, "steps", `status=${status}`) }, chip(status), " ", number(amount))))) : h("p", { class: "muted" }, "No steps yet."),
      speed.length ? h("p", {}, speed.join(" · ")) : null,
      done.stepsPerSecond ? h("p", { class: "muted" }, `${number(done.stepsPerSecond)} steps a second since its present worker began.`) : null,
    );
  }

  function changes(job) {
    return h(
      "section",
      { "aria-labelledby": "changes" },
      h("h3", { id: "changes" }, "Status changes"),
      h(
        "ol",
        { class: "changes" },
        [...job.statusChanges].reverse().map((change) =>
          h("li", { key: change.version }, chip(change.status), h("span", { class: "who" }, time(change.occurred), ` · ${change.actor}`, change.reason ? [" · ", h("q", {}, change.reason)] : null)),
        ),
      ),
    );
  }
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
