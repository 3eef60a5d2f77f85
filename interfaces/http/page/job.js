// One job: its head with what may be done to it, and one of its parts.

import { ask, paths, query } from "./api.js";
import { changeJob, commandButton } from "./commands.js";
import { h } from "./dom.js";
import { historyPart } from "./history.js";
import { overviewPart } from "./overview.js";
import { chip, jobBar, notice } from "./parts.js";
import { pastOf } from "./past.js";
import { PARTS, toJob } from "./route.js";
import { sayProblem } from "./say.js";
import { stepsPart } from "./steps.js";
import { coalesced } from "./stream.js";
import { timelinePart } from "./timeline.js";

const MAKE = { overview: overviewPart, steps: stepsPart, timeline: timelinePart, history: historyPart };
const TITLES = { overview: "Overview", steps: "Steps", timeline: "Timeline", history: "History" };

const NO_STEPS = { steps: null, nextStepsAfter: null };

/**
 * See app.js for what a view is. A part is {render(job), asked: {steps…} for the job's own request, look?(job), close?()}:
 * `look` fetches what else it shows.
 */
export function jobView(context, route) {
  const { place, rules, draw } = context;
  const { id } = route;
  const path = paths(place).job(id);
  const before = context.kept;
  const samePart = before?.part === route.part;
  const state = { job: before?.state.job ? { ...before.state.job, ...(samePart ? {} : NO_STEPS) } : null, live: before?.state.live ?? null, newest: before?.state.newest ?? 0, problem: null };
  const past = pastOf({ path, version: versionIn(route.query) ?? before?.past.version ?? null, moved });
  const part = MAKE[route.part]({ ...context, path, id, query: route.query, current: () => state.job });
  const lookAtJob = coalesced(load);
  const drawSoon = coalesced(async () => draw(), 500);

  async function load() {
    const wanted = past.version;
    try {
      const asked = part.asked ?? { steps: 0 };
      const [job, live] = await Promise.all([past.look(asked), wanted === null ? null : ask(path + query({ steps: 0 }))]);
      Object.assign(state, { job, live: live ?? job, newest: (live ?? job).version, problem: null });
    } catch (problem) {
      if (wanted !== null && problem.status === 404) {
        sayProblem(problem); // the address names a version that there is not
        past.toNow();
        return;
      }
      state.problem = problem;
    }
    draw();
    if (state.job && !state.problem) part.look?.(ofPart());
  }

  /** The timeline is of the whole history, whichever moment of it is shown. */
  const ofPart = () => (route.part === "timeline" ? (state.live ?? state.job) : state.job);

  /** Another version is to be shown, and stands in the address: it can be sent to a colleague. */
  function moved() {
    remember();
    draw();
    lookAtJob();
  }

  function remember() {
    const wanted = new URLSearchParams(route.query);
    wanted.delete("version");
    if (past.version !== null) wanted.set("version", past.version);
    history.replaceState(null, "", toJob(place, id, route.part, wanted));
  }

  function render() {
    if (!state.job) {
      return [
        // Built as it will be when there is a job, so that a heading that has the focus keeps it.
        crumbs(),
        h("div", { class: "title" }, h("h1", {}, state.problem?.status === 404 ? "No such job" : "Job")),
        state.problem ? notice(state.problem) : h("p", { class: "muted", role: "status" }, "Loading …"),
      ];
    }
    const { job } = state;
    return [
      crumbs(),
      h(
        "div",
        { class: "title" },
        h("h1", {}, job.type, job.details ? h("span", { class: "details" }, job.details) : null),
        h("span", { class: "now" }, chip(job.status, rules.job.get(job.status)?.meaning), h("span", { class: "unseen" }, `: ${rules.job.get(job.status)?.meaning ?? ""}`)),
        past.version !== null || job.asOf ? null : commands(job), // they are for what is so now
      ),
      state.problem ? notice(state.problem) : null,
      h("div", { class: "head-progress" }, jobBar(job)),
      past.render(job, state.newest),
      h(
        "nav",
        { class: "tabs", "aria-label": "Parts of this job" },
        PARTS.map((each) => h("a", { href: toJob(place, id, each), "aria-current": each === route.part ? "page" : null, key: each }, TITLES[each], badge(job, each))),
      ),
      h("section", { "aria-labelledby": "part", class: "part" }, h("h2", { id: "part", class: "unseen" }, TITLES[route.part]), job.asOf && route.part === "timeline" ? h("p", { class: "muted" }, "The timeline shows the whole history, up to now.") : null, part.render(ofPart())),
    ];
  }

  function crumbs() {
    return h("p", { class: "crumbs" }, h("code", {}, id));
  }

  function badge(job, each) {
    if (each !== "steps" || !job.progress.failedSteps) return null;
    return h("span", { class: "badge bad" }, `${job.progress.failedSteps} failed`);
  }

  function commands(job) {
    if (!context.may("operator")) return null;
    const possible = rules.job.get(job.status)?.commands ?? [];
    if (!possible.length) return null;
    return h(
      "div",
      { class: "commands", role: "group", "aria-label": "Commands" },
      possible.map((command) => commandButton(command, () => changeJob(place, state.job, command, lookAtJob))),
    );
  }

  function heard(event) {
    if (event.jobId !== id) return;
    if (past.version === null) lookAtJob();
    else {
      state.newest = Math.max(state.newest, event.version); // what was stays as it is
      drawSoon();
    }
  }

  if (past.version !== null) remember();
  lookAtJob();
  return {
    kind: `job ${id}`,
    kept: { of: context.keptOf, part: route.part, state, past },
    title: `${TITLES[route.part]} · ${id.slice(0, 13)}`,
    render,
    look: lookAtJob,
    heard,
    close: () => {
      lookAtJob.close();
      drawSoon.close();
      part.close?.();
    },
  };
}

/** Which version an address names; null for now. */
function versionIn(wanted) {
  const found = Number.parseInt(wanted.get("version") ?? "", 10);
  return found >= 1 ? found : null;
}
