// The page: asks who one is, shows the view that the address means, and follows what happens.
//
// A view is {kind, title, render(), look(), heard(event, name), close(), kept?, stream?}: `render` answers what is to be shown
// of what it knows, `look` asks the server again, `heard` is told of each event of the namespace's jobs, or of what
// comes by `stream`, a path. `kind`: where that changes, one is somewhere else.

import { ask, onNotAuthenticated, paths, token } from "./api.js";
import { h, show } from "./dom.js";
import { focusHeading, keepingFocus } from "./focus.js";
import { jobView } from "./job.js";
import { drawPages } from "./navigation.js";
import { OBSERVING } from "./observing.js";
import { listView } from "./list.js";
import { absence, nowhereView } from "./nowhere.js";
import { notice } from "./parts.js";
import { pageOf, read, toList } from "./route.js";
import { unsayElsewhere } from "./say.js";
import { signInView } from "./sign_in.js";
import { startView } from "./start.js";
import { follow } from "./stream.js";
import { areExact, change as changeTimes } from "./times.js";

const VIEWS = { list: listView, job: jobView, start: startView, ...OBSERVING };
const ROLES = ["viewer", "operator", "admin"];
const RETRY = 2_000; // milliseconds
const LOOK_AGAIN = 5_000; // while the stream of a view cannot be followed
const LIVE = {
  live: ["●", "Live", "good"],
  reconnecting: ["◌", "Reconnecting …", "warn"],
  paused: ["◌", "Paused", "quiet"],
  over: ["○", "Not live", "quiet"],
};

const main = document.getElementById("main");
const top = document.getElementById("top");
const foot = document.getElementById("foot");
const state = { entry: null, rules: null, view: null, place: null, stream: null, live: "reconnecting", namespaces: [] };

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#main" would be taken for a place in the page's own addresses
  main.focus();
});
window.addEventListener("hashchange", navigate);
setInterval(() => state.view?.stream && state.live === "reconnecting" && state.view.look(), LOOK_AGAIN);
onNotAuthenticated(signIn);
begin();

async function begin() {
  try {
    const [entry, machine] = await Promise.all([ask("/api"), ask("/api/state-machine")]);
    state.entry = entry;
    state.rules = rulesOf(machine);
  } catch (problem) {
    if (problem.status === 401) return;
    show(main, h("h1", {}, "Milepost"), notice(problem));
    setTimeout(begin, RETRY);
    return;
  }
  state.place = null;
  navigate();
}

/** What the domain's transition table says, as the server tells it. */
function rulesOf(machine) {
  const job = new Map(machine.jobStatuses.map((each) => [each.name, each]));
  const commands = [...new Set(machine.jobStatuses.flatMap((each) => each.commands))];
  return {
    job,
    step: new Map(machine.stepStatuses.map((each) => [each.name, each])),
    commands: ["stop", "resume", "cancel", "remove"].filter((each) => commands.includes(each)),
    able: (command) => machine.jobStatuses.filter((each) => each.commands.includes(command)).map((each) => each.name),
  };
}

function signIn(again) {
  leave();
  state.entry = null;
  token.clear();
  unsayElsewhere(null);
  open(signInView({ again, onToken: begin }));
}

function signOut() {
  signIn(false);
}

function navigate() {
  if (!state.entry) return;
  const { eventStores, caller } = state.entry;
  const route = read();
  if (!route) {
    history.replaceState(null, "", toList({ eventStore: eventStores[0], namespace: caller.namespaces?.[0] ?? "Default" }));
    navigate();
    return;
  }
  unsayElsewhere(pageOf(route));
  const absent = absence(state.entry, route);
  if (absent) {
    leave();
    open(nowhereView(absent));
    return;
  }
  const place = { eventStore: route.eventStore, namespace: route.namespace };
  if (place.eventStore !== state.place?.eventStore || place.namespace !== state.place?.namespace) settle(place);
  const may = (role) => ROLES.indexOf(caller.role) >= ROLES.indexOf(role);
  // What a view may take over from the one before it, so that nothing flickers: of the same list, or the same job.
  const kept = state.view?.kept?.of === pageOf(route) ? state.view.kept : null;
  open(VIEWS[route.view]({ place, rules: state.rules, draw, may, kept, keptOf: pageOf(route) }, route));
}

/** Follows no namespace any more. */
function leave() {
  state.stream?.close();
  Object.assign(state, { stream: null, place: null });
}

/** Another namespace, and the names of the others. */
function settle(place) {
  if (place.eventStore !== state.place?.eventStore) state.namespaces = [];
  state.place = place;
  ask(paths(place).namespaces)
    .then(({ namespaces }) => {
      if (state.place !== place) return; // of where one was before
      state.namespaces = namespaces.map((each) => each.name);
      drawTop();
    })
    .catch(() => {});
}

/** One stream at a time: a browser has but a few connections for all its tabs. */
function listen(path) {
  if (state.stream && state.followed === path) return;
  state.stream?.close();
  state.followed = path;
  state.stream = follow(path, {
    onEvent: (event, name) => state.view?.heard(event, name),
    onCaughtUp: () => state.view?.look(),
    onRefused: () => ask("/api").catch(() => {}), // tells whether the token still holds
    onState: (live) => {
      state.live = live;
      drawTop();
    },
  });
}

function open(view) {
  const before = state.view;
  before?.close();
  state.view = view;
  if (state.place) listen(view.stream ?? `${paths(state.place).jobs}/stream`);
  document.title = `${view.title} · Milepost`;
  draw();
  // Where only a filter, a page or a part of the same job changed, the focus stays on what changed it.
  if (before && before.kind !== view.kind) focusHeading();
}

function draw() {
  drawPages(state.entry && state.place);
  drawTop();
  if (state.view) keepingFocus(main, () => show(main, state.view.render()));
  drawFoot();
}

function drawTop() {
  const { entry, place } = state;
  const brand = h("a", { class: "brand", href: place ? toList(place) : "#" }, h("svg", { width: 20, height: 20, viewBox: "0 0 32 32", "aria-hidden": "true" }, h("path", { class: "brand-stone", d: "M6 30V10a10 10 0 0 1 20 0v20z" }), h("path", { class: "brand-lines", d: "M11 14h10M11 19h10M11 24h6" })), "Milepost");
  if (!entry) {
    show(top, brand);
    return;
  }
  const [mark, text, tone] = LIVE[state.live];
  show(
    top,
    brand,
    place
      ? h(
          "nav",
          { class: "place", "aria-label": "Event store and namespace" },
          choose("Event store", "event-store", entry.eventStores, place.eventStore, (eventStore) => ({ ...place, eventStore })),
          choose("Namespace", "namespace", namespaces(), place.namespace, (namespace) => ({ ...place, namespace })),
        )
      : null,
    h("span", { class: "spacer" }),
    place ? h("span", { class: `live ${tone}`, role: "status", "data-state": state.live }, h("span", { "aria-hidden": "true" }, mark), ` ${text}`) : null,
    h("span", { class: "caller", title: `Role: ${entry.caller.role}` }, h("span", { class: "unseen" }, "You are "), entry.caller.name, h("span", { class: "muted" }, ` ${entry.caller.role}`)),
    token.get() ? h("button", { type: "button", class: "plain", onclick: signOut }, "Sign out") : null,
  );
}

function drawFoot() {
  const onclick = () => (changeTimes(), draw());
  show(foot, state.place ? h("button", { type: "button", class: "plain", "aria-pressed": String(areExact()), onclick }, "Exact times (ISO 8601)") : null);
}

function namespaces() {
  const { caller } = state.entry;
  const known = caller.namespaces ?? ["Default", ...state.namespaces];
  return [...new Set([...known, state.place.namespace])].sort();
}

function choose(label, id, names, chosen, placeOf) {
  if (names.length === 1) return h("span", { class: "chosen", key: id }, h("span", { class: "unseen" }, `${label} `), names[0]);
  return h(
    "span",
    { key: id },
    h("label", { for: id, class: "unseen" }, label),
    h("select", { id, ".value": chosen, onchange: (event) => (location.hash = toList(placeOf(event.target.value))) }, names.map((each) => h("option", { value: each, key: each }, each))),
  );
}
