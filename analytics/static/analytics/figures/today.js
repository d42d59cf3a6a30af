// Today by the hour, beside the same weekday last week, running.

import { get } from "./ask.js";
import * as charts from "./charts.js";
import * as days from "./days.js";
import { behind, chart, exported, rests } from "./panel.js";
import * as places from "./places.js";
import { change, changed, clock, figure, given, text } from "./show.js";

export async function today(box, state, { fresh = false } = {}) {
  const zone = given.time_zone, day = days.today(zone), ago = days.add(day, -7), place = places.subject(state);
  const minute = days.weekAgo(zone).slice(0, 16) + ":00Z";
  const [now, then, byNow, inside] = await Promise.all([
    get("footfall", { ...place, from: day, to: days.add(day, 1), grain: "hour" }, { fresh }),
    get("footfall", { ...place, from: ago, to: days.add(ago, 1), grain: "hour" }),
    get("footfall", { ...place, from: ago, to: minute, grain: "day" }),
    get("occupancy", { ...place, from: day, to: days.add(day, 1), grain: "day" }, { fresh }),
  ]);
  for (const name of ["visitors", "visits"]) tell(box, name, now.total[name], byNow.total[name]);
  const people = box.querySelector('[data-today="inside"]');
  people.textContent = figure(inside.total.now);
  people.dataset.value = String(inside.total.now);
  box.querySelector('[data-today="inside-label"]').textContent = `${text("inside")}, ${clock(zone)}`;
  if (!now.total.visits && !then.total.visits && !inside.total.now) return false;
  await picture(box, now, then, days.hourNow(zone));
  exported(box, ["footfall", { ...place, from: day, to: days.add(day, 1), grain: "hour" }]);
  rests(box, now);
  return true;
}

function tell(box, name, value, before) {
  const number = box.querySelector(`[data-today="${name}"]`);
  number.textContent = figure(value);
  number.dataset.value = String(value);
  const label = box.querySelector(`[data-today="${name}-label"]`);
  const choice = given.choices.find((one) => one.name === name);
  label.replaceChildren(`${choice.label} ${text("so_far")}, `, changed(change(value, before)), ` (${figure(before)} ${text("by_now")})`);
}

async function picture(box, now, then, current) {
  const at = (row) => row.period.slice(11, 16);
  const labels = [...new Set([...then.rows, ...now.rows].map(at))].sort();
  const of = (rows, label) => rows.filter((row) => at(row) === label).reduce((sum, row) => sum + row.visits, 0);
  const come = (label) => Number(label.slice(0, 2)) <= current;
  const listed = [
    { name: text("today"), data: labels.map((label) => (come(label) ? of(now.rows, label) : null)), kind: "bar" },
    { name: text("last_week"), data: labels.map((label) => of(then.rows, label)), beside: true },
  ];
  const choice = given.choices.find((one) => one.name === "visits");
  await charts.draw(chart(box), charts.series(labels, listed, "number"), { label: `${choice.label}: ${figure(now.total.visits)} ${text("so_far")}` });
  behind(box, [{ label: text("hour") }, { label: text("today"), right: true }, { label: text("last_week"), right: true }], labels.map((label) => [label, { value: come(label) ? of(now.rows, label) : null }, { value: of(then.rows, label) }]));
}
