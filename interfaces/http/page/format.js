// How amounts, times and statuses are written for people.

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (value) => (Math.abs(value) >= 100 ? whole : numbers).format(value);

export const count = (amount, one, many = `${one}s`) => `${number(amount)} ${amount === 1 ? one : many}`;

/** 0.3 s, 42 s, 3 min 20 s, 2 h 05 min, 3 d 4 h: the same as on the command line. */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const rounded = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${two(rounded % 60)} s`;
  if (rounded < 86400) return `${Math.floor(rounded / 3600)} h ${two(Math.floor((rounded % 3600) / 60))} min`;
  return `${Math.floor(rounded / 86400)} d ${Math.floor((rounded % 86400) / 3600)} h`;
}

export const between = (begin, end) => (Date.parse(end) - Date.parse(begin)) / 1000;

const pad = (value) => String(value).padStart(2, "0");

/** 2026-11-24 21:09:05 by the reader's clock. */
export function moment(text) {
  const at = new Date(text);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${clock(text)}`;
}

export function clock(text) {
  const at = new Date(text);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** `CompletedWithFailures` as people read it: `completed with failures`. */
export const words = (name) => name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

export function amount(done, total, unit) {
  const of = total === null || total === undefined ? number(done) : `${number(done)}/${number(total)}`;
  return `${of} ${unit}`.trim();
}
