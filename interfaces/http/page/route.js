// Where one is, as the part of the address behind "#": it can be bookmarked and shared, and holds no secret.
//
//   #/EVENT-STORE/NAMESPACE                the jobs; ?status=…&type=…&tag=…&since=…&until=…&id=…&after=…&before=…
//   #/EVENT-STORE/NAMESPACE/start          the form that starts one; ?type=…
//   #/EVENT-STORE/NAMESPACE/jobs/ID/PART   one job: overview, steps, timeline or history

export const PARTS = ["overview", "steps", "timeline", "history"];

/** null where there is nothing behind the "#", or something else. */
export function read(hash = location.hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  if (parts.length < 2) return null;
  const [eventStore, namespace, view = "list", id, part = "overview"] = parts;
  const found = { eventStore, namespace, view, query: new URLSearchParams(search) };
  if (view === "jobs" && id && PARTS.includes(part)) return { ...found, view: "job", id, part };
  return view === "list" || view === "start" ? found : null;
}

/** The page that an address means, whatever its filter or part: the same list, the same job, the same form. */
export const pageOf = (route) => (route ? [route.eventStore, route.namespace, route.view, route.id ?? ""].join("/") : "");

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const base = (place) => `#/${encodeURIComponent(place.eventStore)}/${encodeURIComponent(place.namespace)}`;

export function toList(place, query = "") {
  const text = query.toString();
  return base(place) + (text ? `?${text}` : "");
}

export const toStart = (place, type = "") => `${base(place)}/start${type ? `?type=${encodeURIComponent(type)}` : ""}`;

export function toJob(place, id, part = "overview", query = "") {
  const text = query.toString();
  return `${base(place)}/jobs/${encodeURIComponent(id)}${part === "overview" ? "" : `/${part}`}${text ? `?${text}` : ""}`;
}
