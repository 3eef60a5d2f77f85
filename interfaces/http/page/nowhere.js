// What is shown where the address names an event store or a namespace that this caller cannot see, and where else to go.

import { h } from "./dom.js";
import { notice } from "./parts.js";
import { toList } from "./route.js";

/** What of the address there is not for this caller: {what, name, instead: [[name, place]]}; null where all of it is there. */
export function absence({ eventStores, caller }, { eventStore, namespace }) {
  if (!eventStores.includes(eventStore)) {
    const first = caller.namespaces?.[0] ?? "Default";
    return { what: "event store", name: eventStore, instead: eventStores.map((each) => [each, { eventStore: each, namespace: first }]) };
  }
  if (caller.namespaces && !caller.namespaces.includes(namespace)) {
    return { what: "namespace", name: namespace, instead: caller.namespaces.map((each) => [each, { eventStore, namespace: each }]) };
  }
  return null;
}

/** See app.js for what a view is. */
export function nowhereView({ what, name, instead }) {
  const title = `No such ${what}`;
  const problem = { message: `There is no ${what} “${name}” here, or you may not see it.`, suggestion: "Correct the address, or go to what there is." };

  function render() {
    return [
      h("h1", {}, title),
      notice(problem),
      h("ul", { "aria-label": `Each ${what} that there is for you` }, instead.map(([each, place]) => h("li", { key: each }, h("a", { href: toList(place) }, `Jobs of ${each}`)))),
    ];
  }

  return { kind: `nowhere ${what} ${name}`, title, render, look: () => {}, heard: () => {}, close: () => {} };
}
