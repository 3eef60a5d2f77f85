// The observers of a namespace, live: what each does, how far it is behind, and what of it has failed.

import { ask } from "./api.js";
import { diagnosisOf, strip } from "./diagnosis.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";
import { known, progressOf, rate, SHOWN, statusOf } from "./observer_parts.js";
import { observerPaths } from "./observer_paths.js";
import { head, notice } from "./parts.js";
import { toObserver } from "./route.js";
import { coalesced } from "./stream.js";

/** See app.js for what a view is. */
export function observersView(context) {
  const { place, draw } = context;
  const paths = observerPaths(place);
  const state = { observers: null, problem: null };
  const look = coalesced(load);
  const redraw = coalesced(async () => draw());
  const diagnosis = diagnosisOf(place, draw);

  async function load() {
    try {
      state.observers = (await ask(paths.observers)).observers;
      state.problem = null;
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  function heard(observer, kind) {
    if (kind !== SHOWN || !state.observers) return;
    const others = state.observers.filter((each) => each.name !== observer.name);
    state.observers = [...others, observer].sort((a, b) => (a.name < b.name ? -1 : 1));
    redraw();
  }

  function render() {
    return [
      h("div", { class: "title" }, h("h1", {}, "Observers"), h("p", { class: "muted" }, state.observers ? count(state.observers.length, "observer") : "…")),
      strip(place, diagnosis.state),
      state.problem ? notice(state.problem) : null,
      state.observers === null ? (state.problem ? null : h("p", { class: "muted", role: "status" }, "Loading …")) : table(),
    ];
  }

  function table() {
    if (!state.observers.length) {
      return h(
        "div",
        { class: "empty", key: "empty" },
        h("p", {}, "There are no observers in this namespace yet."),
        h("p", {}, "A program declares them, and a worker that knows it runs them: name its module under ", h("code", {}, "observers"), " in milepost.toml."),
      );
    }
    return h(
      "table",
      { class: "observers cards", key: "table" },
      h("caption", { class: "unseen" }, `Observers of the namespace ${place.namespace}, by name`),
      head(["Observer", "Status", "Position", "Lag", "Rate", "Handled", "Failed partitions"], ["Lag", "Rate", "Handled", "Failed partitions"]),
      h("tbody", {}, state.observers.map(row)),
    );
  }

  function row(observer) {
    const failed = observer.failedPartitions;
    return h(
      "tr",
      { key: observer.name },
      h(
        "td",
        { class: "job" },
        h("a", { href: toObserver(place, observer.name) }, observer.name),
        observer.description ? h("span", { class: "under" }, observer.description) : null,
        observer.declared ? null : h("span", { class: "under" }, "not declared here"),
      ),
      h("td", { "data-label": "Status" }, statusOf(observer), said(observer)),
      h("td", { "data-label": "Position", class: "wide" }, progressOf(observer)),
      h("td", { "data-label": "Lag", class: "number" }, h("span", {}, known(observer.lag))),
      h("td", { "data-label": "Rate", class: "number" }, h("span", {}, rate(observer))),
      h("td", { "data-label": "Handled", class: "number" }, h("span", {}, number(observer.handled))),
      h("td", { "data-label": "Failed", class: "number" }, failed ? h("a", { class: "failing", href: toObserver(place, observer.name, "failed") }, number(failed), h("span", { class: "unseen" }, ` failed partitions of ${observer.name}`)) : h("span", {}, "0")),
    );
  }

  look();
  return { kind: "observers", title: "Observers", stream: paths.stream, render, look, heard, close: () => (look.close(), redraw.close(), diagnosis.close()) };
}

function said(observer) {
  const text = observer.why ?? observer.trouble;
  return text ? h("span", { class: "under", title: text }, text) : null;
}
