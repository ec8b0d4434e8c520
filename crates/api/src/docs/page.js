// The documentation page: reads the hub's own OpenAPI document with the key that a person types in, shows what
// that key may use, and sends requests. Everything is put on the page as text, never as HTML.

const at = (id) => document.getElementById(id);
const METHODS = ["get", "post", "put", "patch", "delete"];
let key = "";
let spec = null;
let operations = [];

/** An element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function say(text, isBad = false) {
  at("said").textContent = text;
  at("said").classList.toggle("bad", isBad);
}

/** Follows a reference within the document. */
function follow(value, depth = 0) {
  if (!value || typeof value.$ref !== "string" || depth > 16) return value;
  const parts = value.$ref.replace(/^#\//, "").split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return follow(parts.reduce((found, part) => found?.[part], spec), depth + 1);
}

/** A value that fits the schema, to begin with. */
function example(schema, depth = 0) {
  schema = follow(schema) ?? {};
  if (depth > 6) return null;
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const one = (schema.oneOf ?? schema.anyOf)?.find((choice) => choice.type !== "null");
  if (one) return example(one, depth + 1);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(part, depth + 1)));
  const type = Array.isArray(schema.type) ? schema.type.find((name) => name !== "null") : schema.type;
  if (type === "object" || schema.properties) {
    const wanted = schema.required ?? [];
    return Object.fromEntries(wanted.map((name) => [name, example(schema.properties?.[name], depth + 1)]));
  }
  if (type === "array") return [];
  if (type === "boolean") return false;
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  return "";
}

async function load(event) {
  event.preventDefault();
  key = at("key").value.trim();
  say("Reading the document…");
  try {
    const response = await fetch("openapi.json", { headers: { Authorization: `Bearer ${key}` } });
    const body = await response.json();
    if (!response.ok) throw new Error(`${body.detail} ${body.hint}`);
    spec = body;
  } catch (error) {
    at("frame").hidden = true;
    say(error.message, true);
    return;
  }
  operations = Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, ...item[method] })));
  at("frame").hidden = false;
  say(`${operations.length} operations`);
  list();
  show(operations.find((one) => `#${one.operationId}` === decodeURIComponent(location.hash)) ?? operations[0]);
}

function list() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map();
  for (const one of operations) {
    const text = `${one.operationId} ${one.path} ${one.summary ?? ""}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    const tag = one.tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), one]);
  }
  at("list").replaceChildren(...[...groups].flatMap(([tag, some]) => [
    make("h3", {}, tag),
    make("ul", {}, ...some.map((one) => make("li", {}, make("a", {
      href: `#${encodeURIComponent(one.operationId)}`,
      title: one.path,
      "data-id": one.operationId,
      onclick: () => show(one),
    }, make("span", { class: "method" }, one.method), one.operationId)))),
  ]));
}

function show(one) {
  if (!one) return;
  for (const link of at("list").querySelectorAll("a")) {
    if (link.dataset.id === one.operationId) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const parameters = (one.parameters ?? []).map((parameter) => follow(parameter));
  const bodySchema = follow(one.requestBody)?.content?.["application/json"]?.schema;
  const answer = make("section", { "aria-live": "polite" });
  const form = make("form", {}, ...parameters.map(field));
  if (bodySchema) {
    const text = JSON.stringify(example(bodySchema), null, 2) ?? "";
    const input = make("textarea", { id: "body", name: "body", spellcheck: "false" });
    input.value = text;
    form.append(make("div", { class: "field" }, make("label", { for: "body" }, "body"), input));
  }
  const request = () => build(one, parameters, form, Boolean(bodySchema));
  form.append(make("div", { class: "buttons" }, make("button", {}, "Send"),
    make("button", { type: "button", class: "quiet", onclick: () => curl(request(), answer) }, "As curl")));
  form.addEventListener("submit", (event) => { event.preventDefault(); send(request(), answer); });
  const described = [one.description].filter(Boolean).map((text) => make("p", {}, text));
  const shapes = bodySchema ? [make("h3", {}, "Body"), make("pre", {}, JSON.stringify(follow(bodySchema), null, 2))] : [];
  const answers = Object.entries(one.responses ?? {}).map(([status, response]) => {
    response = follow(response);
    const schema = Object.values(response.content ?? {})[0]?.schema;
    return make("details", {}, make("summary", {}, make("strong", {}, status), ` ${response.description ?? ""}`),
      schema ? make("pre", {}, JSON.stringify(follow(schema), null, 2)) : null);
  });
  at("operation").replaceChildren(make("h2", {}, one.summary ?? one.operationId),
    make("p", { class: "path" }, `${one.method.toUpperCase()} ${one.path}`), ...described,
    make("h3", {}, "Try it"), form, answer, ...shapes, make("h3", {}, "Answers"), ...answers);
}

function field(parameter) {
  const id = `p-${parameter.in}-${parameter.name}`;
  const schema = follow(parameter.schema) ?? {};
  const choices = schema.enum ?? (schema.oneOf ?? []).flatMap((one) => follow(one).enum ?? []);
  const attributes = { id, name: id, required: Boolean(parameter.required) };
  const input = choices.length
    ? make("select", attributes, make("option", { value: "" }, ""), ...choices.map((word) => make("option", {}, String(word))))
    : make("input", { ...attributes, placeholder: schema.default ?? "" });
  const hint = parameter.description ? make("small", {}, parameter.description) : null;
  return make("div", { class: "field" }, make("label", { for: id }, `${parameter.name}${parameter.required ? " *" : ""}`), input, hint);
}

function build(one, parameters, form, hasBody) {
  let path = one.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const parameter of parameters) {
    const value = form.elements[`p-${parameter.in}-${parameter.name}`].value;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") query.set(parameter.name, value);
    else if (parameter.in === "header") headers[parameter.name] = value;
  }
  const body = hasBody && form.elements.body.value.trim() !== "" ? form.elements.body.value : undefined;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return { url: `${path}${query.size ? `?${query}` : ""}`, method: one.method.toUpperCase(), headers, body };
}

async function send({ url, method, headers, body }, answer) {
  answer.replaceChildren(make("p", {}, "Sending…"));
  const began = performance.now();
  try {
    const response = await fetch(url, { method, body, headers: { ...headers, Authorization: `Bearer ${key}` } });
    const text = await response.text();
    const ms = Math.round(performance.now() - began);
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is shown as it came. */ }
    answer.replaceChildren(
      make("p", { class: response.ok ? "good" : "bad" }, `${response.status} ${response.statusText} · ${ms} ms · ${text.length} characters`),
      make("pre", {}, shown));
  } catch (error) {
    answer.replaceChildren(make("p", { class: "bad" }, `No answer: ${error.message}`));
  }
}

function curl({ url, method, headers, body }, answer) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl -X ${method} ${quote(new URL(url, location.href).href)}`, `-H "Authorization: Bearer $TRUNKLINE_KEY"`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`)];
  if (body !== undefined) lines.push(`--data ${quote(body)}`);
  answer.replaceChildren(make("pre", {}, lines.join(" \\\n  ")));
}

at("sign-in").addEventListener("submit", load);
at("search").addEventListener("input", list);
