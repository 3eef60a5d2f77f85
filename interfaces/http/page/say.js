// Messages about what was done: shown in a corner, read out by a screen reader, gone when closed, old or left behind.

import { h } from "./dom.js";
import { pageOf, read } from "./route.js";

const SHOWN_FOR = 12_000; // milliseconds; what went wrong stays until it is closed
const MOST = 4;

/** `tone`: "good" or "bad". It belongs to the page that the address means now. */
export function say(message, tone = "good", suggestion = "") {
  const place = document.getElementById("said");
  const toast = h(
    "div",
    { class: `toast ${tone}` },
    h("div", {}, h("p", {}, message), suggestion ? h("p", { class: "muted" }, suggestion) : null),
    h("button", { type: "button", class: "plain", "aria-label": "Close this message", onclick: () => toast.remove() }, "✕"),
  );
  toast.page = pageOf(read());
  place.append(toast);
  while (place.children.length > MOST) place.firstElementChild.remove();
  if (tone === "good") setTimeout(() => toast.remove(), SHOWN_FOR);
}

/** Takes away what was said on other pages than this one. */
export function unsayElsewhere(page) {
  for (const toast of [...document.getElementById("said").children]) if (toast.page !== page) toast.remove();
}

export const sayProblem = (problem) => say(problem.message, "bad", problem.suggestion ?? "");
