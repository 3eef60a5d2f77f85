// Where the keyboard is: on the heading of a new page, and on the next row where the row that had it has gone.

const CONTROLS = "a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, [tabindex='0']";

/** Puts the focus on the main heading of what is shown, so that a screen reader says where one is. */
export function focusHeading() {
  heading().focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Does `work`, which changes what `place` shows. If what had the focus goes with it, its neighbour gets it. */
export function keepingFocus(place, work) {
  const focused = document.activeElement;
  const row = place.contains(focused) ? focused.closest("tr") : null;
  const neighbours = row ? [...siblings(row, "nextElementSibling"), ...siblings(row, "previousElementSibling")] : [];
  const at = row ? [...row.querySelectorAll(CONTROLS)].indexOf(focused) : -1;
  const inside = place !== focused && place.contains(focused);
  work();
  if (!inside || focused.isConnected) return;
  (successor(neighbours, at) ?? heading()).focus({ preventScroll: true });
}

/** In the first of these rows that is still there: the control at the same place. */
function successor(rows, at) {
  for (const row of rows) {
    const controls = row.isConnected ? [...row.querySelectorAll(CONTROLS)] : [];
    if (controls.length) return controls[Math.min(Math.max(at, 0), controls.length - 1)];
  }
  return null;
}

function siblings(row, direction) {
  const found = [];
  for (let each = row[direction]; each; each = each[direction]) found.push(each);
  return found;
}

function heading() {
  const found = document.querySelector("main h1") ?? document.getElementById("main");
  found.tabIndex = -1;
  return found;
}
