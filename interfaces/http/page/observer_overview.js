// The overview of an observer: why it is as it is, where it stands, its job, and what last happened to it.

import { ask, query } from "./api.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";
import { known, rate, whyOf } from "./observer_parts.js";
import { chip, fact, jobBar, name as titled, time } from "./parts.js";
import { toJob, toObserver } from "./route.js";
import { coalesced } from "./stream.js";

const NEWS = 5; // events of its history

export function overviewPart({ place, name, path, draw }) {
  const state = { events: null, version: 0 };
  const look = coalesced(load, 500);

  async function load() {
    try {
      const after = Math.max(0, state.version - NEWS);
      state.events = (await ask(`${path}/history${query({ after, limit: NEWS })}`)).events.reverse();
    } catch {
      state.events = null; // its own part says why
    }
    draw();
  }

  function render(observer, job) {
    return [
      h("p", { class: "why", id: "why" }, ...whyOf(place, observer)),
      job && job.id === observer.job ? itsJob(observer, job) : null,
      h("div", { class: "columns" }, facts(observer), news(observer)),
    ];
  }

  function itsJob(observer, job) {
    return h(
      "section",
      { "aria-labelledby": "its-job", key: "its-job" },
      h("h3", { id: "its-job" }, "Its job"),
      h("p", {}, h("a", { href: toJob(place, job.id) }, job.type, h("span", { class: "unseen" }, ` ${job.id}`)), " ", chip(job.status), job.details ? ` ${job.details}` : ""),
      h("div", { class: "head-progress" }, jobBar(job)),
    );
  }

  function facts(observer) {
    const failed = observer.failedPartitions
      ? [h("a", { href: toObserver(place, name, "failed") }, count(observer.failedPartitions, "partition")), `, ${number(observer.quarantinedPartitions)} quarantined; ${count(observer.waiting, "event")} ${observer.waiting === 1 ? "waits" : "wait"}`]
      : ["none"];
    return h(
      "section",
      { "aria-labelledby": "facts" },
      h("h3", { id: "facts" }, "Where it stands"),
      h(
        "dl",
        { class: "facts" },
        fact("Position", observer.newest === null ? number(observer.position) : `${number(observer.position)}, the newest event is ${number(observer.newest)}`),
        fact("Lag", observer.lag === null ? "not known" : count(observer.lag, "event")),
        fact("Rate", observer.rate === null ? "not known" : rate(observer)),
        fact("Handled", count(observer.handled, "event"), observer.advanced ? [h("span", { class: "muted" }, ", last "), time(observer.advanced)] : null),
        fact("Failed", ...failed),
        fact("Generation", number(observer.generation)),
        fact("Tables", observer.tables.length ? observer.tables.map((each) => [h("code", { class: "break" }, each), " "]) : "none"),
        fact("Worker", observer.worker ?? "none"),
        fact("Version", known(observer.version)),
      ),
    );
  }

  function news(observer) {
    return h(
      "section",
      { "aria-labelledby": "news" },
      h("h3", { id: "news" }, "What last happened"),
      state.events === null
        ? h("p", { class: "muted" }, "…")
        : h(
            "ol",
            { class: "changes" },
            state.events.map((each) =>
              h("li", { key: each.version }, h("strong", {}, titled(each.event.replace(/^Observer/, ""))), each.partition ? h("code", { class: "break" }, each.partition) : null, h("span", { class: "who" }, time(each.occurred), ` · ${each.actor}`, each.reason ? [" · ", h("q", {}, each.reason)] : null)),
            ),
          ),
      observer.version > NEWS ? h("p", {}, h("a", { href: toObserver(place, name, "history") }, `All ${count(observer.version, "event")}`)) : null,
    );
  }

  return {
    look(observer) {
      if (observer.version === state.version && state.events) return;
      state.version = observer.version;
      look();
    },
    render,
    close: () => look.close(),
  };
}
