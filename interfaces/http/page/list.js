// The jobs of a namespace: counts by status, filters, live rows, pages, and commands on many.

import { ask, paths, query } from "./api.js";
import { changeMany, commandButton } from "./commands.js";
import { h } from "./dom.js";
import { count, moment, number } from "./format.js";
import { askedBy, chip, head, jobBar, markOf, meaningId, meanings, name, notice, time, unknownStatus } from "./parts.js";
import { toJob, toList, toStart } from "./route.js";
import { coalesced } from "./stream.js";

const PAGE = 50;
const COUNTS_EVERY = 1_000; // milliseconds
const MOST_SELECTED = 10_000;

/** See app.js for what a view is. */
export function listView(context, route) {
  const { place, rules, draw } = context;
  const filter = {
    status: route.query.getAll("status"),
    type: route.query.getAll("type"),
    tag: route.query.getAll("tag"),
    since: route.query.get("since") ?? "",
    until: route.query.get("until") ?? "",
    id: route.query.get("id") ?? "",
  };
  // What the filter says and nothing can mean: then nothing is listed, rather than more than was asked for.
  const wrong = unknownStatus(filter.status, rules.job) ?? wrongId(filter.id);
  const after = route.query.get("after");
  const before = route.query.get("before");
  const state = { jobs: null, next: null, counts: null, problem: null, types: [], ...context.kept?.state, ...(wrong ? NOTHING : {}), problem: wrong, newer: Boolean(after) };
  const filterText = query(filter);
  // id: what was shown of it. Another filter means other jobs, and those of before would be changed unseen.
  const selected = context.kept?.filterText === filterText ? context.kept.selected : new Map();
  const path = paths(place);
  const lookAtJobs = coalesced(loadJobs);
  const lookAtCounts = coalesced(loadCounts, COUNTS_EVERY);

  async function loadJobs() {
    try {
      const page = before
        ? await ask(path.jobs + query({ ...filter, limit: PAGE, order: "oldest", after: before }))
        : await ask(path.jobs + query({ ...filter, limit: PAGE, after }));
      if (before) {
        Object.assign(state, { jobs: page.jobs.reverse(), next: page.jobs.at(-1)?.id ?? null, newer: page.next !== null });
      } else Object.assign(state, { jobs: page.jobs, next: page.next });
      state.problem = null;
      for (const job of page.jobs) if (selected.has(job.id)) selected.set(job.id, shownOf(job));
    } catch (problem) {
      state.problem = problem;
      if (refused(problem)) Object.assign(state, NOTHING);
    }
    draw();
  }

  async function loadCounts() {
    try {
      const { counts } = await ask(`${path.jobs}/counts${query({ ...filter, status: [] })}`);
      state.counts = counts;
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  async function loadTypes() {
    try {
      state.types = (await ask(path.types)).types.map((each) => each.name);
      draw();
    } catch {
      // The field can be filled in all the same.
    }
  }

  function look() {
    if (wrong) return;
    lookAtJobs();
    lookAtCounts();
  }

  function heard(event) {
    if (wrong) return;
    const shown = state.jobs?.some((job) => job.id === event.jobId);
    if (shown || event.event === "JobStarted") lookAtJobs();
    if (event.event.startsWith("Job")) {
      lookAtCounts();
      if (!shown && filter.status.length) lookAtJobs(); // it may be one that is meant now
    }
  }

  // -- where the filter leads

  const go = (changes) => {
    const { after: _after, before: _before, ...kept } = { ...filter, ...changes };
    location.hash = toList(place, query({ ...kept, after: changes.after, before: changes.before }).slice(1));
  };

  function toggle(status) {
    const chosen = filter.status.includes(status);
    const known = filter.status.filter((each) => each !== status && rules.job.has(each));
    go({ status: chosen ? known : [...known, status] });
  }

  function filtered(event) {
    event.preventDefault();
    const values = new FormData(event.target);
    const text = (field) => String(values.get(field) ?? "").trim();
    const at = (field) => (text(field) ? new Date(text(field)).toISOString() : "");
    const tags = text("tag").split(",").map((each) => each.trim());
    go({ type: text("type") ? [text("type")] : [], tag: tags.filter(Boolean), id: text("id"), since: at("since"), until: at("until") });
  }

  const isFiltered = () => Object.values(filter).some((each) => each.length > 0);

  /** How many the filter means, over all pages; null where that is not known yet. */
  function matching() {
    if (!state.counts) return null;
    const entries = Object.entries(state.counts);
    const meant = filter.status.length ? entries.filter(([status]) => filter.status.includes(status)) : entries;
    return meant.reduce((sum, [, each]) => sum + each, 0);
  }

  // -- what is shown

  function render() {
    const all = matching();
    return [
      h(
        "div",
        { class: "title" },
        h("h1", {}, "Jobs"),
        h("p", { class: "muted" }, all === null ? (state.problem ? "" : "…") : isFiltered() ? `${number(all)} match the filter` : count(all, "job")),
        context.may("operator") ? h("a", { class: "button primary", href: toStart(place) }, "Start a job") : null,
      ),
      statuses(),
      filters(),
      state.problem ? notice(state.problem) : null,
      state.jobs !== null ? [bulk(all), table(), pager()] : state.problem ? h("p", {}, h("a", { href: toList(place) }, "Show all jobs")) : h("p", { class: "muted", role: "status" }, "Loading …"),
    ];
  }

  function statuses() {
    const counts = state.counts ?? {};
    const shown = [...rules.job.keys()].filter((each) => counts[each] || filter.status.includes(each));
    return h(
      "div",
      { class: "statuses", role: "group", "aria-label": "Filter by status", key: "statuses" },
      shown.map((status) => {
        const [mark, tone] = markOf(status);
        return h(
          "button",
          {
            type: "button",
            key: status,
            class: `status ${tone}`,
            "aria-pressed": String(filter.status.includes(status)),
            title: rules.job.get(status).meaning,
            "aria-describedby": meaningId(status),
            onclick: () => toggle(status),
          },
          h("span", { class: "mark", "aria-hidden": "true" }, mark),
          h("span", {}, name(status)),
          " ",
          h("span", { class: "count" }, number(counts[status] ?? 0)),
        );
      }),
      meanings(rules.job),
    );
  }

  function filters() {
    const field = (label, id, properties, wide = "") =>
      h("p", { class: `field ${wide}`, key: id }, h("label", { for: `filter-${id}` }, label), h("input", { id: `filter-${id}`, name: id, autocomplete: "off", ...properties }));
    const active = ["type", "tag", "since", "until", "id"].filter((each) => filter[each].length).length;
    return h(
      "details",
      { class: "filters", open: active > 0, key: "filters" },
      h("summary", {}, "Filter and search", active ? ` (${active} in use)` : ""),
      h(
        "form",
        { class: "filter-form", role: "search", "aria-label": "Jobs", onsubmit: filtered },
        field("Id begins with", "id", { value: filter.id, pattern: "[0-9a-fA-F\\-]{1,36}", title: "Digits, letters a to f and dashes", spellcheck: "false" }),
        field("Type", "type", { value: filter.type[0] ?? "", list: "known-types" }),
        h("datalist", { id: "known-types" }, state.types.map((each) => h("option", { value: each }))),
        field("Tags, with commas between", "tag", { value: filter.tag.join(", ") }),
        field("Created from", "since", { type: "datetime-local", step: 1, value: local(filter.since) }),
        field("Created before", "until", { type: "datetime-local", step: 1, value: local(filter.until) }),
        h("p", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Apply"), isFiltered() ? h("a", { class: "button", href: toList(place) }, "Clear") : null),
      ),
    );
  }

  function bulk(all) {
    if (!context.may("operator") || !(state.jobs.length || selected.size)) return null;
    const shown = state.jobs.map((job) => job.id);
    const chosen = shown.filter((id) => selected.has(id)).length;
    return h(
      "div",
      { class: "bulk", key: "bulk", role: "group", "aria-label": "Commands on many jobs" },
      h(
        "label",
        { class: "check" },
        h("input", {
          type: "checkbox",
          ".checked": chosen > 0 && chosen === shown.length,
          ".indeterminate": chosen > 0 && chosen < shown.length,
          onchange: (event) => selectShown(event.target.checked),
        }),
        selected.size ? `${number(selected.size)} selected` : "Select this page",
      ),
      selected.size ? h("button", { type: "button", class: "plain", onclick: () => (selected.clear(), draw()) }, "Select none") : null,
      h("span", { class: "spacer" }),
      selected.size
        ? rules.commands.filter((command) => [...selected.values()].some(({ status }) => rules.able(command).includes(status))).map((command) => commandButton(command, () => many(command, new Map(selected))))
        : h(
            "details",
            { class: "menu", key: "all" },
            h("summary", { class: "button" }, all === null ? (isFiltered() ? "All matching …" : "All jobs …") : `All ${number(all)} ${isFiltered() ? "matching" : "jobs"} …`),
            h("div", { class: "menu-items" }, possibleOnAll().map((command) => commandButton(command, (event) => (event.target.closest("details").removeAttribute("open"), many(command, null))))),
          ),
    );
  }

  /** The commands that would change a job of those that the filter means. */
  function possibleOnAll() {
    const meant = (status) => (filter.status.length ? filter.status.includes(status) : true) && (state.counts?.[status] ?? 0) > 0;
    return rules.commands.filter((command) => rules.able(command).some(meant));
  }

  /** `chosen`: those that were selected, or null for all that the filter means. */
  function many(command, chosen) {
    const onDone = (done) => {
      if (done) selected.clear();
      look();
      draw();
    };
    const shown = new Set(state.jobs.map((job) => job.id));
    const elsewhere = chosen ? [...chosen.keys()].filter((id) => !shown.has(id)).length : 0;
    changeMany(place, command, { chosen, elsewhere, filter, able: rules.able(command), onDone });
  }

  function selectShown(checked) {
    for (const job of state.jobs) {
      if (!checked) selected.delete(job.id);
      else if (selected.size < MOST_SELECTED) selected.set(job.id, shownOf(job));
    }
    draw();
  }

  function table() {
    if (!state.jobs.length) {
      return h(
        "div",
        { class: "empty", key: "empty" },
        h("p", {}, isFiltered() || after || before ? "No job matches." : "There are no jobs in this namespace yet."),
        isFiltered() || after || before ? h("a", { href: toList(place) }, "Show all jobs") : null,
      );
    }
    const selectable = context.may("operator");
    return h(
      "table",
      { class: "jobs cards", key: "table" },
      h("caption", { class: "unseen" }, `Jobs of the namespace ${place.namespace}, newest first`),
      head(["Job", "Status", "Progress", "Created"], [], selectable ? h("th", { scope: "col" }, h("span", { class: "unseen" }, "Selected")) : null),
      h("tbody", {}, state.jobs.map((job) => row(job, selectable))),
    );
  }

  function row(job, selectable) {
    const change = job.statusChanges.at(-1);
    const since = change ? h("span", { class: "under" }, "since ", time(change.occurred), `, by ${change.actor}`) : null;
    return h(
      "tr",
      { key: job.id },
      selectable
        ? h(
            "td",
            { class: "select" },
            h("input", {
              type: "checkbox",
              "aria-label": `Select ${job.type} ${job.id}`,
              ".checked": selected.has(job.id),
              onchange: (event) => {
                if (event.target.checked) selected.set(job.id, shownOf(job));
                else selected.delete(job.id);
                draw();
              },
            }),
          )
        : null,
      h(
        "td",
        { class: "job" },
        h("a", { href: toJob(place, job.id) }, job.type, h("span", { class: "unseen" }, ` ${job.id}`)),
        job.details ? h("span", { class: "details" }, job.details) : null,
        h("span", { class: "under" }, h("code", {}, shortId(job.id)), job.tags.map((tag) => [" ", h("a", { class: "tag", href: toList(place, query({ tag }).slice(1)) }, tag)])),
      ),
      h("td", { "data-label": "Status" }, chip(job.status), since, why(job)),
      h("td", { "data-label": "Progress", class: "wide" }, jobBar(job)),
      h("td", { "data-label": "Created", class: "time" }, time(job.created)),
    );
  }

  function why(job) {
    const change = job.statusChanges.at(-1);
    const text = job.waiting ? `Waits: ${job.waiting}` : job.error ? job.error.message : (askedBy(job) ?? change)?.reason;
    return text ? h("span", { class: "under", title: text }, text) : null;
  }

  function pager() {
    const first = state.jobs[0]?.id;
    const link = (text, changes, shown) => (shown ? h("button", { type: "button", onclick: () => go(changes), key: text }, text) : null);
    if (!state.newer && !state.next && !after && !before) return null;
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages", key: "pager" },
      link("Newest", {}, after || before),
      link("Newer", { before: first }, state.newer && first),
      link("Older", { after: state.next }, state.next),
    );
  }

  if (!state.types.length) loadTypes();
  look();
  const kept = { of: context.keptOf, state, selected, filterText };
  return { kind: "list", title: "Jobs", kept, render, look, heard, close: () => (lookAtJobs.close(), lookAtCounts.close()) };
}

const NOTHING = { jobs: null, next: null, counts: null };

/** An answer that says that there is no such thing, and no outage: what was listed before is not what was asked for. */
const refused = (problem) => problem.status >= 400 && problem.status < 500 && problem.status !== 429;

function wrongId(id) {
  if (/^[0-9a-fA-F-]{0,36}$/.test(id)) return null;
  return { message: `No id begins with “${id}”.`, suggestion: "Ids have digits, the letters a to f and dashes, 36 at most." };
}

const shownOf = (job) => ({ status: job.status, version: job.statusChanges.at(-1).version });

const shortId = (id) => id.slice(0, 13);

/** A time as a datetime-local field takes it. */
function local(text) {
  const at = new Date(text);
  if (!text || Number.isNaN(at.getTime())) return "";
  return moment(text).replace(" ", "T");
}
