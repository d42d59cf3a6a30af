// How figures, moments and texts are written, in the reader's language; and small pieces of pages.

export const given = JSON.parse(document.getElementById("given").textContent);
// Days before months and hours up to 24, as on the other pages.
const lang = { "": "en-GB", en: "en-GB" }[document.documentElement.lang] || document.documentElement.lang;
const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat(lang, { maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(lang, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const full = new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 0 });
export const NOTHING = "–";

export const text = (name, filled = {}) => (given.texts[name] || name).replace(/\{(\w+)\}/g, (_, key) => filled[key] ?? "");

export function duration(s) {
  if (s < 60) return text("seconds", { n: Math.floor(s) });
  const all = Math.floor(s / 60);
  return all < 60 ? text("minutes", { n: all }) : text("hours", { h: Math.floor(all / 60), m: all % 60 });
}

// A figure in its unit: number, s, ratio.
export function figure(value, kind = "number") {
  if (value === null || value === undefined) return NOTHING;
  if (kind === "s") return duration(value);
  if (kind === "ratio") return value === 0 || Math.abs(value) >= 1 ? full.format(value) : share.format(value);
  return (Number.isInteger(value) || Math.abs(value) >= 100 ? whole : Math.abs(value) >= 10 ? tenth : fine).format(value);
}

export function change(now, before) {
  if (typeof now !== "number" || typeof before !== "number" || before === 0) return null;
  return now / before - 1;
}

export function changed(value, label = "") {
  const node = el("span", { class: "change" });
  if (value === null) {
    node.textContent = NOTHING;
    return node;
  }
  const flat = Math.abs(value) < 0.0005;
  node.classList.add(flat ? "same" : value > 0 ? "more" : "less");
  node.dataset.value = value;
  const told = figure(Math.abs(value), "ratio");
  node.append(el("span", { "aria-hidden": "true" }, flat ? "= 0 %" : `${value > 0 ? "▲" : "▼"} ${told}`), el("span", { class: "sr-only" }, flat ? text("same") : text(value > 0 ? "more" : "less", { share: told })));
  if (label) node.title = label;
  return node;
}

const utc = (options) => new Intl.DateTimeFormat(lang, { timeZone: "UTC", ...options });
const dayFormat = utc({ weekday: "short", day: "numeric", month: "short" });
const longDay = utc({ day: "numeric", month: "short", year: "numeric" });
const monthFormat = utc({ month: "short", year: "numeric" });
const weekdayFormat = utc({ weekday: "short" });
export const day = (date) => longDay.format(new Date(`${date}T00:00:00Z`));
export const month = (label) => monthFormat.format(new Date(`${label}-01T00:00:00Z`));
export const weekday = (n) => weekdayFormat.format(new Date(Date.UTC(2024, 0, n))); // 1 January 2024 was a Monday
export const hour = (n) => `${String(n % 24).padStart(2, "0")}:00`;
export const moment = (instant, zone) => new Intl.DateTimeFormat(lang, { timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(new Date(instant));
export const clock = (zone) => new Intl.DateTimeFormat(lang, { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date());

// A period's label: `2026-11-19T10:00:00+02:00`, `2026-11-19`, `2026-W47`, `2026-11`.
export function period(label) {
  if (label.includes("T")) return `${dayFormat.format(new Date(`${label.slice(0, 10)}T00:00:00Z`))}, ${label.slice(11, 16)}`;
  if (label.includes("W")) return label;
  return label.length === 7 ? month(label) : dayFormat.format(new Date(`${label}T00:00:00Z`));
}

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== false && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Heads are {label, why, right}; cells are texts, nodes, or {value, unit}.
export function table(heads, rows, { most = 500 } = {}) {
  const head = el("tr", {}, ...heads.map((one) => el("th", { scope: "col", class: one.right ? "right" : null }, one.why ? el("span", { tabindex: "0", "data-why": one.why }, one.label) : one.label)));
  const body = el("tbody", {}, ...rows.slice(0, most).map((row) => el("tr", {}, ...row.map((value, i) => cell(value, heads[i])))));
  const made = el("table", { class: "plain" }, el("thead", {}, head), body);
  return rows.length > most ? el("div", {}, made, el("p", { class: "small" }, text("shown", { n: figure(most), all: figure(rows.length) }))) : made;
}

export function cell(value, head) {
  const attributes = { class: head?.right ? "right" : null };
  if (value && typeof value === "object" && !(value instanceof Node)) return el("td", { ...attributes, "data-value": String(value.value) }, figure(value.value, value.unit));
  return el("td", attributes, value);
}

export const explained = (name) => given.explained[name] || { label: name, sentence: "" };
