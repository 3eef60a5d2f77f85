// Requests to the server: the token they carry, and its answers as documents or as problems that say what to do.

const KEY = "milepost-token"; // of this tab alone, and gone with it
const TIME_OUT = 30_000; // milliseconds
const TRIES = 3; // of what has an Idempotency-Key and so happens once
const BETWEEN_TRIES = 1_000; // milliseconds; the second time twice as long
const LOST = new Set([0, 502, 504]); // no answer, or a proxy that had none

/** An answer that says no, or that there was none (`status` 0). `unknown`: nor is it known whether anything was done. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `The server answered ${status}`);
    this.status = status;
    this.error = document.error ?? "";
    this.suggestion = document.suggestion ?? "";
    this.problems = document.problems ?? []; // of a job's request, one by one
    this.errors = document.errors ?? []; // of what was sent as a whole, as {where, what}
    this.unknown = document.unknown ?? false;
  }
}

let whenNotAuthenticated = () => {};
export const onNotAuthenticated = (handler) => (whenNotAuthenticated = handler);

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (secret) => sessionStorage.setItem(KEY, secret),
  clear: () => sessionStorage.removeItem(KEY),
};

export function headers(more = {}) {
  const secret = token.get();
  return secret ? { ...more, Authorization: `Bearer ${secret}` } : more;
}

/** Throws Problem. `asked`: {method, body, headers, signal}. With an Idempotency-Key it is sent again if its answer is lost. */
export async function ask(path, asked = {}) {
  const tries = asked.headers?.["Idempotency-Key"] ? TRIES : 1;
  for (let tried = 1; ; tried++) {
    try {
      return await askOnce(path, asked);
    } catch (problem) {
      if (!LOST.has(problem.status)) throw problem;
      if (tried >= tries) throw asked.method === "POST" ? unknown() : problem;
    }
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_TRIES * tried));
  }
}

function unknown() {
  return new Problem(0, {
    detail: "The server does not answer: whether it was done is not known",
    suggestion: "When it is back, look at what became of it before you ask again",
    unknown: true,
  });
}

async function askOnce(path, { body, headers: extra = {}, signal, ...more }) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const kind = body === undefined ? {} : { "Content-Type": "application/json" };
  const secret = token.get();
  const limit = AbortSignal.timeout(TIME_OUT);
  let response;
  let text;
  try {
    response = await fetch(path, {
      ...more,
      ...sent,
      headers: headers({ ...kind, ...extra }),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { detail: "The server does not answer", suggestion: "It is asked again when it is back" });
  }
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    document = { detail: `The server answered ${response.status}` };
  }
  if (response.ok) return document;
  // Not where another token was given meanwhile: it is not the one that was refused.
  if (response.status === 401 && token.get() === secret) whenNotAuthenticated(secret !== null);
  throw new Problem(response.status, document ?? {});
}

/** The paths of one namespace of one event store. */
export function paths(place) {
  const store = `/api/event-stores/${encodeURIComponent(place.eventStore)}`;
  const jobs = `${store}/namespaces/${encodeURIComponent(place.namespace)}/jobs`;
  return { types: `${store}/types`, namespaces: `${store}/namespaces`, jobs, job: (id) => `${jobs}/${encodeURIComponent(id)}` };
}

/** ?a=1&b=2&b=3, without what is empty. */
export function query(values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") found.append(name, each);
    }
  }
  const text = found.toString();
  return text ? `?${text}` : "";
}

/** A key that is used once. (`crypto.randomUUID` is there on safe connections alone.) */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
