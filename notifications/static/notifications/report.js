// The report of a campaign: sums that add up, variants beside each other, opens and clicks by whom, and whether it brought anyone.

import { get, trouble } from "../analytics/call.js";
import { draw, series } from "../analytics/figures/charts.js";
import { el, figure, given, moment, period, table, text } from "../analytics/figures/show.js";

const byId = (id) => document.getElementById(id);
const BY = ["person", "machine", "unknown"];
let shown = false;

// Each part takes its time, and is shown as soon as it is there.
export async function report(address) {
  const box = byId("report");
  box.setAttribute("aria-busy", "true");
  const part = (name) => get(`${address}/report`, { parts: name });
  try {
    const sums = await part("sums");
    variants(sums, {});
    reasons(sums.reasons);
    if (!shown) box.dataset.state = "begun";
    const { engagement } = await part("engagement");
    variants(sums, engagement || {});
    await overTime(engagement?.over_time);
    links(engagement?.links || []);
    outcome((await part("outcome")).outcome);
    box.dataset.state = "ready";
    shown = true;
    byId("report-says").replaceChildren();
  } catch (error) {
    if (!shown) box.dataset.state = "failed";
    byId("report-says").replaceChildren(trouble(error, () => report(address)));
  } finally {
    box.setAttribute("aria-busy", "false");
  }
}

// --- Whether it brought anyone

function outcome(told) {
  byId("sentence").textContent = told ? text("visits_say", { days: figure(told.days), said: told.visits.sentence }) : text("no_outcome");
  byId("arms").replaceChildren(...(told ? ["messaged", "held_out"].map((name) => arm(name, told.visits[name])) : []));
  const more = [];
  if (told) {
    const bought = told.purchases;
    if (bought.messaged.did || bought.held_out.did) more.push(text("purchases_say", { told: figure(bought.messaged.did), said: bought.sentence }));
    if (!told.complete) more.push(text("not_over", { until: moment(told.until, given.time_zone) }));
    if (told.credit?.shared) more.push(text("credit", { claimed: figure(told.credit.claimed), shared: figure(told.credit.shared) }));
    if (typeof told.coverage === "number" && told.coverage < 0.95) more.push(text("coverage", { share: figure(told.coverage, "ratio") }));
  }
  byId("credit").textContent = more.join(" ");
}

const arm = (name, one) => el("div", { class: "arm", "data-arm": name }, el("h3", {}, text(name)), el("p", { class: "big" }, one.shoppers ? figure(one.share, "ratio") : "–"), el("p", { class: "small" }, text("arm", { visited: figure(one.did), shoppers: figure(one.shoppers) })));

// --- What became of it

const total = (counts, names = Object.keys(counts)) => names.reduce((all, one) => all + (counts[one] || 0), 0);
const cells = (states, heard) => [total(states), heard.sent, heard.delivered, ...["opened", "clicked"].flatMap((what) => BY.map((by) => heard[what][by])), heard.unsubscribed];

function variants(told, engagement) {
  const nothing = { sent: 0, delivered: 0, opened: {}, clicked: {}, unsubscribed: 0 };
  const heard = new Map((engagement.variants || []).map((one) => [one.name, one]));
  const heads = ["variant", "meant", "sent", "delivered", ...["opened", "clicked"].flatMap((what) => BY.map((by) => `${what}_${by}`)), "unsubscribed"].map((name, i) => ({ label: text(name), right: i > 0 }));
  const rows = told.variants.map((one) => [one.name.toUpperCase(), ...cells(one.counts, heard.get(one.name) || nothing).map((value) => ({ value: value ?? 0, unit: "number" }))]);
  const made = table(heads, rows);
  if (rows.length > 1) {
    const sums = rows[0].slice(1).map((_, i) => rows.reduce((all, row) => all + row[i + 1].value, 0));
    made.append(el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, text("all")), ...sums.map((value) => el("td", { class: "right", "data-value": value }, figure(value))))));
  }
  byId("by-variant").replaceChildren(made);
}

// Variants together: what people did, and what nobody knows of.
async function overTime(told) {
  const periods = new Map();
  for (const row of told?.rows || []) {
    const sum = periods.get(row.period) || { sent: 0, delivered: 0, opened: 0, clicked: 0 };
    for (const name of ["sent", "delivered"]) sum[name] += row[name];
    for (const name of ["opened", "clicked"]) sum[name] += row[name].person + row[name].unknown;
    periods.set(row.period, sum);
  }
  byId("over-time").closest("section").hidden = !periods.size;
  if (!periods.size) return;
  const named = (label) => (told.bucket === "hour" ? moment(label, given.time_zone) : period(label));
  const labels = [...periods.keys()].map(named), rows = [...periods.values()];
  const names = ["sent", "delivered", "opened", "clicked"];
  await draw(byId("over-time"), series(labels, names.map((name, i) => ({ name: text(name), data: rows.map((row) => row[name]), kind: i < 2 ? "bar" : "line", colour: i })), "number"));
  byId("over-time-table").replaceChildren(table([{ label: text("period") }, ...names.map((name) => ({ label: text(name), right: true }))], rows.map((row, i) => [labels[i], ...names.map((name) => ({ value: row[name], unit: "number" }))])));
}

function links(listed) {
  if (!listed.length) return byId("links").replaceChildren(el("p", { class: "small" }, text("no_links_at_all")));
  const heads = [{ label: text("link") }, ...["clicks", "messages", "machine_clicks"].map((name) => ({ label: text(name), right: true }))];
  const address = (one) => el("span", { class: "address" }, one.url || text("own_link"));
  return byId("links").replaceChildren(table(heads, listed.map((one) => [address(one), ...["clicks", "messages", "machine"].map((name) => ({ value: one[name], unit: "number" }))])));
}

function reasons(told) {
  const listed = Object.entries(told).flatMap(([state, its]) => Object.entries(its).map(([reason, n]) => [state, reason, n])).sort((one, other) => other[2] - one[2]);
  if (!listed.length) return byId("reasons").replaceChildren(el("p", { class: "small" }, text("no_reasons")));
  return byId("reasons").replaceChildren(table([{ label: text("reason") }, { label: text("state") }, { label: text("people"), right: true }], listed.map(([state, reason, value]) => [text(`reason_${reason}`), text(`state_${state}`), { value, unit: "number" }])));
}
