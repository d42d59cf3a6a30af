// What each panel asks and shows. Every number is the API's own.

import { get, many } from "./ask.js";
import * as charts from "./charts.js";
import * as days from "./days.js";
import { behind, chart, exported, rests, sheet } from "./panel.js";
import * as places from "./places.js";
import { change, changed, day, duration, el, explained, figure, given, hour, month, period, text, weekday } from "./show.js";

const choice = (state) => given.choices.find((one) => one.name === state.figure) || given.choices[0];
export const asked = (state) => ({ ...places.subject(state), from: state.from, to: state.to, hours: state.hours === "all" ? "" : state.hours });
export const beside = (state) => (state.compare === "none" ? "" : state.compare);
const grained = (state) => ({ ...asked(state), grain: state.grain === "auto" ? days.grain(state.from, state.to) : state.grain });
const why = (name) => ({ label: explained(name).label, why: explained(name).sentence, right: true });
export const span = (from, to) => (days.between(from, to) === 1 ? day(from) : `${day(from)} – ${day(days.add(to, -1))}`);
const label = (state, name) => text("summary", { figure: name, place: places.title(state), range: span(state.from, state.to) });
const narrow = () => window.innerWidth < 760;

// --- Overview

export async function tiles(box, state) {
  const answer = await get("footfall", { ...grained(state), compare: beside(state) });
  const compared = answer.compare?.[beside(state)];
  for (const tile of box.querySelectorAll("[data-tile]")) {
    const one = given.choices.find((listed) => listed.name === tile.dataset.tile);
    const value = answer.total[one.field];
    const number = tile.querySelector("[data-number]");
    number.textContent = figure(value, one.unit);
    number.dataset.value = String(value);
    const told = tile.querySelector("[data-change]");
    told.replaceChildren(compared ? changed(change(value, compared.total[one.field])) : "\u00a0");
    if (compared) told.append(" ", el("span", { class: "sr-only" }, figure(compared.total[one.field], one.unit)));
    const lines = tile.querySelectorAll("polyline");
    const now = answer.rows.map((row) => row[one.field] || 0), then = (compared?.rows || []).map((row) => row[one.field] || 0);
    const top = Math.max(1, ...now, ...then);
    lines[0].setAttribute("points", points(then, top));
    lines[1].setAttribute("points", points(now, top));
    tile.querySelector("button").setAttribute("aria-pressed", String(one.name === state.figure));
  }
  rests(box, answer);
}

const points = (list, top) => (list.length > 1 ? list.map((value, i) => `${((i / (list.length - 1)) * 120).toFixed(1)},${(26 - (value / top) * 24).toFixed(1)}`).join(" ") : "");

export async function trend(box, state) {
  const one = choice(state);
  const parameters = { ...grained(state), compare: beside(state) };
  box.querySelector("h2").textContent = one.label;
  box.dataset.empty = one.venue ? text("empty") : text("inside_only");
  if (!one.venue && places.kind(state) === "venue") return false;
  const answer = await get(one.report, parameters);
  const compared = answer.compare?.[beside(state)];
  const nothing = answer.rows.every((row) => !row[one.field]);
  if (nothing && (!compared || compared.rows.every((row) => !row[one.field]))) return false;
  const listed = [{ name: text("now"), data: answer.rows.map((row) => row[one.field]), area: true }];
  if (compared) listed.push({ name: text(state.compare), data: answer.rows.map((_, i) => compared.rows[i]?.[one.field] ?? null), beside: true });
  await charts.draw(chart(box), charts.series(answer.rows.map((row) => period(row.period)), listed, one.unit), { label: label(state, `${one.label} ${figure(answer.total[one.field], one.unit)}`) });
  const heads = [{ label: text("period") }, { label: one.label, why: one.sentence, right: true }];
  if (compared) heads.push({ label: text(state.compare), right: true }, { label: text("change"), right: true });
  behind(box, heads, answer.rows.map((row, i) => [period(row.period), { value: row[one.field], unit: one.unit },
    ...(compared ? [{ value: compared.rows[i]?.[one.field], unit: one.unit }, changed(change(row[one.field], compared.rows[i]?.[one.field]))] : [])]));
  exported(box, [one.report, parameters]);
  rests(box, answer);
  return true;
}

export async function heatmap(box, state) {
  const answer = await get("heatmap", asked(state));
  if (answer.rows.every((row) => !row.visits)) return false;
  const hours = [...Array(24).keys()];
  const cells = answer.rows.map((row) => [row.hour, row.weekday - 1, row.mean ?? "-"]);
  const rows = [1, 2, 3, 4, 5, 6, 7].map(weekday);
  await charts.draw(chart(box), charts.heat(hours.map(hour), rows, cells, "number", text("mean_visits")), { label: label(state, text("mean_visits")) });
  behind(box, [{ label: text("weekday") }, ...hours.map((n) => ({ label: hour(n), right: true }))],
    rows.map((name, i) => [name, ...hours.map((n) => ({ value: answer.rows.find((row) => row.weekday === i + 1 && row.hour === n)?.mean, unit: "number" }))]));
  exported(box, ["heatmap", asked(state)]);
  rests(box, answer);
  return true;
}

// --- Visitors

export async function newness(box, state) {
  const parameters = { ...grained(state), compare: beside(state) };
  const answer = await get("footfall", parameters);
  if (!answer.total.visitors) return false;
  const listed = ["returning", "new"].map((name, i) => ({ name: text(name), data: answer.rows.map((row) => row[name]), kind: "bar", stack: "all", colour: i }));
  await charts.draw(chart(box), charts.series(answer.rows.map((row) => period(row.period)), listed, "number"), { label: label(state, box.querySelector("h2").textContent) });
  behind(box, [{ label: text("period") }, why("visitors"), why("new"), why("returning")], answer.rows.map((row) => [period(row.period), ...["visitors", "new", "returning"].map((name) => ({ value: row[name] }))]));
  exported(box, ["footfall", parameters]);
  rests(box, answer);
  return true;
}

const SHARES = ["under_5", "from_5_to_15", "from_15_to_30", "from_30_to_60", "over_60"];

export async function dwell(box, state) {
  const parameters = grained(state);
  const answer = await get("dwell", parameters);
  if (!answer.total.visits) return false;
  const names = SHARES.map((name) => text(name));
  const values = SHARES.map((name) => answer.total.shares[name]);
  await charts.draw(chart(box), charts.bars(names, values, "ratio"), { label: label(state, box.querySelector("h2").textContent) });
  behind(box, [{ label: text("length") }, { ...why("share"), why: "", label: text("share") }], SHARES.map((name, i) => [names[i], { value: values[i], unit: "ratio" }]));
  exported(box, ["dwell", parameters]);
  rests(box, answer);
  box.querySelector("[data-foot]").prepend(`${text("median", { value: duration(answer.total.median_s), p90: duration(answer.total.p90_s) })} `);
  return true;
}

export async function loyalty(box, state) {
  const answer = await get("loyalty", asked(state));
  if (!answer.total.visitors) return false;
  await bars(box, state, "loyalty", answer, { named: (row) => row.visits, field: "visitors", heads: [{ label: text("times") }, why("visitors")] });
  box.querySelector("[data-foot]").prepend(`${text("usually", { n: figure(answer.total.frequency) })}. `);
  return true;
}

export async function recency(box, state) {
  const answer = await get("recency", asked(state));
  if (!answer.rows.some((row) => row.visitors)) return false;
  return bars(box, state, "recency", answer, { named: (row) => row.days_ago, field: "visitors", heads: [{ label: text("days_ago") }, why("recency.visitors")] });
}

async function bars(box, state, report, answer, { named, field, heads }) {
  await charts.draw(chart(box), charts.bars(answer.rows.map(named), answer.rows.map((row) => row[field]), "number"), { label: label(state, box.querySelector("h2").textContent) });
  behind(box, heads, answer.rows.map((row) => [named(row), { value: row[field] }]));
  exported(box, [report, asked(state)]);
  rests(box, answer);
  return true;
}

export async function peak(box, state) {
  const answer = await get("peak-hours", asked(state));
  if (answer.total.hour === null || answer.rows.every((row) => !row.visits)) return false;
  const listed = [{ name: text("mean_visits"), data: answer.rows.map((row) => row.mean_visits), kind: "bar" }, { name: text("mean_occupancy"), data: answer.rows.map((row) => row.mean_occupancy), colour: 1 }];
  await charts.draw(chart(box), charts.series(answer.rows.map((row) => hour(row.hour)), listed, "number"), { label: label(state, box.querySelector("h2").textContent) });
  behind(box, [{ label: text("hour") }, { label: text("visits"), right: true }, { label: text("mean_visits"), right: true }, { label: text("mean_occupancy"), right: true }],
    answer.rows.map((row) => [hour(row.hour), { value: row.visits }, { value: row.mean_visits }, { value: row.mean_occupancy }]));
  exported(box, ["peak-hours", asked(state)]);
  rests(box, answer);
  box.querySelector("[data-foot]").prepend(`${text("busiest", { hour: `${hour(answer.total.hour)}–${hour(answer.total.hour + 1)}` })}. `);
  return true;
}

// Cohorts are months, so their range is twelve of them, up to the end of the range that was picked.
export const cohorts = (state) => ({ ...asked(state), from: days.months(days.add(state.to, -1), -11) });

export async function retention(box, state) {
  const answer = await get("retention", cohorts(state));
  const rows = answer.rows.filter((row) => row.visitors);
  box.dataset.empty = text("no_cohorts");
  if (!rows.length) return false;
  const most = Math.max(...rows.map((row) => row.months.length));
  const head = el("tr", {}, el("th", { scope: "col" }, text("cohort")), el("th", { scope: "col" }, explained("retention.visitors").label), ...[...Array(most).keys()].map((n) => el("th", { scope: "col" }, text("months_later", { n }))));
  const body = rows.map((row) => el("tr", {}, el("th", { scope: "row" }, month(row.cohort)), el("td", { "data-value": row.visitors }, figure(row.visitors)), ...row.months.map(cohort)));
  sheet(box, el("table", { class: "triangle" }, el("thead", {}, head), el("tbody", {}, ...body)));
  exported(box, ["retention", cohorts(state)]);
  rests(box, { ...answer, coverage: null }); // events need not reach back to the first cohort
  return true;
}

const cohort = (one) => el("td", { class: `l${one.share === null ? 0 : Math.min(5, Math.ceil(one.share * 5))}`, "data-value": String(one.share), title: figure(one.visitors) }, figure(one.share, "ratio"));

// --- Paths

const WIDEST = 30;

export async function flows(box, state) {
  if (!given.whole || state.brand) return null;
  const place = places.byKey.get(state.place);
  const alone = place && !["venue", "floor"].includes(place.kind) && !places.children(place.key).length;
  const parameters = { ...asked(state), zone: alone ? places.byKey.get(given.venue.key)?.key : state.place };
  const answer = await get("flows", parameters);
  const rows = answer.rows.filter((row) => row.visits && (!alone || row.from === state.place || row.to === state.place)).sort((a, b) => b.visits - a.visits);
  box.dataset.empty = text("no_flows");
  if (!rows.length) return false;
  const shown = inner(rows).slice(0, WIDEST);
  const [nodes, links] = alone ? through(shown, state.place) : across(shown);
  const named = (id) => places.named(id.slice(2));
  await charts.draw(chart(box), charts.sankey(nodes, links, { named, narrow: narrow() }), { label: label(state, box.querySelector("h2").textContent), click: ({ dataType, name }) => dataType === "node" && go(name.slice(2)), height: Math.max(260, 40 + 30 * sides(nodes)) });
  behind(box, [{ label: text("from") }, { label: text("to") }, { label: text("visits"), right: true }], rows.map((row) => [places.named(row.from), places.named(row.to), { value: row.visits }]));
  exported(box, ["flows", parameters]);
  rests(box, answer);
  if (rows.length > shown.length) box.querySelector("[data-foot]").prepend(`${text("flows_shown", { n: shown.length, all: figure(rows.length) })} `);
  return true;
}

// Of a venue, siblings at all heights are told. Between floors and the street everybody walks: the picture is of the places inside, where there are any.
const OUTER = new Set(["venue", "floor", "street", "entrance"]);

function inner(rows) {
  const found = rows.filter((row) => ![row.from, row.to].some((key) => OUTER.has(places.byKey.get(key)?.kind)));
  return found.length ? found : rows;
}

const sides = (nodes) => Math.max(...["a", "b", "c"].map((side) => nodes.filter((one) => one.id.startsWith(side)).length));
const node = (side, key) => ({ id: `${side}:${key}`, colour: [...key].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 0) });
const once = (nodes) => [...new Map(nodes.map((one) => [one.id, one])).values()];

// People walk both ways, so each place stands on the left as where they came from, and on the right as where they went.
const across = (rows) => [once(rows.flatMap((row) => [node("a", row.from), node("b", row.to)])), rows.map((row) => ({ source: `a:${row.from}`, target: `b:${row.to}`, value: row.visits }))];

const through = (rows, key) => [
  once([node("b", key), ...rows.map((row) => (row.to === key ? node("a", row.from) : node("c", row.to)))]),
  rows.map((row) => (row.to === key ? { source: `a:${row.from}`, target: `b:${key}`, value: row.visits } : { source: `b:${key}`, target: `c:${row.to}`, value: row.visits })),
];

export async function cross(box, state) {
  const place = places.byKey.get(state.place);
  const own = places.stores(state);
  const wide = !state.brand && given.venue && place && ["venue", "floor"].includes(place.kind);
  if (!wide && own.length < 2) return null;
  const parameters = wide ? asked(state) : { ...asked(state), brand: "", zone: given.venue && !state.brand ? places.holder(state) : own.slice(0, 50).map((one) => one.key).join() };
  const answer = await get("cross-visits", parameters);
  const rows = answer.rows.filter((row) => row.visitors && (wide || state.brand || !given.venue || row.a === state.place || row.b === state.place)).sort((a, b) => b.visitors - a.visitors);
  box.dataset.empty = text("no_pairs");
  if (!rows.length) return false;
  const alone = (row) => (row.a === state.place ? row.b : row.b === state.place ? row.a : "");
  const pair = (row) => alone(row) ? places.named(alone(row)) : text("both", { a: places.named(row.a), b: places.named(row.b) });
  const shown = rows.slice(0, 12);
  await charts.draw(chart(box), charts.bars(shown.map(pair), shown.map((row) => row.visitors), "number", { lying: true, narrow: narrow() }), { label: label(state, box.querySelector("h2").textContent), height: 60 + 26 * shown.length });
  behind(box, [{ label: text("pair") }, { label: text("visitors"), right: true }], rows.map((row) => [pair(row), { value: row.visitors }]));
  exported(box, ["cross-visits", parameters]);
  rests(box, answer);
  return true;
}

export async function passers(box, state) {
  if (!given.venue || state.brand || !["venue", "street"].includes(places.kind(state))) return null;
  if (!given.places.some((place) => place.kind === "street")) return null;
  const parameters = grained(state);
  const answer = await get("passers-by", parameters);
  if (!answer.total.passers_by) return false;
  await charts.draw(chart(box), charts.series(answer.rows.map((row) => period(row.period)), [{ name: text("passers_by"), data: answer.rows.map((row) => row.passers_by), area: true, colour: 2 }], "number"),
    { label: label(state, `${text("passers_by")} ${figure(answer.total.passers_by)}`) });
  behind(box, [{ label: text("period") }, { label: text("passers_by"), right: true }], answer.rows.map((row) => [period(row.period), { value: row.passers_by }]));
  exported(box, ["passers-by", parameters]);
  rests(box, answer);
  box.querySelector("[data-foot]").prepend(`${text("passers_by")}: ${figure(answer.total.passers_by)} `);
  return true;
}

// --- Stores

export async function stores(box, state) {
  const own = places.stores(state);
  box.dataset.empty = text("no_stores");
  if (!own.length) return false;
  const keys = own.map((one) => one.key);
  const parameters = { from: state.from, to: state.to, hours: asked(state).hours };
  const asking = [many("footfall", keys, { ...parameters, grain: "month", compare: beside(state) }), many("bounce", keys, { ...parameters, grain: "month" })];
  if (given.whole) asking.push(many("capture", keys, { ...parameters, grain: "month" }));
  const [main, bounce, capture = []] = await Promise.all(asking);
  const of = (answers, key) => answers.find((one) => one.place.key === key)?.total;
  const rows = main.map((one) => ({
    key: one.place.key, name: places.named(one.place.key), floor: places.byKey.get(one.place.key)?.floor, ...one.total, change: change(one.total.visitors, one.compare?.[beside(state)]?.total.visitors),
    bounce: of(bounce, one.place.key)?.rate, capture: of(capture, one.place.key)?.rate,
  }));
  sheet(box, listed(rows, state));
  const slices = [];
  for (let i = 0; i < keys.length; i += 20) slices.push(keys.slice(i, i + 20));
  exported(box, ...slices.map((slice, i) => ["footfall", { ...parameters, zone: slice.join(), grain: "month", compare: beside(state) }, slices.length > 1 ? text("export_part", { from: i * 20 + 1, to: Math.min(keys.length, i * 20 + 20) }) : text("export")]));
  rests(box, ...main);
  return true;
}

function listed(rows, state) {
  const choices = Object.fromEntries(given.choices.map((one) => [one.name, one]));
  const columns = [
    { name: "name", label: text("store"), kind: "text" }, ...(rows.some((row) => row.floor !== null && row.floor !== undefined) ? [{ name: "floor", label: text("floor") }] : []),
    { name: "visitors", ...column(choices.visitors) }, ...(beside(state) ? [{ name: "change", label: text("change"), kind: "change" }] : []), { name: "visits", ...column(choices.visits) },
    { name: "dwell_median_s", ...column(choices.dwell) }, { name: "new", ...column(choices.new) }, { name: "returning", ...column(choices.returning) }, { name: "bounce", ...column(choices.bounce) }, ...(given.whole ? [{ name: "capture", ...column(choices.capture) }] : []),
  ];
  const down = state.sort.startsWith("-"), by = state.sort.replace("-", "");
  const sorted = [...rows].sort((a, b) => order(a[by], b[by]) * (down ? -1 : 1) || order(a.name, b.name));
  const head = el("tr", {}, ...columns.map((one) => heading(one, by, down)));
  return el("table", { class: "plain", id: "stores" }, el("thead", {}, head), el("tbody", {}, ...sorted.map((row) => el("tr", { "data-store": row.key, class: row.key === state.place ? "here" : null }, ...columns.map((one) => entry(one, row))))));
}

const column = (one) => ({ label: one.label, why: one.sentence, unit: one.unit });

function heading(one, by, down) {
  const own = one.name === by;
  const button = el("button", { type: "button", "data-sort": one.name, "data-why": one.why || null }, one.label, el("span", { class: "arrow", "aria-hidden": "true" }, own ? (down ? " ▾" : " ▴") : ""));
  return el("th", { scope: "col", class: one.kind === "text" ? null : "right", "aria-sort": own ? (down ? "descending" : "ascending") : null }, button);
}

function entry(one, row) {
  if (one.kind === "text") return el("td", {}, el("a", { href: `?place=${encodeURIComponent(row.key)}`, "data-place": row.key }, row.name));
  if (one.kind === "change") return el("td", { class: "right" }, changed(row.change));
  return el("td", { class: "right", "data-column": one.name, "data-value": String(row[one.name]) }, figure(row[one.name], one.unit));
}

function order(a, b) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) && none(b) ? 0 : none(a) ? -1 : 1;
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

const go = (key) => document.dispatchEvent(new CustomEvent("place", { detail: key }));
