// Stop, resume, cancel and remove: asked with a reason, done only to what was seen, and told as it was answered.

import { ask, newKey, paths, Problem, query } from "./api.js";
import { openDialog, reasonField } from "./dialog.js";
import { h, show } from "./dom.js";
import { count, moment, number } from "./format.js";
import { name } from "./parts.js";
import { say, sayProblem } from "./say.js";

const SAID = {
  stop: {
    verb: "Stop",
    explained: "Its steps come to rest at their next checkpoints. It can be resumed.",
    ofMany: "Their steps come to rest at their next checkpoints. They can be resumed.",
  },
  resume: {
    verb: "Resume",
    explained: "It goes on from its checkpoints; what succeeded does not run again.",
    ofMany: "They go on from their checkpoints; what succeeded does not run again.",
  },
  cancel: {
    verb: "Cancel",
    explained: "It is given up for good and cannot be resumed. Its cleanup runs.",
    ofMany: "They are given up for good and cannot be resumed. Their cleanups run.",
    final: true,
  },
  remove: {
    verb: "Remove",
    explained: "It is taken out of the lists for good. Its history stays until it is pruned.",
    ofMany: "They are taken out of the lists for good. Their histories stay until they are pruned.",
    final: true,
  },
};
const AT_ONCE = 50; // jobs of one request
const PROBLEMS_SHOWN = 20;

export const verb = (command) => SAID[command].verb;

export function commandButton(command, onclick, extra = {}) {
  const { final } = SAID[command];
  return h("button", { type: "button", class: final ? "danger" : null, onclick, key: command, ...extra }, SAID[command].verb);
}

/** Asks for a reason and does it, if the job is still what was shown. `job`: the document that was shown. */
export function changeJob(place, job, command, onDone) {
  const { input, field } = reasonField();
  const { verb: said, explained, final } = SAID[command];
  const go = h("button", { type: "submit", class: final ? "danger" : "primary" }, `${said} this job`);
  let busy = false;
  const form = h(
    "form",
    { method: "dialog", onsubmit: submit },
    h("p", { class: "break" }, h("strong", {}, job.type), job.details ? ` · ${job.details}` : "", ` · ${name(job.status)}`),
    h("p", {}, explained),
    field,
    h("p", { class: "buttons" }, go, h("button", { type: "button", onclick: () => opened.close() }, "Do nothing")),
  );
  const opened = openDialog(`${said} this job?`, form);

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    go.disabled = true;
    try {
      const result = await sent(place, job, command, input.value.trim());
      opened.close();
      say(result.message);
    } catch (problem) {
      opened.close();
      sayProblem(problem);
    }
    onDone();
  }
}

/**
 * Only while the job has the status that was shown, since the change that was shown. A running job gets a new version
 * with every report of its steps, and those are no reason to refuse.
 */
async function sent(place, seen, command, reason) {
  const path = paths(place).job(seen.id);
  const version = seen.statusChanges.at(-1).version;
  try {
    return await ask(`${path}/${command}`, {
      method: "POST",
      body: { reason },
      headers: { "If-Match": `"status-${version}"`, "Idempotency-Key": newKey() },
    });
  } catch (problem) {
    if (problem.status !== 412) throw problem;
    const now = await ask(`${path}?steps=0`).catch(() => null);
    if (!now) throw problem; // which says the same in fewer words
    throw new Problem(412, meanwhile(now.statusChanges, command));
  }
}

function meanwhile(changes, command) {
  const last = changes.at(-1);
  const why = last.reason ? `, “${last.reason}”` : "";
  return {
    detail:
      `Somebody changed it meanwhile: it is ${name(last.status)} since ${moment(last.occurred)},` +
      ` by ${last.actor}${why}. Nothing happened.`,
    suggestion: `The page shows it as it is now: look at it, and ${command} it again if that is still right.`,
  };
}

/**
 * One command on many jobs, each only if it still has the status that was seen. `chosen`: those that were selected, as
 * id: {version}, or null for all that `filter` means; `elsewhere`: how many of them are not on the page that is shown; `filter`: as the routes take it; `able`: the statuses in which the command can be done.
 */
export async function changeMany(place, command, { chosen, elsewhere, filter, able, onDone }) {
  const { verb: said, explained, ofMany, final } = SAID[command];
  const state = { ids: [...(chosen?.keys() ?? [])], versions: new Map([...(chosen ?? [])].map(([id, { version }]) => [id, version])), left: 0, done: 0, changed: 0, same: 0, refused: new Map(), refusals: 0, phase: "counting" };
  const filtered = Object.values(filter).some((each) => each.length > 0);
  const stopping = new AbortController();
  const { input, field } = reasonField();
  const opened = openDialog(`${said} many jobs`, [], {
    mayClose: () => state.phase !== "working",
    onClose: () => {
      stopping.abort();
      onDone(state.phase === "told");
    },
  });
  const draw = () => show(opened.body, view());
  const close = () => opened.close();
  draw();
  try {
    if (!chosen) Object.assign(state, await counted());
    state.phase = state.ids.length ? "asking" : "none";
  } catch (problem) {
    if (stopping.signal.aborted) return;
    close();
    sayProblem(problem);
    return;
  }
  draw();
  (opened.body.querySelector("input") ?? opened.body.querySelector("button"))?.focus();

  async function counted() {
    const wanted = filter.status.length ? filter.status : null;
    const status = wanted ? wanted.filter((each) => able.includes(each)) : able;
    const { counts } = await ask(`${paths(place).jobs}/counts${query(filter)}`, { signal: stopping.signal });
    const matching = Object.values(counts).reduce((sum, each) => sum + each, 0);
    const found = [];
    const versions = new Map();
    for (let after = null; status.length; ) {
      const page = await ask(`${paths(place).jobs}/ids${query({ ...filter, status, after, versions: true })}`, { signal: stopping.signal });
      found.push(...page.ids);
      page.ids.forEach((id, at) => versions.set(id, page.statusVersions[at]));
      after = page.next;
      if (!after) break;
    }
    return { ids: found, versions, left: Math.max(0, matching - found.length) };
  }

  async function work(event) {
    event.preventDefault();
    if (state.phase !== "asking") return;
    state.phase = "working";
    const reason = input.value.trim();
    draw();
    opened.body.querySelector("button")?.focus();
    try {
      while (state.done < state.ids.length && !state.halted) {
        const part = state.ids.slice(state.done, state.done + AT_ONCE);
        const ifStatusVersions = Object.fromEntries(part.map((id) => [id, state.versions.get(id)]));
        const { results } = await ask(`${paths(place).jobs}/bulk`, {
          method: "POST",
          body: { command, ids: part, reason, ifStatusVersions },
          headers: { "Idempotency-Key": newKey() },
        });
        results.forEach((result) => note(result));
        state.done += part.length;
        draw();
      }
    } catch (problem) {
      state.problem = problem;
    }
    state.phase = "told";
    draw();
    opened.body.querySelector("button")?.focus();
  }

  function note(result) {
    if (result.error) {
      const refusal = result.detail.replaceAll(new RegExp(`(\\bjob )?${result.id}`, "gi"), "it");
      const why = result.status === 412 ? "Its status has changed since it was listed here. Nothing happened to it." : refusal;
      if (!state.refused.has(why)) state.refused.set(why, []);
      state.refused.get(why).push(result.id);
      state.refusals++;
    } else if (result.changed) state.changed++;
    else state.same++;
  }

  function view() {
    const total = state.ids.length;
    const left = state.left
      ? h("p", { class: "muted" }, `${count(state.left, "other job")}${filtered ? " that the filter means" : ""} cannot be ${past(command)} as ${state.left === 1 ? "it is" : "they are"}, and will be left alone.`)
      : null;
    switch (state.phase) {
      case "counting":
        return h("p", { role: "status" }, "Counting …");
      case "none":
        return [h("p", {}, `None of them can be ${past(command)} as they are.`), h("p", { class: "buttons" }, h("button", { type: "button", onclick: close }, "Close"))];
      case "asking":
        return h(
          "form",
          { method: "dialog", onsubmit: work },
          h("p", {}, ...meant(total), total === 1 ? explained : ofMany),
          elsewhere ? h("p", { class: "notice" }, `${count(elsewhere, "of them is", "of them are")} not on the page that is shown.`) : null,
          left,
          field,
          h("p", { class: "buttons" }, h("button", { type: "submit", class: final ? "danger" : "primary" }, `${said} ${count(total, "job")}`), h("button", { type: "button", onclick: close }, "Do nothing")),
        );
      case "working":
        return [
          h("p", { class: "progress wide" }, h("progress", { max: total, value: state.done, "aria-label": `${said} jobs` }), h("span", { class: "progress-text" }, `${number(state.done)} of ${number(total)}`)),
          h("p", { role: "status" }, tally()),
          h("p", { class: "buttons" }, h("button", { type: "button", disabled: state.halted, onclick: halt }, state.halted ? "Ending after these …" : "Do no more")),
        ];
      default:
        return [
          state.problem ? h("div", { class: "notice bad", role: "alert" }, h("p", {}, state.problem.message), h("p", { class: "muted" }, `What became of up to ${number(Math.min(AT_ONCE, total - state.done))} jobs of the last part is not known: look at the list.`)) : null,
          h("p", { role: "status", class: "tally" }, tally()),
          state.done < total ? h("p", {}, `${count(total - state.done, "job")} were not asked.`) : null,
          [...state.refused].slice(0, PROBLEMS_SHOWN).map(([why, which]) => h("p", { class: "break" }, h("strong", {}, `${count(which.length, "job")}: `), why)),
          h("p", { class: "buttons" }, h("button", { type: "button", class: "primary", onclick: close }, "Close")),
        ];
    }
  }

  /** Which jobs these are: those selected, those of the filter, or, where there is none, all. */
  function meant(total) {
    const many = h("strong", {}, count(total, "job"));
    if (chosen) return [many, " selected. "];
    if (filtered) return [many, total === 1 ? " matches the filter now. " : " match the filter now. "];
    const all = total === 1 ? "The only job" : `All ${count(total, "job")}`;
    return [h("strong", {}, state.left ? `${number(total)} of all ${count(total + state.left, "job")}` : all), " of this namespace. "];
  }

  function tally() {
    const parts = [`${number(state.changed)} changed`];
    if (state.same) parts.push(`${number(state.same)} were so already`);
    parts.push(`${number(state.refusals)} refused`);
    return parts.join(", ");
  }

  function halt() {
    state.halted = true;
    draw();
  }
}

const past = (command) => ({ stop: "stopped", resume: "resumed", cancel: "cancelled", remove: "removed" })[command];
