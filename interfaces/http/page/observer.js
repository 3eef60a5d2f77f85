// One observer: its head with what may be done to it, and one of its parts.

import { ask, paths, query } from "./api.js";
import { failedPart } from "./failed_partitions.js";
import { h } from "./dom.js";
import { historyOf } from "./history.js";
import { observerButtons } from "./observer_commands.js";
import { overviewPart } from "./observer_overview.js";
import { progressOf, SHOWN, statusOf } from "./observer_parts.js";
import { observerPaths } from "./observer_paths.js";
import { notice } from "./parts.js";
import { OBSERVER_PARTS, toObserver } from "./route.js";
import { coalesced } from "./stream.js";

const MAKE = { overview: overviewPart, failed: failedPart, history: historyPart };
const TITLES = { overview: "Overview", failed: "Failed partitions", history: "History" };

function historyPart({ place, name, path, query: asked, draw, current }) {
  const address = (wanted) => toObserver(place, name, "history", wanted);
  return historyOf({ path: `${path}/history`, address, caption: `Events of ${name}`, query: asked, draw, current });
}

/** See app.js for what a view is. A part is {render(observer), look?(observer), close?()}, as those of a job are. */
export function observerView(context, route) {
  const { place, draw } = context;
  const name = route.id;
  const all = observerPaths(place);
  const path = all.observer(name);
  const state = { observer: context.kept?.state.observer ?? null, job: context.kept?.state.job ?? null, problem: null };
  const part = MAKE[route.part]({ ...context, name, path, query: route.query, current: () => state.observer });
  const look = coalesced(load);
  const lookBeside = coalesced(loadBeside, 500);

  async function load() {
    try {
      state.observer = await ask(path);
      state.problem = null;
    } catch (problem) {
      state.problem = problem;
    }
    draw();
    lookBeside();
  }

  /** What is shown of its job, and in its part: they change together with the observer. */
  async function loadBeside() {
    const { observer } = state;
    if (!observer || state.problem) return;
    part.look?.(observer);
    try {
      state.job = observer.job ? await ask(paths(place).job(observer.job) + query({ steps: 0 })) : null;
    } catch {
      state.job = null; // it may have been removed
    }
    draw();
  }

  function heard(observer, kind) {
    if (kind !== SHOWN || observer.name !== name) return;
    Object.assign(state, { observer, problem: null });
    lookBeside();
  }

  function render() {
    const { observer, problem } = state;
    if (!observer) {
      return [
        h("div", { class: "title" }, h("h1", {}, problem?.status === 404 ? "No such observer" : name)),
        problem ? notice(problem) : h("p", { class: "muted", role: "status" }, "Loading …"),
      ];
    }
    return [
      h(
        "div",
        { class: "title" },
        h("h1", {}, name, observer.description ? h("span", { class: "details" }, observer.description) : null),
        h("span", { class: "now" }, statusOf(observer)),
        context.may("operator") ? observerButtons(place, observer, look) : null,
      ),
      problem ? notice(problem) : null,
      h("div", { class: "head-progress" }, progressOf(observer)),
      h(
        "nav",
        { class: "tabs", "aria-label": "Parts of this observer" },
        OBSERVER_PARTS.map((each) => h("a", { href: toObserver(place, name, each), "aria-current": each === route.part ? "page" : null, key: each }, TITLES[each], badge(observer, each))),
      ),
      h("section", { "aria-labelledby": "part", class: "part" }, h("h2", { id: "part", class: "unseen" }, TITLES[route.part]), part.render(observer, state.job)),
    ];
  }

  look();
  return {
    kind: `observer ${name}`,
    kept: { of: context.keptOf, state },
    title: `${TITLES[route.part]} · ${name}`,
    stream: all.stream,
    render,
    look,
    heard,
    close: () => {
      look.close();
      lookBeside.close();
      part.close?.();
    },
  };
}

function badge(observer, part) {
  if (part !== "failed" || !observer.failedPartitions) return null;
  return h("span", { class: "badge bad" }, `${observer.failedPartitions}`);
}
