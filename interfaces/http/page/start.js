// The form that starts a job, made from the JSON schema of its type's request.

import { ask, newKey, paths } from "./api.js";
import { h } from "./dom.js";
import { notice } from "./parts.js";
import { toJob, toList, toStart } from "./route.js";
import { say } from "./say.js";
import { field, fieldsOf, parsed, valuesOf } from "./schema_form.js";

const UNKNOWN = {
  message: "It is not known whether the job that you asked for before was started",
  suggestion: "Start asks for it once more, at most one job comes of both, and you are told if it was there already",
};

// What a start says beside the job's request, by the ids of the fields.
const KEPT = { tags: "job-tags", queue: "job-queue", priority: "job-priority", reason: "job-reason" };

/** The key of a start whose answer was lost: kept, for this tab, until an answer comes, whatever is changed in the form. */
function unanswered(place) {
  const name = `milepost-start ${place.eventStore}/${place.namespace}`;
  return { get: () => sessionStorage.getItem(name), set: (key) => sessionStorage.setItem(name, key), clear: () => sessionStorage.removeItem(name) };
}

/** See app.js for what a view is. */
export function startView(context, route) {
  const { place, draw } = context;
  const wanted = route.query.get("type");
  const lost = unanswered(place);
  const state = { types: null, loading: null, problem: lost.get() ? UNKNOWN : null, problems: new Map(), busy: false };
  // One start however often it is sent: the same key until something was changed in the form.
  let key = lost.get() ?? newKey();

  async function load() {
    try {
      const { types, problems } = await ask(paths(place).types);
      Object.assign(state, { types, loading: problems });
      if (!lost.get() && state.problem?.status === 0) state.problem = null; // it could not be loaded before
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  const chosen = () => state.types?.find((each) => each.name === wanted) ?? (wanted ? null : state.types?.[0]) ?? null;

  function render() {
    return [
      h("h1", {}, "Start a job"),
      !context.may("operator") ? h("p", { class: "notice" }, "Your token may look at jobs, and not start any.") : null,
      state.types === null && (!state.problem || state.problem === UNKNOWN) ? h("p", { class: "muted", role: "status" }, "Loading …") : null,
      state.types !== null && context.may("operator") ? form() : null,
      // Behind the form, where whoever has just pressed its button is.
      state.problem ? h("div", { key: "problem" }, notice(state.problem)) : null,
    ];
  }

  function form() {
    if (!state.types.length) return h("p", { class: "notice" }, "No job types are known to the server: milepost.toml names their modules.");
    const type = chosen();
    return [
      h(
        "div",
        { class: "field types", key: "types" },
        h("label", { for: "type" }, "Job type"),
        h("select", { id: "type", onchange: (event) => (location.hash = toStart(place, event.target.value)) }, type ? null : h("option", { selected: true }, wanted), state.types.map((each) => h("option", { value: each.name, selected: each.name === type?.name }, each.name))),
        type ? h("span", { class: "note" }, type.description) : h("span", { class: "wrong" }, `The server knows no job type “${wanted}”.`),
      ),
      (state.loading ?? []).map((each) => h("p", { class: "notice" }, each)),
      type ? requestForm(type) : null,
    ];
  }

  function requestForm(type) {
    const fields = fieldsOf(type.request);
    return h(
      "form",
      { class: "start", key: `form-${type.name}`, novalidate: true, onsubmit: (event) => start(event, type, fields), oninput: () => (key = lost.get() ?? newKey()) },
      h(
        "fieldset",
        {},
        h("legend", {}, "Request"),
        fields ? fields.map((each) => field(each, state.problems.get(each.name))) : whole(),
        fields && !fields.length ? h("p", { class: "muted" }, "It asks for nothing.") : null,
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "How it is kept"),
        plain("job-tags", "Tags", "With commas between."),
        plain("job-queue", "Queue", "", { value: type.queue, maxlength: 100 }),
        plain("job-priority", "Priority", "Higher ones are taken first.", { value: type.priority, inputmode: "numeric" }),
        plain("job-reason", "Reason", "Kept in the history.", { maxlength: 2000 }),
      ),
      h("p", { class: "buttons" }, h("button", { type: "submit", class: "primary", disabled: state.busy }, state.busy ? "Starting …" : "Start"), h("a", { class: "button", href: toList(place) }, "Back to the jobs")),
    );
  }

  function whole() {
    const problem = state.problems.get("");
    return h("div", { class: "field tall" }, h("label", { for: "whole" }, "Request as JSON"), h("textarea", { id: "whole", name: "whole", rows: 8, class: "code", spellcheck: "false", "aria-invalid": problem ? "true" : null }, "{}"), problem ? h("span", { class: "wrong" }, problem) : null);
  }

  function plain(id, label, note, properties = {}) {
    const problem = state.problems.get(id);
    const described = [note ? `${id}-note` : "", problem ? `${id}-problem` : ""].filter(Boolean).join(" ");
    return h(
      "div",
      { class: "field", key: id },
      h("label", { for: id }, label),
      h("input", { id, name: id, autocomplete: "off", "aria-describedby": described || null, "aria-invalid": problem ? "true" : null, ...properties }),
      note ? h("span", { class: "note", id: `${id}-note` }, note) : null,
      problem ? h("span", { class: "wrong", id: `${id}-problem` }, problem) : null,
    );
  }

  async function start(event, type, fields) {
    event.preventDefault();
    if (state.busy) return;
    const elements = event.target.elements;
    const text = (name) => elements.namedItem(name).value.trim();
    const { request, problems } = fields ? valuesOf(fields, event.target) : wholeOf(elements.namedItem("whole").value);
    const priority = text("job-priority") === "" ? null : Number(text("job-priority"));
    if (priority !== null && !Number.isInteger(priority)) problems.set("job-priority", "It must be a whole number");
    if (problems.size) return refused(problems, null);
    const body = {
      type: type.name,
      request,
      tags: text("job-tags").split(",").map((each) => each.trim()).filter(Boolean),
      queue: text("job-queue") || null,
      priority,
      reason: text("job-reason"),
    };
    state.busy = true;
    draw();
    try {
      const result = await ask(paths(place).jobs, { method: "POST", body, headers: { "Idempotency-Key": key } });
      lost.clear();
      location.hash = toJob(place, result.id);
      say(result.message); // there
    } catch (problem) {
      state.busy = false;
      if (problem.unknown) {
        lost.set(key);
        return refused(new Map(), UNKNOWN);
      }
      // An answer that says no: nothing was started. But where the key was used before, the one before was.
      const before = lost.get() !== null && problem.status === 409;
      lost.clear();
      key = newKey();
      refused(atFields(problem, fields), before ? { message: `The job that you asked for before was started: ${problem.message}`, suggestion: "Start now asks for another one" } : problem);
    }
  }

  function wholeOf(text) {
    try {
      return { request: parsed(text), problems: new Map() };
    } catch (error) {
      return { request: null, problems: new Map([["", error.message]]) };
    }
  }

  function refused(problems, problem) {
    state.problems = problems;
    state.problem = problem;
    draw();
    document.querySelector('[aria-invalid="true"]')?.focus();
  }

  /** All that the server finds wrong, by field: "steps: Input should be …", "months.3: …", {where: "body.tags.3", what}. */
  function atFields(problem, fields) {
    const found = new Map();
    const note = (name, deeper, what) => found.set(name, [found.get(name), [...deeper, what].join(": ")].filter(Boolean).join("; "));
    for (const { where, what } of problem.errors ?? []) {
      const [, name, ...deeper] = where.split(".");
      if (KEPT[name]) note(KEPT[name], deeper.length ? [deeper.join(".")] : [], what);
    }
    for (const text of problem.problems ?? []) {
      const at = text.indexOf(": ");
      const [name, ...deeper] = text.slice(0, Math.max(at, 0)).split(".");
      if (!fields) note("", [], text);
      else if (fields.some((each) => each.name === name)) note(name, deeper.length ? [deeper.join(".")] : [], text.slice(at + 2));
    }
    return found;
  }

  load();
  return { kind: "start", title: "Start a job", render, look: () => (state.types === null ? load() : undefined), heard: () => {}, close: () => {} };
}
