// What happens to the jobs of a namespace, as it happens: Server-Sent Events read by fetch, which can carry a token.

import { headers } from "./api.js";

const SHORTEST_WAIT = 500; // milliseconds before another try; doubled with each that fails
const LONGEST_WAIT = 10_000;
const SILENCE = 40_000; // the server says that it lives every 15 s: after this long nobody is there

/**
 * Follows `path` until closed. `onEvent(event, name)` for each event, `onState("live" | "reconnecting" | "paused" | "over")`,
 * and `onCaughtUp()` whenever a connection has been made: what is shown may be older than where the stream begins.
 */
export function follow(path, { onEvent, onState, onCaughtUp, onRefused }) {
  let lastId = null;
  let abort = null;
  let wait = SHORTEST_WAIT;
  let timer = null;
  let closed = false;

  async function run() {
    timer = null;
    if (closed || document.hidden) return;
    const mine = (abort = new AbortController());
    let silence = setTimeout(() => mine.abort(), SILENCE);
    try {
      const resume = lastId === null ? {} : { "Last-Event-ID": lastId };
      const response = await fetch(path, {
        headers: headers({ Accept: "text/event-stream", ...resume }),
        signal: mine.signal,
        cache: "no-store",
      });
      if (closed || mine !== abort) return;
      if (response.status === 401 || response.status === 403) {
        closed = true;
        onState("over");
        onRefused();
        return;
      }
      if (response.status >= 400 && response.status < 500) lastId = null; // a place that this server does not know
      if (!response.ok) throw new Error(String(response.status));
      wait = SHORTEST_WAIT;
      onState("live");
      onCaughtUp();
      for await (const block of blocks(response.body)) {
        clearTimeout(silence);
        silence = setTimeout(() => mine.abort(), SILENCE);
        if (block.id !== undefined) lastId = block.id;
        if (block.data !== undefined) onEvent(JSON.parse(block.data), block.event);
      }
    } catch {
      // The same as an end: it is tried again below.
    } finally {
      clearTimeout(silence);
    }
    if (closed || mine !== abort) return;
    if (document.hidden) return;
    onState("reconnecting");
    timer = setTimeout(run, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  function look() {
    clearTimeout(timer);
    abort?.abort();
    abort = null;
    if (document.hidden) {
      onState("paused");
      return;
    }
    lastId = null; // all that is shown is asked for again, so nothing of what was missed is needed
    run();
  }

  document.addEventListener("visibilitychange", look);
  run();
  return {
    close() {
      closed = true;
      document.removeEventListener("visibilitychange", look);
      clearTimeout(timer);
      abort?.abort();
    },
  };
}

async function* blocks(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) yield fields(part);
  }
}

function fields(part) {
  const found = {};
  for (const line of part.split(/\r?\n/)) {
    const at = line.indexOf(":");
    if (at === 0) continue; // a comment
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (name === "data") found.data = found.data === undefined ? value : `${found.data}\n${value}`;
    else found[name] = value;
  }
  return found;
}

/**
 * Many wishes to look again, few looks: at most one each `shortest` milliseconds, never two at once, and not more
 * than a quarter of the time spent on them. Nothing while the tab is hidden.
 */
export function coalesced(work, shortest = 250) {
  let timer = null;
  let busy = false;
  let again = false;
  let ended = 0;
  let took = 0;
  let closed = false;

  async function run() {
    timer = null;
    busy = true;
    again = false;
    const begun = performance.now();
    try {
      await work();
    } finally {
      busy = false;
      ended = performance.now();
      took = ended - begun;
      if (again) wish();
    }
  }

  function wish() {
    if (closed || document.hidden) return;
    if (busy) again = true;
    else timer ??= setTimeout(run, Math.max(0, ended + Math.max(shortest, 3 * took) - performance.now()));
  }

  wish.close = () => {
    closed = true;
    clearTimeout(timer);
  };
  return wish;
}
