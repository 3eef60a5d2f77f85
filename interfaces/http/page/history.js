// The history of a job or an observer: every event, with who did it, why, and the version that it made.

import { ask, query as queryOf } from "./api.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { head, notice, time } from "./parts.js";
import { toJob } from "./route.js";
import { coalesced } from "./stream.js";

const PAGE = 50;

export function historyPart({ place, id, path, query, draw, current }) {
  const address = (wanted) => toJob(place, id, "history", wanted);
  return historyOf({ path: `${path}/events`, address, caption: "Events of this job", query, draw, current });
}

/** `path`: where its events are asked for; `address(query)`: of this part; `current()`: the document, for its version. */
export function historyOf({ path, address, caption, query, draw, current }) {
  const oldest = query.get("order") === "oldest";
  const page = Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1);
  const state = { events: null, problem: null };
  const look = coalesced(load, 500);
  let shown = 0; // the version of the job that is shown

  /** The versions of a job's events are 1, 2, 3 …: so each page is known without those before it. */
  async function load() {
    const version = current()?.version ?? 0;
    const last = oldest ? page * PAGE : version - (page - 1) * PAGE;
    const after = Math.max(0, last - PAGE);
    try {
      const limit = Math.min(PAGE, Math.max(1, last - after));
      const { events } = last > 0 ? await ask(path + queryOf({ after, limit })) : { events: [] };
      state.events = oldest ? events : events.reverse();
      state.problem = null;
      shown = version;
    } catch (problem) {
      state.problem = problem;
    }
    draw();
  }

  return {
    look: (job) => {
      if (state.events === null || job.version !== shown) look();
    },
    render,
    close: () => look.close(),
  };

  function to(order, number) {
    const wanted = new URLSearchParams();
    if (order === "oldest") wanted.set("order", order);
    if (number > 1) wanted.set("page", number);
    return address(wanted);
  }

  function render(job) {
    const order = oldest ? "oldest" : "newest";
    const last = Math.max(1, Math.ceil(job.version / PAGE));
    return [
      h(
        "p",
        { class: "order", key: "order" },
        `${number(job.version)} events, `,
        h("a", { href: to("newest", 1), "aria-current": oldest ? null : "true" }, "newest first"),
        " or ",
        h("a", { href: to("oldest", 1), "aria-current": oldest ? "true" : null }, "oldest first"),
      ),
      state.problem ? notice(state.problem) : null,
      state.events === null ? h("p", { class: "muted", role: "status" }, "Loading …") : table(state.events),
      last > 1
        ? h(
            "nav",
            { class: "pager", "aria-label": "Pages of the history", key: "pager" },
            page > 1 ? h("a", { class: "button", href: to(order, page - 1), key: "before" }, oldest ? "Older" : "Newer") : null,
            h("span", { class: "muted" }, `Page ${number(page)} of ${number(last)}`),
            page < last ? h("a", { class: "button", href: to(order, page + 1), key: "behind" }, oldest ? "Newer" : "Older") : null,
          )
        : null,
    ];
  }

  function table(events) {
    return h(
      "table",
      { class: "history cards", key: "table" },
      h("caption", { class: "unseen" }, caption),
      head(["Version", "Time", "Event", "By", "Reason"], ["Version"]),
      h("tbody", {}, events.map(row)),
    );
  }

  function row(event) {
    return h(
      "tr",
      { key: event.version },
      h("td", { class: "number", "data-label": "Version" }, number(event.version)),
      h("td", { class: "time", "data-label": "Time" }, time(event.occurred)),
      h(
        "td",
        { "data-label": "Event", class: "wide" },
        h(
          "details",
          { class: "event" },
          h("summary", {}, h("strong", {}, event.event), subject(event)),
          h("pre", { tabindex: "0", "aria-label": `Data of event ${event.version}` }, JSON.stringify(event.data, null, 2)),
          h("p", { class: "muted break" }, `Event ${event.id}, correlation ${event.correlationId || "none"}`),
        ),
      ),
      h("td", { "data-label": "By", class: "break" }, `${event.actor} `, h("span", { class: "muted" }, `(${event.source})`)),
      h("td", { "data-label": "Reason", class: "break" }, event.reason || h("span", { class: "muted" }, "–")),
    );
  }
}

/** Of what of it an event tells: a step, a partition, or itself. */
function subject(event) {
  const named = event.step ?? event.partition ?? null;
  return named === null ? "" : ` ${named}`;
}
