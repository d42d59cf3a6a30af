// The fields of a condition, by their kind. Each writes into the condition's value and says when it did.

import { el, given, text } from "../figures/show.js";

let last = 0;
const named = (label, control, more = {}) => {
  control.id ||= `field-${(last += 1)}`;
  return el("div", { class: "field", ...more }, el("label", { for: control.id }, label), control);
};

const get = (value, name) => (name ? value[name] : value);
export const filled = (one) => one !== undefined && one !== null && one !== "" && !(Array.isArray(one) && !one.length);

function set(node, name, told) {
  if (!name) node.value = told;
  else if (filled(told)) node.value[name] = told;
  else delete node.value[name];
}

// What is chosen and is not offered (any more) is kept, and shown as it is written.
function select(listed, chosen) {
  const known = listed.some((one) => (one.group ? one.options : [one]).some(([value]) => String(value) === String(chosen)));
  const options = known || !filled(chosen) ? listed : [[chosen, String(chosen).split(":").at(-1)], ...listed];
  const made = ([value, label]) => el("option", { value: String(value), selected: String(value) === String(chosen) }, label);
  return el("select", {}, ...options.map((one) => (one.group ? el("optgroup", { label: one.group }, ...one.options.map(made)) : made(one))));
}

const heard = (control, event, hear) => {
  control.addEventListener(event, hear);
  return control;
};

// --- The kinds

// Somewhere: the options' values are `zone:key`, `venue:key` or `brand:key`.
function place(field, node, changed) {
  const names = ["zone", "venue", "brand"];
  const own = names.find((name) => filled(node.value[name]));
  const control = select(field.options, own ? `${own}:${node.value[own]}` : "");
  if (!own) control.prepend(el("option", { value: "", selected: true }, text("choose")));
  heard(control, "change", () => {
    const [name, ...key] = control.value.split(":");
    for (const one of names) delete node.value[one];
    if (name) node.value[name] = key.join(":");
    changed();
  });
  return [named(field.label, control)];
}

function choice(field, node, changed) {
  const value = get(node.value, field.name);
  const options = filled(value) || field.default !== undefined ? field.options : [["", text("choose")], ...field.options];
  const control = select(options, filled(value) ? value : field.default ?? "");
  heard(control, "change", () => {
    const told = field.options.map(([one]) => one).find((one) => String(one) === control.value) ?? control.value;
    set(node, field.name, told === field.default ? undefined : told);
    changed();
  });
  return [named(field.label, control)];
}

function number(field, node, changed) {
  const control = el("input", { type: "number", min: field.min, max: field.max, step: field.step || 1, value: get(node.value, field.name) ?? field.default ?? "", class: "short", inputmode: "numeric" });
  heard(control, "input", () => {
    const told = control.value === "" ? undefined : Number(control.value);
    set(node, field.name, told === field.default ? undefined : told);
    changed();
  });
  return [named(field.label, control)];
}

function line(field, node, changed) {
  const control = el("input", { type: "text", value: get(node.value, field.name) ?? field.default ?? "", maxlength: field.most || 64, class: field.most ? "short" : null, autocomplete: "off" });
  heard(control, "input", () => {
    const told = control.value.trim();
    set(node, field.name, told === field.default ? undefined : told);
    changed();
  });
  return [named(field.label, control)];
}

// In the last days, from one day to another, so many days ago, or ever.
const EDGES = ["within_days", "from", "to", "days_ago_at_least", "days_ago_at_most"];
const any = (value, names) => names.some((name) => filled(value[name]));
const modeOf = (value) => (any(value, ["from", "to"]) ? "range" : any(value, ["days_ago_at_least", "days_ago_at_most"]) ? "ago" : any(value, ["within_days"]) ? "last" : "ever");

function when(field, node, changed) {
  const value = node.value;
  const control = select(field.modes.map((mode) => [mode, text(`when_${mode}`)]), modeOf(value));
  const rest = el("div", { class: "fields" });
  const day = (name, label) => named(label, heard(el("input", { type: "date", value: (value[name] || "").slice(0, 10) }), "input", ({ target }) => { set(node, name, target.value); changed(); }));
  const days = (name, label) => number({ label, name, min: 0, max: 3650 }, node, changed);
  const asked = { range: () => [day("from", text("from_day")), day("to", text("before_day"))], last: () => days("within_days", text("days")), ever: () => [],
    ago: () => [...days("days_ago_at_least", text("ago_least")), ...days("days_ago_at_most", text("ago_most"))] };
  const draw = () => rest.replaceChildren(...asked[control.value]());
  heard(control, "change", () => {
    for (const name of EDGES) delete value[name];
    if (control.value === "last") value.within_days = field.days;
    if (control.value === "ago") value.days_ago_at_least = field.days;
    draw();
    changed();
  });
  draw();
  return [named(field.label, control), rest];
}

const COMPARISONS = ["is", "in", "at_least", "at_most"];
const asNumber = (told) => (told.trim() !== "" && Number.isFinite(Number(told)) ? Number(told) : told);

// An attribute that shoppers have, compared with what was told of it. Texts stay texts where others of that name are.
function attribute(field, node, changed) {
  const value = node.value;
  const known = () => given.attributes.find((one) => one.name === value.name);
  const names = list(given.attributes.map((one) => one.name));
  const name = heard(el("input", { type: "text", value: value.name || "", list: names.id, autocomplete: "off", maxlength: 64 }), "input", () => { set(node, "name", name.value); hints(); changed(); });
  const how = COMPARISONS.find((one) => one in value) || "is";
  const control = select(COMPARISONS.map((one) => [one, text(`compare_${one}`)]), how);
  const values = list([]);
  const shown = (one) => (Array.isArray(one) ? one.join(", ") : String(one ?? ""));
  const told = el("input", { type: "text", value: shown(value[how]), list: values.id, autocomplete: "off" });
  const typed = (one) => (known()?.kind === "boolean" && ["true", "false"].includes(one) ? one === "true" : known()?.kind === "string" ? one : asNumber(one));
  const hints = () => values.replaceChildren(...(known()?.values || []).map((one) => el("option", { value: String(one) })));
  const save = () => {
    for (const one of COMPARISONS) delete value[one];
    const parts = told.value.split(",").map((one) => one.trim()).filter(Boolean).map(typed);
    if (parts.length) value[control.value] = control.value === "in" ? parts : control.value === "is" ? typed(told.value.trim()) : asNumber(told.value.trim());
    changed();
  };
  heard(control, "change", save);
  heard(told, "input", save);
  hints();
  return [named(text("attribute_name"), name), named(text("attribute_compare"), control), named(text("attribute_value"), told), names, values];
}

function list(options) {
  return el("datalist", { id: `list-${(last += 1)}` }, ...options.map((one) => el("option", { value: String(one) })));
}

const KINDS = { place, choice, number, line, when, attribute };

export const fields = (node, changed) => given.conditions.find((one) => one.kind === node.kind).fields.flatMap((field) => KINDS[field.type](field, node, changed));

// Whether a condition says enough to be counted.
export function complete(node) {
  const made = given.conditions.find((one) => one.kind === node.kind);
  return Boolean(made) && made.fields.every((field) => {
    if (field.type === "place") return any(node.value, ["zone", "venue", "brand"]);
    if (field.type === "attribute") return filled(node.value.name) && COMPARISONS.some((one) => filled(node.value[one]));
    if (field.type === "when") return field.modes.includes("ever") || any(node.value, EDGES);
    return field.optional || field.default !== undefined || filled(get(node.value, field.name));
  });
}
