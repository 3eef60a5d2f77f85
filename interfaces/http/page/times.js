// How moments are written: by the reader's clock, or exactly, as the documents have them.

import { moment } from "./format.js";

const KEY = "milepost-exact-times"; // of this tab

let exact = sessionStorage.getItem(KEY) !== null;

export const areExact = () => exact;

export const written = (text) => (exact ? text : moment(text));

export function change() {
  exact = !exact;
  if (exact) sessionStorage.setItem(KEY, "");
  else sessionStorage.removeItem(KEY);
}
