// The timeline of a job: when each step ran, on which worker, how each attempt ended, and what happened in between.

import { ask, query as queryOf } from "./api.js";
import { h } from "./dom.js";
import { between, clock, count, duration, moment, number } from "./format.js";
import { head, notice, time } from "./parts.js";
import { toJob } from "./route.js";
import { coalesced } from "./stream.js";

const LIVE_EVERY = 1_000; // milliseconds
const TALLEST = 640; // pixels of all rows, where there are many
const TICKS_APART = 110; // pixels
const BREAK_WIDTH = 34; // pixels of a time in which nothing ran
const SHARE_OF_A_BREAK = 0.12; // of the time in which steps ran: a longer rest is drawn as a break
const SIGN_WIDTH = 14; // pixels; marks nearer to each other share one sign
const LETTER_WIDTH = 6; // pixels of the labels, about
const MARKS = {
  JobStarted: ["+", "started"],
  JobClaimed: ["⚑", "taken by a worker"],
  JobPrepared: ["◔", "steps prepared"],
  JobReleased: ["⚐", "given back by its worker"],
  JobStopRequested: ["◫", "stop asked for"],
  JobStopped: ["■", "stopped"],
  JobResumed: ["▶", "resumed"],
  JobCancelRequested: ["⊘", "cancel asked for"],
  JobCancelled: ["⊘", "cancelled"],
  JobCompleted: ["✓", "completed"],
  JobFailed: ["✕", "failed"],
  JobRemoved: ["–", "removed"],
};
const WEIGHTY = new Set(["JobStopped", "JobResumed", "JobCancelled", "JobCompleted", "JobFailed"]); // of those that share a sign

export function timelinePart({ place, id, path, query, draw, current }) {
  const asked = { first: query.get("first"), last: query.get("last") };
  const state = { picture: null, problem: null, width: 0, open: false };
  const look = coalesced(load, LIVE_EVERY);
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width !== state.width) {
      state.width = width;
      draw();
    }
  });
  let shown = -1;
  let closed = false;

  async function load() {
    try {
      const version = current()?.version;
      state.picture = await ask(`${path}/timeline${queryOf(asked)}`);
      state.problem = null;
      shown = version;
    } catch (problem) {
      state.problem = problem;
    }
    if (closed) return; // another part is shown by now
    draw();
    const holder = document.querySelector(".timeline");
    if (holder) observer.observe(holder);
  }

  return {
    look: (job) => {
      if (job.version !== shown) look();
    },
    render,
    close: () => ((closed = true), look.close(), observer.disconnect()),
  };

  function render() {
    if (state.problem) return notice(state.problem);
    const { picture } = state;
    if (!picture) return h("p", { class: "muted", role: "status" }, "Loading …");
    const parted = asked.first !== null || asked.last !== null;
    return [
      h("p", { key: "summary", id: "timeline-summary" }, summary(picture)),
      parted ? h("p", { key: "back" }, h("a", { href: toJob(place, id, "timeline") }, "Show all steps")) : null,
      h("div", { class: "timeline", key: "picture" }, picture.rows.length ? drawing(picture, Math.max(state.width || 900, 280)) : h("p", { class: "empty" }, "No step has begun yet.")),
      picture.rows.length ? legend(picture) : null,
      table(picture),
      marks(picture),
    ];
  }

  function summary(picture) {
    const steps = picture.last - picture.first + 1;
    if (steps <= 0) return "It has no steps yet.";
    const which = steps === picture.totalSteps ? count(steps, "step") : `Steps ${number(picture.first)} to ${number(picture.last)} of ${number(picture.totalSteps)}`;
    const took = picture.rows.length ? ` from ${moment(picture.begin)}, over ${duration(between(picture.begin, picture.end))}` : "";
    const size = picture.stepsPerRow > 1 ? ` Each row stands for ${number(picture.stepsPerRow)} steps: choose one to see them apart.` : "";
    return `${which}, ${number(picture.begun)} begun${took}.${size}`;
  }

  function toRow(row) {
    return toJob(place, id, "timeline", new URLSearchParams({ first: row.first, last: row.last }));
  }

  // -- the picture

  function drawing(picture, width) {
    const labels = width < 520 ? 76 : 170;
    const rows = Math.floor((picture.rows.at(-1).first - picture.first) / picture.stepsPerRow) + 1; // as far as steps have begun
    const height = Math.max(3, Math.min(20, Math.floor(TALLEST / rows)));
    const scale = scaleOf(picture, labels, width - 12);
    const top = scale.breaks.length ? 48 : 34; // the breaks, the times, and the signs of what happened
    const bottom = top + rows * height;
    const every = Math.ceil(16 / height);
    const names = workersOf(picture);
    return h(
      "svg",
      { role: "img", width, height: bottom + 6, viewBox: `0 0 ${width} ${bottom + 6}`, "aria-label": `Timeline. ${summary(picture)}`, class: "picture" },
      patterns(),
      ticks(scale, picture, top, bottom),
      scale.breaks.map((gap) => [
        h("rect", { class: "break-gap", x: gap.x, y: top, width: gap.width, height: bottom - top }, h("title", {}, `Nothing ran for ${duration(gap.seconds)}`)),
        h("text", { class: "label middle", x: gap.x + gap.width / 2, y: 10 }, `… ${duration(gap.seconds)} …`),
      ]),
      worded(signsOf(picture, scale), width).map((sign) => signDrawn(sign, top, bottom)),
      picture.rows.map((row) => {
        const index = Math.floor((row.first - picture.first) / picture.stepsPerRow);
        const y = top + index * height;
        return h(
          "g",
          { key: row.first, class: picture.stepsPerRow > 1 ? "row zooms" : "row", onclick: picture.stepsPerRow > 1 ? () => (location.hash = toRow(row)) : null },
          index % every === 0 ? h("text", { class: "label", x: 0, y: y + Math.max(height, 11) - 4 }, clipped(labelOf(row), labels)) : null,
          h("rect", { class: "row-back", x: labels, y, width: Math.max(0, width - labels - 12), height }),
          row.runs.map((run) => runDrawn(run, row, y, height, scale, names)),
        );
      }),
    );
  }

  function runDrawn(run, row, y, height, scale, names) {
    const x = scale(Date.parse(run.begin));
    const width = Math.max(scale(run.end ? Date.parse(run.end) : scale.end) - x, 2.5);
    const inner = height > 8 ? height - 4 : height - 1;
    const bad = run.failed + run.interrupted;
    const share = run.attempts > 1 && bad && bad < run.attempts ? Math.max(2, (inner * bad) / run.attempts) : 0;
    const letter = run.workers.length === 1 && names.size > 1 && height >= 16 && width > 18 ? names.get(run.workers[0]) : "";
    return [
      h("rect", { class: `run ${toneOf(run)}`, x, y: y + (height > 8 ? 2 : 0.5), width, height: inner, rx: height > 8 ? 2 : 0 }, h("title", {}, `${labelOf(row)}: ${told(run)}`)),
      share ? h("rect", { class: "run bad", x, y: y + (height > 8 ? 2 : 0.5) + inner - share, width, height: share }) : null,
      letter ? h("text", { class: "letter", x: x + width / 2, y: y + height - 6 }, letter) : null,
    ];
  }

  function signDrawn({ x, marks, shown, side }, top, bottom) {
    const [sign, meaning] = meaningOf(shown);
    return h(
      "g",
      { class: "mark-line", key: `mark-${shown.mark.version}` },
      marks.map((each) => h("line", { x1: each.x, x2: each.x, y1: top - 5, y2: bottom })),
      h("text", { class: "sign", x, y: top - 8 }, sign),
      side ? h("text", { class: side < 0 ? "label end" : "label", x: x + (side * SIGN_WIDTH) / 2, y: top - 8 }, meaning) : null,
      h("title", {}, marks.map(({ mark }) => `${meaningOf({ mark })[1]}, ${moment(mark.at)}, by ${mark.actor}${mark.reason ? `: ${mark.reason}` : ""}`).join("\n")),
    );
  }

  function ticks(scale, picture, top, bottom) {
    const found = [];
    let free = -Infinity;
    let said = "";
    for (const part of scale.parts) {
      const amount = Math.max(1, Math.floor(part.width / TICKS_APART));
      for (let each = 0; each < amount; each++) {
        const x = part.x + (part.width * each) / amount;
        const at = part.from + ((part.to - part.from) * each) / amount;
        const text = tickText(at, picture);
        if (x < free + 64 || text === said) continue;
        free = x;
        said = text;
        found.push(h("line", { class: "tick", x1: x, x2: x, y1: top - 32, y2: bottom }), h("text", { class: "label", x: x + 3, y: top - 24 }, text));
      }
    }
    return found;
  }

  function tickText(at, picture) {
    const span = between(picture.begin, picture.end);
    const date = new Date(at);
    const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
    if (span < 20) return `${clock(date)}.${milliseconds.slice(0, span < 0.2 ? 3 : span < 2 ? 2 : 1)}`;
    return span < 86_400 ? clock(date) : moment(date).slice(5, 16);
  }

  // -- the same in words

  function legend(picture) {
    const names = workersOf(picture);
    const tones = [
      ["good", "succeeded"],
      ["active", "running"],
      ["bad", "failed or interrupted"],
      ["warn", "stopped"],
    ];
    return h(
      "ul",
      { class: "legend", "aria-label": "What the picture shows", key: "legend" },
      tones.map(([tone, text]) => h("li", {}, h("svg", { width: 18, height: 12, "aria-hidden": "true" }, h("rect", { class: `run ${tone}`, x: 0, y: 0, width: 18, height: 12, rx: 2 })), ` ${text}`)),
      signsMeant(picture).map(([sign, meaning]) => h("li", { key: meaning }, h("span", { class: "sign-text", "aria-hidden": "true" }, sign), ` ${meaning}`)),
      [...names].map(([worker, letter]) => h("li", { class: "break" }, names.size > 1 ? h("strong", {}, letter, " ") : "on ", h("code", {}, worker))),
    );
  }

  function table(picture) {
    if (!picture.rows.length) return null;
    return h(
      "details",
      { class: "as-table", key: "table", ontoggle: (event) => ((state.open = event.target.open), draw()) },
      h("summary", {}, "The same as a table"),
      state.open
        ? h(
            "table",
            { class: "cards" },
            h("caption", { class: "unseen" }, "When the steps ran"),
            head([picture.stepsPerRow > 1 ? "Steps" : "Step", "Began", "Took", "How it went", "Worker"], ["Took"]),
            h("tbody", {}, picture.rows.map((row) => row.runs.map((run, index) => tableRow(picture, row, run, index)))),
          )
        : null,
    );
  }

  function tableRow(picture, row, run, index) {
    const label = labelOf(row);
    return h(
      "tr",
      { key: `${row.first}-${index}` },
      h("th", { scope: "row", class: "break" }, picture.stepsPerRow > 1 ? h("a", { href: toRow(row) }, label) : label),
      h("td", { class: "time", "data-label": "Began" }, time(run.begin)),
      h("td", { class: "number", "data-label": "Took" }, run.end ? duration(between(run.begin, run.end)) : "still runs"),
      h("td", { "data-label": "How it went" }, outcomes(run)),
      h("td", { class: "break", "data-label": "Worker" }, run.workers.join(", ")),
    );
  }

  function marks(picture) {
    return h(
      "section",
      { "aria-labelledby": "marks", key: "marks" },
      h("h3", { id: "marks" }, "What happened to the job"),
      picture.marksLeftOut ? h("p", { class: "muted" }, `${count(picture.marksLeftOut, "older one")} left out: the history has them all.`) : null,
      h(
        "ol",
        { class: "changes" },
        picture.marks.map((mark, index) => {
          const [sign, meaning] = MARKS[mark.event] ?? ["·", mark.event];
          const before = picture.marks[index - 1];
          const later = before ? ` · ${duration(between(before.at, mark.at))} later` : "";
          return h("li", { key: mark.version }, h("span", { class: "sign-text", "aria-hidden": "true" }, sign), h("span", { class: "who" }, h("strong", {}, meaning), " · ", time(mark.at), `${later} · ${mark.actor}`, mark.reason ? [" · ", h("q", {}, mark.reason)] : null));
        }),
      ),
    );
  }
}

const meaningOf = ({ mark }) => MARKS[mark.event] ?? ["·", mark.event];

/** What happened to the job while its steps ran, as {x, mark}. */
function marksDrawn(picture, scale) {
  const drawn = picture.marks.filter((mark) => mark.event !== "JobPrepared" && Date.parse(mark.at) >= scale.begin && Date.parse(mark.at) <= scale.end + 1000);
  return drawn.map((mark) => ({ mark, x: scale(Math.min(Date.parse(mark.at), scale.end)) }));
}

/** Marks that lie together, as {x, marks, shown}: `shown` is the one whose sign stands for all. */
function signsOf(picture, scale) {
  const found = [];
  for (const each of marksDrawn(picture, scale)) {
    const last = found.at(-1);
    if (last && each.x < last.x + SIGN_WIDTH) last.marks.push(each);
    else found.push({ x: each.x, marks: [each] });
  }
  for (const sign of found) sign.shown = sign.marks.findLast(({ mark }) => WEIGHTY.has(mark.event)) ?? sign.marks[0];
  return found;
}

/** On which `side` of each sign there is room for its word: 1 right, -1 left, 0 on neither. */
function worded(signs, right) {
  let free = 0;
  for (const [index, sign] of signs.entries()) {
    const wide = SIGN_WIDTH / 2 + meaningOf(sign.shown)[1].length * LETTER_WIDTH;
    const next = index + 1 < signs.length ? signs[index + 1].x - SIGN_WIDTH / 2 : right;
    sign.side = sign.x + wide < next ? 1 : sign.x - wide > free ? -1 : 0;
    free = sign.x + (sign.side > 0 ? wide : SIGN_WIDTH / 2);
  }
  return signs;
}

/** The signs that the picture has, each once, with what they mean. */
function signsMeant(picture) {
  const drawn = marksDrawn(picture, scaleOf(picture, 0, 1)).map(({ mark }) => mark.event);
  return Object.entries(MARKS).filter(([event]) => drawn.includes(event)).map(([, meant]) => meant);
}

const labelOf = (row) => (row.first === row.last ? row.name || String(row.first) : `${number(row.first)}–${number(row.last)}`);

function clipped(text, width) {
  const most = Math.floor(width / 7);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function toneOf(run) {
  if (run.running) return "active";
  if (run.failed + run.interrupted === run.attempts) return "bad";
  return run.stopped === run.attempts ? "warn" : "good";
}

function outcomes(run) {
  const parts = ["succeeded", "failed", "stopped", "interrupted", "running"].filter((each) => run[each]).map((each) => (run.attempts > 1 ? `${number(run[each])} ${each}` : each));
  if (run.highestAttempt > 1) parts.push(`attempt ${run.highestAttempt}`);
  return parts.join(", ");
}

const told = (run) => `${outcomes(run)}, from ${clock(run.begin)}, ${run.end ? duration(between(run.begin, run.end)) : "still runs"}, on ${run.workers.join(", ")}`;

/** Each worker's letter. */
function workersOf(picture) {
  const workers = new Set(picture.rows.flatMap((row) => row.runs.flatMap((run) => run.workers)));
  return new Map([...workers].slice(0, 26).map((worker, index) => [worker, String.fromCharCode(65 + index)]));
}

/** From milliseconds to pixels. Long times in which no step ran are drawn as breaks of one width. */
function scaleOf(picture, left, right) {
  const begin = Date.parse(picture.begin);
  const runs = picture.rows.some((row) => row.runs.some((run) => run.running));
  const end = Math.max(Date.parse(picture.end), begin + 1, runs ? Date.now() : 0); // what runs, runs until now
  const spans = picture.rows.flatMap((row) => row.runs.map((run) => [Date.parse(run.begin), run.end ? Date.parse(run.end) : end]));
  spans.sort((a, b) => a[0] - b[0]);
  const busy = [];
  for (const [from, to] of spans) {
    const last = busy.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else busy.push([from, to]);
  }
  const worked = Math.max(busy.reduce((sum, [from, to]) => sum + to - from, 0), 1);
  const parts = [[begin, busy[0]?.[1] ?? end]];
  for (const [from, to] of busy.slice(1)) {
    if (from - parts.at(-1)[1] > Math.max(worked * SHARE_OF_A_BREAK, 1000)) parts.push([from, to]);
    else parts.at(-1)[1] = to;
  }
  parts.at(-1)[1] = Math.max(parts.at(-1)[1], end);
  const shown = parts.reduce((sum, [from, to]) => sum + to - from, 0) || 1;
  const gap = Math.min(BREAK_WIDTH, (right - left) / (3 * parts.length));
  const room = right - left - gap * (parts.length - 1);
  let x = left;
  const placed = parts.map(([from, to]) => {
    const part = { from, to, x, width: (room * (to - from)) / shown };
    x += part.width + gap;
    return part;
  });
  const scale = (at) => {
    for (const [index, part] of placed.entries()) {
      if (at <= part.to || index === placed.length - 1) {
        if (at < part.from) return index ? part.x - gap / 2 : part.x;
        return part.x + (part.to > part.from ? (part.width * Math.min(at - part.from, part.to - part.from)) / (part.to - part.from) : 0);
      }
    }
    return right;
  };
  const breaks = placed.slice(1).map((part, index) => ({ x: part.x - gap, width: gap, seconds: (part.from - placed[index].to) / 1000 }));
  return Object.assign(scale, { parts: placed, breaks, begin, end });
}

function patterns() {
  const stripes = (id, tone, path) => h("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, h("rect", { width: 6, height: 6, class: `fill-${tone}` }), h("path", { d: path, class: "stripe" }));
  return h("defs", {}, stripes("failed", "bad", "M0 6L6 0M-1.5 1.5L1.5 -1.5M4.5 7.5L7.5 4.5"), stripes("stopped", "warn", "M3 0V6"));
}
