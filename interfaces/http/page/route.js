// Where one is, as the part of the address behind "#": it can be bookmarked and shared, and holds no secret.
//
//   #/EVENT-STORE/NAMESPACE                the jobs; ?status=…&type=…&tag=…&since=…&until=…&id=…&after=…&before=…
//   #/EVENT-STORE/NAMESPACE/start          the form that starts one; ?type=…
//   #/EVENT-STORE/NAMESPACE/jobs/ID/PART   one job: overview, steps, timeline or history
//   #/EVENT-STORE/NAMESPACE/observers                          the observers
//   #/EVENT-STORE/NAMESPACE/observers/NAME/PART                one observer: overview, failed or history
//   #/EVENT-STORE/NAMESPACE/observers/NAME/failed/PARTITION    one of its failed partitions
//   #/EVENT-STORE/NAMESPACE/diagnosis                          whether all is well

export const PARTS = ["overview", "steps", "timeline", "history"];
export const OBSERVER_PARTS = ["overview", "failed", "history"];

/** null where there is nothing behind the "#", or something else. */
export function read(hash = location.hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  if (parts.length < 2) return null;
  const [eventStore, namespace, view = "list", id, part = "overview"] = parts;
  const found = { eventStore, namespace, view, query: new URLSearchParams(search) };
  if (view === "jobs" && id && PARTS.includes(part)) return { ...found, view: "job", id, part };
  if (view === "observers") return ofObservers(found, parts.slice(3));
  return ["list", "start", "diagnosis"].includes(view) ? found : null;
}

function ofObservers(found, [name, part = "overview", partition]) {
  if (!name) return found;
  if (part === "failed" && partition) return { ...found, view: "partition", id: `${name}/${partition}`, observer: name, partition };
  return OBSERVER_PARTS.includes(part) ? { ...found, view: "observer", id: name, part } : null;
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

export const toObservers = (place) => `${base(place)}/observers`;

export const toDiagnosis = (place) => `${base(place)}/diagnosis`;

export function toObserver(place, name, part = "overview", query = "") {
  const text = query.toString();
  return `${toObservers(place)}/${encodeURIComponent(name)}${part === "overview" ? "" : `/${part}`}${text ? `?${text}` : ""}`;
}

export const toPartition = (place, name, partition) => `${toObserver(place, name, "failed")}/${encodeURIComponent(partition)}`;
