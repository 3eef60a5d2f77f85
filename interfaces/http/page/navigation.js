// Where else one can go in this namespace: its jobs, its observers, and whether all is well.

import { h, show } from "./dom.js";
import { read, toDiagnosis, toList, toObservers } from "./route.js";

const PAGES = [
  ["Jobs", toList, ["list", "job", "start"]],
  ["Observers", toObservers, ["observers", "observer", "partition"]],
  ["Diagnosis", toDiagnosis, ["diagnosis"]],
];
const nav = document.getElementById("pages");

/** `place`: null where one is nowhere yet. */
export function drawPages(place) {
  nav.hidden = !place;
  const view = read()?.view;
  show(nav, place ? PAGES.map(([text, to, views]) => h("a", { href: to(place), key: text, "aria-current": views.includes(view) ? "page" : null }, text)) : []);
}
