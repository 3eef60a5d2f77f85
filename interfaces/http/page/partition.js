// One failed partition: what waits, each attempt with its error down to the traceback, and what may be done about it.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";
import { partitionButtons } from "./observer_commands.js";
import { SHOWN } from "./observer_parts.js";
import { observerPaths } from "./observer_paths.js";
import { chip, errorDetails, fact, notice, time } from "./parts.js";
import { toJob, toObserver } from "./route.js";
import { coalesced } from "./stream.js";

/** See app.js for what a view is. */
export function partitionView(context, route) {
  const { place, draw } = context;
  const { observer: name, partition } = route;
  const paths = observerPaths(place);
  const state = { found: null, observer: null, problem: null };
  const look = coalesced(load);

  async function load() {
    try {
      const [found, observer] = await Promise.all([ask(paths.partition(name, partition)), ask(paths.observer(name))]);
      Object.assign(state, { found, observer, problem: null });
    } catch (problem) {
      state.problem = problem;
      if (problem.status === 404) state.found = null;
    }
    draw();
  }

  function render() {
    const { found, observer, problem } = state;
    const gone = problem?.status === 404;
    return [
      crumbs(),
      h(
        "div",
        { class: "title" },
        h("h1", { class: "break" }, partition),
        found ? h("span", { class: "now" }, chip(found.status)) : null,
        found && context.may("operator") ? partitionButtons(place, observer, found, look) : null,
      ),
      gone ? notGoing() : problem ? notice(problem) : null,
      found ? [h("p", { class: "why", id: "why" }, ...why(found)), h("div", { class: "columns" }, attempts(found), facts(found))] : problem ? null : h("p", { class: "muted", role: "status" }, "Loading …"),
    ];
  }

  function notGoing() {
    return h(
      "div",
      { class: "notice", role: "status", key: "gone" },
      h("p", {}, "This partition goes on with the others, or there is none of this name. What happened to it stands in the ", h("a", { href: toObserver(place, name, "history") }, "history of its observer"), "."),
    );
  }

  function crumbs() {
    return h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: toObserver(place, name) }, name), h("span", { "aria-hidden": "true" }, " / "), h("a", { href: toObserver(place, name, "failed") }, "Failed partitions"));
  }

  function why(found) {
    const wait = `${count(found.waiting, "event")} ${found.waiting === 1 ? "waits" : "wait"}, that one among them.`;
    const held = found.job ? [" ", h("a", { href: toJob(place, found.job) }, "A job"), " works on it."] : null;
    switch (found.status) {
      case "Quarantined":
        return [h("strong", {}, `Event ${number(found.position)} has failed ${count(found.attempts, "time")}`), " and is not tried again until somebody acts. ", wait, held];
      case "Replaying":
        return ["It handles its events again from the first. ", found.heldUp ? `It waits, for ${found.heldUp}. ` : null, `${count(found.waiting, "event")} ${found.waiting === 1 ? "waits" : "wait"}.`, held];
      default:
        return [`Event ${number(found.position)} has failed ${count(found.attempts, "time")}`, found.retryAt ? [" and is tried again ", time(found.retryAt), ". "] : found.heldUp ? `. It waits, for ${found.heldUp}. ` : ". ", wait, held];
    }
  }

  function attempts(found) {
    return h(
      "section",
      { "aria-labelledby": "attempts" },
      h("h2", { id: "attempts" }, "Attempts, newest first"),
      found.history.length ? h("ol", { class: "attempts" }, found.history.map(attempt)) : h("p", { class: "muted" }, "None."),
    );
  }

  function attempt(each) {
    return h(
      "li",
      { key: each.version },
      h("p", { class: "muted" }, time(each.occurred), ` · event ${number(each.position)} · ${each.actor}`, each.retryAt ? "" : " · the last by itself"),
      errorDetails({ ...each.error, attempt: each.attempt }),
    );
  }

  function facts(found) {
    return h(
      "section",
      { "aria-labelledby": "facts" },
      h("h2", { id: "facts" }, "Where it stands"),
      h(
        "dl",
        { class: "facts" },
        fact("Observer", h("a", { href: toObserver(place, name) }, name)),
        fact("Event", number(found.position)),
        fact("Waiting", count(found.waiting, "event")),
        fact("Attempts", number(found.attempts)),
        found.since ? fact("Since", time(found.since)) : null,
        found.retryAt ? fact("Next try", time(found.retryAt)) : null,
        found.heldUp ? fact("Held up", found.heldUp) : null,
        fact("Job", found.job ? h("a", { href: toJob(place, found.job) }, h("code", { class: "break" }, found.job)) : "none"),
      ),
    );
  }

  look();
  return {
    kind: `partition ${route.id}`,
    title: `${partition} · ${name}`,
    stream: paths.stream,
    render,
    look,
    heard: (told, kind) => (kind === SHOWN ? told.name : told.observer) === name && look(),
    close: () => look.close(),
  };
}
