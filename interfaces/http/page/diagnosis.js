// Whether all is well: what was looked at and what is not as it should be, as a strip beside other things and as a page.

import { ask } from "./api.js";
import { auditButtons } from "./audit_commands.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { observerPaths } from "./observer_paths.js";
import { notice, time } from "./parts.js";
import { toDiagnosis, toJob, toObserver } from "./route.js";
import { coalesced } from "./stream.js";

const EVERY = 5_000; // milliseconds: nothing is heard of a worker that dies

/** Asks again and again, as long as the tab is seen: {state: {diagnosis, problem}, look, close}. */
export function diagnosisOf(place, draw) {
  const state = { diagnosis: null, problem: null };
  const look = coalesced(load, 1_000);
  const timer = setInterval(look, EVERY);
  look();

  async function load() {
    try {
      state.diagnosis = await ask(observerPaths(place).diagnosis);
      state.problem = null;
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  return { state, look, close: () => (clearInterval(timer), look.close()) };
}

/** One line: all is well, or what is not and how much more. */
export function strip(place, { diagnosis }) {
  if (!diagnosis) return null;
  const wrong = diagnosis.findings.filter((each) => !each.healthy);
  const [first] = wrong;
  return h(
    "p",
    { class: `strip ${first ? "bad" : "good"}`, key: "strip" },
    h("span", { class: "mark", "aria-hidden": "true" }, first ? "!" : "✓"),
    first ? h("span", { class: "break" }, h("strong", {}, first.subject), `: ${first.message}`) : h("span", {}, "All is well."),
    h("a", { href: toDiagnosis(place) }, wrong.length > 1 ? `${count(wrong.length - 1, "more finding")}` : "Diagnosis"),
  );
}

/** See app.js for what a view is. */
export function diagnosisView(context) {
  const { place, draw } = context;
  const diagnosis = diagnosisOf(place, draw);

  function render() {
    const { diagnosis: found, problem } = diagnosis.state;
    return [
      h("div", { class: "title" }, h("h1", {}, "Diagnosis"), found ? h("p", { class: "muted" }, "checked ", time(found.checked)) : null, context.may("operator") ? auditButtons(place) : null),
      problem ? notice(problem) : null,
      found ? findings(found) : problem ? null : h("p", { class: "muted", role: "status" }, "Loading …"),
    ];
  }

  function findings(found) {
    const wrong = found.findings.filter((each) => !each.healthy);
    const well = found.findings.filter((each) => each.healthy);
    return [
      h("p", { class: "why", role: "status", key: "sum" }, wrong.length ? h("strong", {}, `${count(wrong.length, "finding")} to look at.`) : "All is well."),
      wrong.length ? list(wrong, "Not as it should be") : null,
      well.length ? list(well, "As it should be") : null,
    ];
  }

  function list(some, title) {
    return h(
      "section",
      { "aria-label": title, key: title },
      h("h2", {}, title),
      h("ul", { class: "findings" }, some.map((each) => h("li", { class: each.healthy ? "good" : "bad", key: `${each.area}/${each.subject}/${each.message}` }, finding(place, each)))),
    );
  }

  return { kind: "diagnosis", title: "Diagnosis", render, look: diagnosis.look, heard: () => {}, close: diagnosis.close };
}

function finding(place, { area, subject, healthy, message, suggestion }) {
  const href = addressOf(place, area, subject);
  return [
    h("span", { class: "mark", "aria-hidden": "true" }, healthy ? "✓" : "!"),
    h(
      "div",
      {},
      h("p", {}, h("span", { class: "muted" }, `${area.replaceAll("-", " ")} `), h("strong", { class: "break" }, href ? h("a", { href }, subject) : subject), ": ", message),
      suggestion ? h("p", { class: "muted" }, suggestion) : null,
    ),
  ];
}

/** Where one sees it for oneself; null where there is no page of it. */
function addressOf(place, area, subject) {
  if (area === "observers") return toObserver(place, subject);
  if (area === "failed-partitions") return toObserver(place, subject, "failed");
  return area === "jobs" && /^[0-9a-f]{8}-/.test(subject) ? toJob(place, subject) : null;
}
