// The time slider of a job: which version of its history is shown, and what the event of that version changed.

import { ask, query } from "./api.js";
import { h } from "./dom.js";
import { amount, count, number, words } from "./format.js";
import { chip, time } from "./parts.js";

const STEPS_TOLD = 8;

/** `path`: of the job; `version`: to begin with, null for now; `moved()`: another moment is to be shown. */
export function pastOf({ path, version, moved }) {
  const state = { version, diff: null };

  return {
    get version() {
      return state.version;
    },
    look,
    render,
    toNow: () => go(null),
  };

  /** What the job's own request asks for, and what changed at that version, which is kept until it is shown. */
  async function look(asked) {
    const wanted = state.version;
    if (wanted === null) return ask(path + query(asked));
    const changed = ask(`${path}/diff${query({ from: wanted - 1, to: wanted, steps: STEPS_TOLD })}`);
    changed.catch(() => {}); // where there is no such version, the job's own answer says so
    const job = await ask(path + query({ ...asked, version: wanted }));
    state.diff = await changed;
    return job;
  }

  function go(wanted) {
    if (wanted === state.version) return;
    state.version = wanted;
    moved();
  }

  /** The newest version is now: who slides there sees what goes on. */
  function slide(wanted, newest) {
    go(wanted >= newest ? null : Math.max(1, wanted));
  }

  function render(job, newest) {
    const at = state.version ?? newest;
    const shown = job.asOf ? `${number(at)} of ${number(newest)}` : `${number(newest)}, now`;
    return h(
      "section",
      { class: state.version === null ? "past" : "past then", "aria-labelledby": "past", key: "past" },
      h("h2", { id: "past", class: "unseen" }, "As it was"),
      h(
        "div",
        { class: "past-line" },
        h("label", { for: "version" }, "Version"),
        h("input", {
          type: "range",
          id: "version",
          min: 1,
          max: Math.max(newest, 1),
          step: 1,
          ".value": String(at),
          "aria-valuetext": state.version === null ? `${number(newest)}, now` : `${number(at)} of ${number(newest)}`,
          "aria-describedby": "past-said",
          oninput: (event) => slide(Number(event.target.value), newest),
        }),
        h("span", { class: "past-at", "aria-hidden": "true" }, shown),
        h(
          "span",
          { class: "past-buttons", role: "group", "aria-label": "Versions" },
          h("button", { type: "button", "aria-disabled": String(at <= 1), onclick: () => slide(at - 1, newest) }, "Earlier"),
          h("button", { type: "button", "aria-disabled": String(state.version === null), onclick: () => slide(at + 1, newest) }, "Later"),
          h("button", { type: "button", "aria-pressed": String(state.version === null), onclick: () => go(null) }, "Now"),
        ),
      ),
      h("div", { class: "past-said", id: "past-said", role: "status" }, job.asOf ? said(job) : null),
    );
  }

  /** What it was then, by which event, and what that changed. */
  function said(job) {
    const diff = state.diff?.after.version === job.asOf.version ? state.diff : null;
    const [actor] = diff?.actors ?? [];
    const happened = diff
      ? [": ", h("strong", {}, Object.keys(diff.events)[0] ?? "nothing"), actor ? [` by ${actor.actor} (${actor.source})`, actor.reasons.length ? [": ", h("q", {}, actor.reasons[0])] : null] : null]
      : null;
    return [
      h("p", {}, `The job as it was at version ${number(job.asOf.version)}, `, time(job.asOf.at), happened, "."),
      diff ? h("ul", { class: "past-changes" }, diff.changes.map(change), diff.steps.map(step), diff.hiddenSteps ? h("li", { key: "more" }, `and ${count(diff.hiddenSteps, "more step")}`) : null) : null,
    ];
  }

  function change({ what, before, after }) {
    const name = words(what.replace(/^progress\./, ""));
    const shown = what === "status" ? (each) => (each ? chip(each) : "none") : value;
    return h("li", { key: what }, `${name}: `, before === null ? null : [shown(before), " → "], shown(after));
  }

  function step({ index, name, before, after }) {
    return h("li", { key: `step ${index}` }, h("strong", {}, name), ": ", before ? [stand(before), " → "] : null, after ? stand(after) : "planned anew");
  }
}

function stand({ status, progress }) {
  const known = progress.done || progress.total !== null;
  return [chip(status), known ? ` ${amount(progress.done, progress.total, progress.unit)}` : ""];
}

function value(each) {
  if (each === null) return "none";
  if (typeof each === "number") return number(each);
  if (typeof each === "object") return each.message ?? JSON.stringify(each);
  return String(each);
}
