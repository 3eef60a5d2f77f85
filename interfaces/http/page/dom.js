// Elements made from data, and the smallest change that makes what is shown equal to them.
// All text goes in as text nodes or attributes: nothing that a job says is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set("svg g rect line text path title desc circle defs pattern".split(" "));

/** An element: h("p", {class: "note", onclick: f, key: 1}, "text", child, [children], null). */
export function h(tag, properties, ...children) {
  const svg = SVG_TAGS.has(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  element.handlers = {};
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || (value === false && !name.startsWith("."))) continue;
    if (name === "key") element.key = String(value);
    else if (name.startsWith("on")) listen(element, name.slice(2), value);
    else if (name.startsWith(".")) (element.lively ??= {})[name.slice(1)] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  if (element.lively) Object.assign(element, element.lively);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

function listen(element, type, handler) {
  element.handlers[type] = handler;
  element.addEventListener(type, dispatch);
}

function dispatch(event) {
  return event.currentTarget.handlers[event.type]?.(event);
}

/** Makes the children of `place` equal to `wanted` and keeps what is there: focus, what is open, what was typed. */
export function show(place, ...wanted) {
  const holder = document.createDocumentFragment();
  append(holder, wanted);
  morphChildren(place, [...holder.childNodes]);
}

function morphChildren(parent, wanted) {
  const keyed = keptOf(parent, wanted);
  let at = parent.firstChild;
  for (const next of wanted) {
    const known = next.key === undefined ? null : keyed.get(next.key);
    if (known && same(known, next)) {
      at = moved(known, at);
      keyed.delete(next.key);
      morph(known, next);
    } else if (at && next.key === undefined && at.key === undefined && same(at, next)) {
      const following = at.nextSibling;
      morph(at, next);
      at = following;
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const following = at.nextSibling;
    at.remove();
    at = following;
  }
}

/** The children that have a key and are wanted again, by key. The others with a key go: nobody has to move for them. */
function keptOf(parent, wanted) {
  const next = new Map(wanted.filter((each) => each.key !== undefined).map((each) => [each.key, each]));
  const kept = new Map();
  for (const child of [...parent.childNodes]) {
    if (child.key === undefined) continue;
    if (next.has(child.key) && same(child, next.get(child.key))) kept.set(child.key, child);
    else child.remove();
  }
  return kept;
}

/** Puts `known` before `at`, and answers what follows it. Who is moved loses the focus: who has it stays, and the others move. */
function moved(known, at) {
  if (known.contains(document.activeElement)) {
    while (at !== known) {
      const following = at.nextSibling;
      known.parentNode.append(at);
      at = following;
    }
  } else if (known !== at) {
    known.parentNode.insertBefore(known, at);
    return at;
  }
  return known.nextSibling;
}

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName;

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  old.key = next.key;
  for (const { name, value } of [...next.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    const own = name === "tabindex" || (name === "open" && old.nodeName === "DETAILS"); // of the reader's doing
    if (!own && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const type of Object.keys(next.handlers ?? {})) {
    if (!old.handlers?.[type]) old.addEventListener(type, dispatch);
  }
  old.handlers = next.handlers;
  morphChildren(old, [...next.childNodes]);
  for (const [name, value] of Object.entries(next.lively ?? {})) if (old[name] !== value) old[name] = value;
}
