// The failed partitions of an observer: pages of them, found by how their names begin.

import { ask, query as queryOf } from "./api.js";
import { h } from "./dom.js";
import { count, number } from "./format.js";
import { observerPaths } from "./observer_paths.js";
import { chip, head, notice, time } from "./parts.js";
import { toObserver, toPartition } from "./route.js";
import { coalesced } from "./stream.js";

const PAGE = 50;

/** See observer.js for what a part is. */
export function failedPart({ place, name, query, draw }) {
  const beginning = query.get("begins") ?? "";
  const after = query.get("after") ?? "";
  const paths = observerPaths(place);
  const state = { partitions: null, next: null, problem: null };
  const look = coalesced(load, 500);

  /** They are in the order of their names, so those that begin alike follow one another, behind the one named just so. */
  async function load() {
    try {
      const behind = after || (beginning ? `${name}/${beginning}` : "");
      const [exactly, page] = await Promise.all([
        beginning && !after ? named(beginning) : [],
        ask(paths.failed + queryOf({ observer: name, limit: PAGE, after: behind })),
      ]);
      const meant = page.partitions.filter((each) => each.partition.startsWith(beginning));
      const others = meant.filter((each) => each.partition !== exactly[0]?.partition);
      Object.assign(state, { partitions: [...exactly, ...others], next: meant.length === page.partitions.length ? page.next : null, problem: null });
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  async function named(partition) {
    try {
      return [await ask(paths.partition(name, partition))];
    } catch (problem) {
      if (problem.status >= 400 && problem.status < 500) return []; // there is none of just that name
      throw problem;
    }
  }

  const to = (changes) => toObserver(place, name, "failed", queryOf({ begins: beginning, ...changes }).slice(1));

  function searched(event) {
    event.preventDefault();
    location.hash = to({ begins: String(new FormData(event.target).get("begins") ?? "").trim() });
  }

  function render(observer) {
    return [
      observer.failedPartitions || beginning ? search(observer) : null,
      state.problem ? notice(state.problem) : null,
      state.partitions === null ? (state.problem ? null : h("p", { class: "muted", role: "status" }, "Loading …")) : table(),
      pager(),
    ];
  }

  function search(observer) {
    return h(
      "form",
      { class: "search", role: "search", "aria-label": "Failed partitions", key: "search", onsubmit: searched },
      h("p", { class: "field" }, h("label", { for: "begins" }, "Partition begins with"), h("input", { id: "begins", name: "begins", value: beginning, autocomplete: "off", spellcheck: "false", maxlength: 280 })),
      h("button", { type: "submit" }, "Search"),
      beginning ? h("a", { class: "button", href: to({ begins: "" }) }, "Clear") : null,
      h("span", { class: "muted" }, `${count(observer.failedPartitions, "partition")} failed, ${number(observer.quarantinedPartitions)} of them quarantined`),
    );
  }

  function table() {
    if (!state.partitions.length) {
      return h("div", { class: "empty", key: "empty" }, h("p", {}, beginning || after ? "No failed partition matches." : "No partition has failed: all of them go on."));
    }
    return h(
      "table",
      { class: "failed-partitions cards", key: "table" },
      h("caption", { class: "unseen" }, `Failed partitions of ${name}`),
      head(["Partition", "Status", "Error", "Attempts", "Waiting", "Since"], ["Attempts", "Waiting"]),
      h("tbody", {}, state.partitions.map(row)),
    );
  }

  function row(each) {
    return h(
      "tr",
      { key: each.partition },
      h("td", { class: "job" }, h("a", { href: toPartition(place, name, each.partition) }, each.partition), h("span", { class: "under" }, `at event ${number(each.position)}`)),
      h("td", { "data-label": "Status" }, chip(each.status), each.retryAt ? h("span", { class: "under" }, "tried again ", time(each.retryAt)) : each.heldUp ? h("span", { class: "under" }, `waits: ${each.heldUp}`) : null),
      h("td", { "data-label": "Error", class: "break" }, h("span", {}, each.error)),
      h("td", { "data-label": "Attempts", class: "number" }, h("span", {}, number(each.attempts))),
      h("td", { "data-label": "Waiting", class: "number" }, h("span", {}, number(each.waiting))),
      h("td", { "data-label": "Since", class: "time" }, each.since ? time(each.since) : "–"),
    );
  }

  function pager() {
    if (!after && !state.next) return null;
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages of failed partitions", key: "pager" },
      after ? h("a", { class: "button", href: to({}), key: "first" }, "First") : null,
      state.next ? h("a", { class: "button", href: to({ after: state.next }), key: "next" }, "Next") : null,
    );
  }

  return { look, render, close: () => look.close() };
}
