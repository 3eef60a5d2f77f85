// Form fields made from a JSON schema, and what was filled in as the JSON that the schema describes.

import { h } from "./dom.js";
import { number, words } from "./format.js";

const SIMPLE = new Set(["string", "integer", "number", "boolean"]);

/** The fields of an object's schema; null where it is none, and only JSON can be asked for. */
export function fieldsOf(schema) {
  const whole = resolved(schema, schema);
  if (whole.type !== "object" || !whole.properties) return null;
  const required = new Set(whole.required ?? []);
  return Object.entries(whole.properties).map(([name, raw]) => {
    const { inner, nullable } = withoutNull(resolved(raw, schema), schema);
    return {
      name,
      id: `field-${name}`,
      kind: kindOf(inner, schema),
      schema: inner,
      items: inner.items ? resolved(inner.items, schema) : null,
      choices: choicesOf(inner),
      nullable,
      required: required.has(name),
      fallback: raw.default ?? inner.default,
      title: titled(name),
      description: raw.description ?? inner.description ?? "",
    };
  });
}

/** `fail_steps` and `failSteps` as `Fail steps`. */
function titled(name) {
  const text = words(name.replaceAll("_", " ")).trim() || name;
  return text[0].toUpperCase() + text.slice(1);
}

function resolved(part, root, deep = 0) {
  const reference = part?.$ref ?? (part?.allOf?.length === 1 ? part.allOf[0].$ref : undefined);
  if (!reference || deep > 20) return part ?? {};
  const found = reference.replace(/^#\//, "").split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  const { $ref: _reference, allOf: _all, ...own } = part;
  return { ...resolved(found, root, deep + 1), ...own };
}

function withoutNull(schema, root) {
  const options = schema.anyOf ?? schema.oneOf;
  if (!options) return { inner: schema, nullable: schema.type === "null" };
  const others = options.map((each) => resolved(each, root)).filter((each) => each.type !== "null");
  const nullable = others.length < options.length;
  if (others.length !== 1) return { inner: { description: schema.description }, nullable };
  const { anyOf: _any, oneOf: _one, ...own } = schema;
  return { inner: { ...others[0], ...own }, nullable };
}

const choicesOf = (schema) => schema.enum ?? (schema.const === undefined ? null : [schema.const]);

function kindOf(schema, root) {
  if (choicesOf(schema)) return "choice";
  if (SIMPLE.has(schema.type)) return schema.type;
  if (schema.type === "array") {
    const items = resolved(schema.items ?? {}, root);
    if (items.type !== "boolean" && SIMPLE.has(items.type)) return "list";
  }
  return "json";
}

/** One field: label, description, input, and what is wrong with it. */
export function field(each, problem) {
  const notes = [each.description, limits(each)].filter(Boolean).join(" ");
  const described = [notes ? `${each.id}-note` : "", problem ? `${each.id}-problem` : ""].filter(Boolean).join(" ");
  const common = { id: each.id, name: each.name, "aria-describedby": described || null, "aria-invalid": problem ? "true" : null };
  const label = h("label", { for: each.id }, each.title, each.required && each.kind !== "boolean" ? h("span", { class: "muted" }, " (required)") : null);
  const told = [notes ? h("span", { class: "note", id: `${each.id}-note` }, notes) : null, problem ? h("span", { class: "wrong", id: `${each.id}-problem` }, problem) : null];
  if (each.kind === "boolean" && !each.nullable) {
    return h("div", { class: "field", key: each.id }, h("span", { class: "check" }, h("input", { type: "checkbox", ...common, checked: each.fallback === true }), label), told);
  }
  return h("div", { class: `field ${["json", "list"].includes(each.kind) ? "tall" : ""}`, key: each.id }, label, input(each, common), told);
}

function input(each, common) {
  const { schema, fallback } = each;
  const text = fallback === undefined || fallback === null ? "" : fallback;
  switch (each.kind) {
    case "choice":
    case "boolean": {
      const choices = each.choices ?? [true, false];
      const empty = !each.required || each.nullable || fallback === undefined;
      const option = (value) => h("option", { value: JSON.stringify(value), selected: JSON.stringify(value) === JSON.stringify(fallback) }, typeof value === "string" ? value : JSON.stringify(value));
      return h("select", common, empty ? h("option", { value: "" }, fallback === undefined || fallback === null ? "not given" : "as usual") : null, choices.map(option));
    }
    case "integer":
    case "number":
      return h("input", { ...common, type: "text", inputmode: each.kind === "integer" ? "numeric" : "decimal", value: text, autocomplete: "off" });
    case "list":
      return h("textarea", { ...common, rows: Math.min(8, Math.max(3, (fallback ?? []).length + 1)) }, (fallback ?? []).join("\n"));
    case "json":
      return h("textarea", { ...common, rows: 4, spellcheck: "false", class: "code" }, fallback === undefined || fallback === null ? "" : JSON.stringify(fallback, null, 2));
    default: {
      const type = { date: "date", email: "email", uri: "url" }[schema.format] ?? "text";
      return h("input", { ...common, type, value: text, autocomplete: "off", maxlength: schema.maxLength });
    }
  }
}

function limits(each) {
  const { schema } = each.kind === "list" ? { schema: each.items } : each;
  const parts = [];
  const from = schema.minimum ?? schema.exclusiveMinimum;
  const to = schema.maximum ?? schema.exclusiveMaximum;
  if (from !== undefined && to !== undefined) parts.push(`${number(from)} to ${number(to)}`);
  else if (from !== undefined) parts.push(schema.minimum === undefined ? `above ${number(from)}` : `at least ${number(from)}`);
  else if (to !== undefined) parts.push(schema.maximum === undefined ? `below ${number(to)}` : `at most ${number(to)}`);
  if (each.kind === "list") parts.unshift("one on each line");
  if (each.kind === "json") parts.unshift("JSON");
  if (schema.format && each.kind === "string") parts.push(schema.format);
  return parts.length ? `(${parts.join(", ")})` : "";
}

/** What was filled in: {request, problems by name}. What is empty and may be is left out, so that defaults hold. */
export function valuesOf(fields, form) {
  const request = {};
  const problems = new Map();
  for (const each of fields) {
    try {
      const value = valueOf(each, form.elements.namedItem(each.name));
      if (value !== undefined) request[each.name] = value;
      else if (each.required) problems.set(each.name, "It must be given");
    } catch (error) {
      problems.set(each.name, error.message);
    }
  }
  return { request, problems };
}

function valueOf(each, element) {
  const text = element.value;
  switch (each.kind) {
    case "boolean":
      if (!each.nullable) return element.checked;
      return text === "" ? undefined : JSON.parse(text);
    case "choice":
      return text === "" ? undefined : JSON.parse(text);
    case "integer":
    case "number":
      return text.trim() === "" ? emptied(each) : numeric(each.kind, text);
    case "list": {
      const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
      if (!lines.length && each.fallback === undefined && !each.required) return undefined;
      return each.items.type === "string" ? lines : lines.map((line) => numeric(each.items.type, line));
    }
    case "json":
      return text.trim() === "" ? emptied(each) : parsed(text);
    default:
      if (text === "" && (each.nullable || !each.required) && (each.fallback ?? "") === "") return undefined;
      return text;
  }
}

/** A field that was emptied although it has a default: null where that is allowed, else its default. */
const emptied = (each) => (each.nullable && each.fallback !== null && each.fallback !== undefined ? null : undefined);

function numeric(kind, text) {
  const value = Number(text.trim());
  if (!Number.isFinite(value)) throw new Error(`“${text.trim()}” is not a number`);
  if (kind === "integer" && !Number.isInteger(value)) throw new Error(`“${text.trim()}” is not a whole number`);
  return value;
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`It is not JSON: ${error.message}`);
  }
}
