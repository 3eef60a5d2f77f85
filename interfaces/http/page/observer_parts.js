// The small pieces that the views of observers share: how far one is, and why it is as it is.

import { h } from "./dom.js";
import { count, number } from "./format.js";
import { bar, chip } from "./parts.js";
import { toJob, toObserver } from "./route.js";

export const SHOWN = "observer"; // the name of what a stream tells of one as it stands; the others are of its history

const DOING = { "catch-up": "catches up", replay: "replays", beside: "builds the next generation" };

export const known = (value) => (value === null || value === undefined ? "–" : number(value));

/** Its status; one that is run and cannot go on is not called active. */
export const statusOf = (observer) => chip(observer.trouble && observer.status === "Active" ? "Active (trouble)" : observer.status);

export const rate = (observer) => (observer.rate ? `${number(observer.rate)}/s` : "–");

/** How far the job that works on it is, or it itself where it is behind; a line of text where it is not. */
export function progressOf(observer) {
  if (observer.job && observer.jobUntil !== null && observer.jobPosition !== null) {
    const text = `${number(observer.jobPosition)} of ${number(observer.jobUntil)}, ${DOING[observer.doing] ?? "works"}`;
    return bar(observer.jobPosition, observer.jobUntil, `Progress of the job on ${observer.name}`, text);
  }
  if (observer.lag) return bar(observer.position, observer.newest, `Position of ${observer.name}`, `${number(observer.position)} of ${number(observer.newest)}`);
  return h("span", { class: "muted" }, observer.newest === null ? `at ${number(observer.position)}` : `up to date at ${number(observer.position)}`);
}

/** In one sentence or two, why the observer is as it is: nodes for a paragraph. */
export function whyOf(place, observer) {
  const held = observer.job ? [" ", h("a", { href: toJob(place, observer.job) }, "A job"), ` ${DOING[observer.doing] ?? "works on it"}.`] : null;
  return [...ofStatus(observer), held, observer.trouble ? [" ", h("strong", {}, "It cannot go on now: "), ended(observer.trouble), " It is tried again."] : null, failing(place, observer)];
}

function ofStatus(observer) {
  const behind = observer.lag ? ` ${count(observer.lag, "event")} behind.` : "";
  switch (observer.status) {
    case "Quarantined":
      return [h("strong", {}, "It stands still until somebody acts: "), ended(observer.why ?? "see its history")];
    case "Disconnected":
      return [h("strong", {}, "Nobody runs it. "), observer.declared ? "A worker that knows its code has to be started." : "No program here declares it."];
    case "Paused":
      return [h("strong", {}, "It is paused "), "and handles no live events until it is unpaused.", behind];
    case "Replaying":
      return ["It handles its events again from the first.", behind];
    case "CatchingUp":
      return ["It handles what it is behind.", behind];
    default:
      return [observer.worker ? `It handles events as they come, on ${observer.worker}.` : "It handles events as they come.", behind];
  }
}

function failing(place, observer) {
  if (!observer.failedPartitions) return null;
  const which = `${count(observer.failedPartitions, "failed partition")}`;
  const wait = observer.failedPartitions === 1 ? "does not go on" : "do not go on";
  return [" ", h("a", { href: toObserver(place, observer.name, "failed") }, which), ` ${wait} with the others, and ${count(observer.waiting, "event")} ${observer.waiting === 1 ? "waits" : "wait"}.`];
}

const ended = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
