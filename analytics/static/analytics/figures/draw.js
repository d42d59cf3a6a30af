// The floor plan, coloured by a figure of the whole range or of one hour of its days.

import { get, many } from "./ask.js";
import { behind, exported, rests } from "./panel.js";
import * as places from "./places.js";
import { el, figure, given, hour, text } from "./show.js";
import { asked } from "./widgets.js";

const LEVELS = 5;
const BY_HOUR = { visits: "mean_visits", occupancy: "mean_occupancy" };

export async function plan(box, state) {
  if (!given.venue || state.brand) return null;
  const one = given.choices.find((choice) => choice.name === state.figure) || given.choices[0];
  const slides = one.name in BY_HOUR;
  const at = slides && state.hour !== "" ? Number(state.hour) : -1;
  controls(one, slides, at);
  const zones = given.places.filter((place) => place.venue === given.venue.key && !["venue", "floor"].includes(place.kind) && (one.venue || place.kind !== "street"));
  if (!zones.length) return false;
  const keys = zones.map((place) => place.key);
  const parameters = { from: state.from, to: state.to, hours: asked(state).hours };
  const answers = at < 0 ? await many(one.report, keys, { ...parameters, grain: "month" }) : await many("peak-hours", keys, parameters);
  const values = new Map(answers.map((answer) => [answer.place.key, at < 0 ? answer.total[one.field] : answer.rows[at]?.[BY_HOUR[one.name]]]));
  const unit = at < 0 ? one.unit : "number";
  paint(box, values, unit, state);
  behind(box, [{ label: text("all_zones") }, { label: one.label, why: one.sentence, right: true }], zones.map((place) => [place.name, { value: values.get(place.key), unit }]).sort((a, b) => (b[1].value ?? -1) - (a[1].value ?? -1)));
  const slices = [];
  for (let i = 0; i < keys.length; i += 20) slices.push(keys.slice(i, i + 20));
  exported(box, ...slices.map((slice, i) => [one.report, { ...parameters, zone: slice.join(), grain: "month" }, slices.length > 1 ? text("export_part", { from: i * 20 + 1, to: Math.min(keys.length, i * 20 + 20) }) : text("export")]));
  rests(box, ...answers);
  return true;
}

function controls(one, slides, at) {
  document.getElementById("figure").value = one.name;
  document.getElementById("figure-says").textContent = one.sentence;
  const slider = document.getElementById("hour");
  slider.disabled = !slides;
  slider.closest(".slide").classList.toggle("off", !slides);
  slider.value = String(at);
  says(at, slides);
}

export function says(at, slides = true) {
  const told = !slides ? text("pick_hour") : at < 0 ? text("whole_day") : text("hour_of", { from: hour(at), to: hour(at + 1) });
  document.getElementById("hour-says").textContent = told;
  document.getElementById("hour").setAttribute("aria-valuetext", told);
}

// Five equal steps up to the largest; counts that are few get one each.
function ends(values, unit) {
  const top = Math.max(0, ...values);
  const round = unit === "number" && top > LEVELS ? Math.ceil : (value) => value;
  return [...Array(LEVELS).keys()].map((i) => round((top * (i + 1)) / LEVELS));
}

function paint(box, values, unit, state) {
  // Streets lie outside, and many more people pass there: they are told, not coloured, or all others would be pale.
  const inner = given.places.filter((place) => place.kind !== "street").map((place) => values.get(place.key)).filter((value) => typeof value === "number");
  const steps = ends(inner, unit);
  for (const zone of box.querySelectorAll("[data-zone]")) {
    const value = values.get(zone.dataset.zone);
    const label = value === null || value === undefined ? "" : short(value, unit);
    const level = value ? Math.max(1, steps.findIndex((end) => value <= end + 1e-9) + 1 || LEVELS) : 0;
    if (zone.classList.contains("kind-street")) delete zone.dataset.level;
    else zone.dataset.level = level;
    zone.dataset.value = String(value);
    zone.classList.toggle("here", zone.dataset.zone === state.place);
    zone.classList.toggle("aside", !under(zone.dataset.zone, state.place));
    const drawn = zone.querySelector(".figure");
    drawn.textContent = label;
    drawn.setAttribute("font-size", drawn.dataset.size * Math.min(1, 3 / Math.max(1, label.length)));
    const told = `${zone.dataset.name}: ${value === null || value === undefined ? text("nothing") : figure(value, unit)}`;
    zone.querySelector("title").textContent = told;
    zone.setAttribute("aria-label", told);
    zone.setAttribute("href", `?place=${encodeURIComponent(zone.dataset.zone)}`);
  }
  legend(steps, unit);
}

const under = (key, place) => places.trail(key).some((one) => one.key === place) || places.trail(place).length > 1 && !places.children(place).length;

function short(value, unit) {
  if (unit === "s") return value >= 60 && value < 3600 ? String(Math.floor(value / 60)) : figure(value, unit);
  if (unit === "ratio") return `${Math.round(value * 100)}%`;
  if (!Number.isInteger(value) && value < 100) return figure(Math.round(value * 10) / 10);
  return value >= 10000 ? `${Math.round(value / 1000)}k` : figure(value);
}

function legend(steps, unit) {
  const list = document.getElementById("plan-legend");
  if (!list) return;
  const words = steps.map((end, i) => `${figure(i ? steps[i - 1] : 0, unit)} – ${figure(end, unit)}`);
  list.replaceChildren(...[figure(0, unit), ...(steps.at(-1) ? words : [])].map((word, level) => el("li", {}, el("i", { class: `l${level}` }), word)));
}
