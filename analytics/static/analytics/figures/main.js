// The page: its address, its controls, and which panels are to be filled.

import * as address from "./address.js";
import { warm } from "./charts.js";
import * as days from "./days.js";
import { plan, says } from "./draw.js";
import { anyFailed, fill, find, save } from "./panel.js";
import * as places from "./places.js";
import { el, given, text } from "./show.js";
import { today } from "./today.js";
import * as widgets from "./widgets.js";

const FRESH_MS = 5000, RANGE_MS = 60000;
const MAKERS = { ...widgets, plan };
const byId = (id) => document.getElementById(id);
let state;

function settle() {
  state = address.read(location.search, given.start);
  const day = days.today(given.time_zone);
  const own = state.preset === "custom" && days.isDay(state.from) && days.isDay(state.to) && state.from < state.to;
  if (!own) {
    if (!days.range(state.preset, day)) state.preset = "28d";
    [state.from, state.to] = days.range(state.preset, day);
  }
  if (!document.querySelector(`[data-view="${CSS.escape(state.view)}"]`)) state.view = "overview";
  if (!given.choices.some((one) => one.name === state.figure)) state.figure = "visitors";
}

// --- Controls, from the state

function showControls() {
  for (const name of ["preset", "compare", "grain", "hours"]) if (byId(name)) byId(name).value = state[name];
  byId("from").value = state.from;
  byId("until").value = days.add(state.to, -1);
  for (const box of document.querySelectorAll(".own")) box.hidden = state.preset !== "custom";
  byId("span").textContent = `${widgets.span(state.from, state.to)}, ${given.time_zone.replace("_", " ")}${state.to > days.today(given.time_zone) ? `. ${text("unfinished")}` : ""}`;
  byId("here").textContent = location.href;
  const week = new URL(byId("week").href);
  week.search = state.brand ? `?brand=${encodeURIComponent(state.brand)}` : `?place=${encodeURIComponent(state.place)}`;
  byId("week").href = week.href;
  for (const link of document.querySelectorAll("[data-view]")) {
    link.href = address.write({ ...state, view: link.dataset.view });
    link.toggleAttribute("aria-current", link.dataset.view === state.view);
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
  }
  for (const view of document.querySelectorAll(".view")) view.hidden = view.dataset.of !== state.view;
  crumbs();
  byId("place").value = state.brand ? `brand:${state.brand}` : `place:${state.place}`;
  document.title = `${places.title(state)} | Atrium`;
}

function crumbs() {
  const trail = state.brand ? [{ key: state.brand, name: places.named(state.brand) }] : places.trail(state.place);
  const link = (one, last) => (last ? el("span", { "aria-current": "page" }, one.name) : el("a", { href: address.write({ ...state, brand: "", place: one.key }), "data-place": one.key }, one.name));
  const own = given.whole ? [] : given.brands.filter((brand) => !state.brand).map((brand) => el("li", {}, el("a", { href: address.write({ ...state, place: "", brand: brand.key }), "data-brand": brand.key }, brand.name)));
  byId("crumbs").replaceChildren(el("ol", {}, ...own, ...trail.map((one, i) => el("li", {}, link(one, i === trail.length - 1)))));
}

function placeChooser() {
  const option = (value, name, depth = 0) => el("option", { value }, `${"\u00a0\u00a0\u00a0".repeat(depth)}${name}`);
  const select = byId("place");
  select.append(...places.options().map(([place, depth]) => option(`place:${place.key}`, place.name, depth)));
  const elsewhere = given.venues.filter((venue) => venue.key !== given.venue?.key);
  select.append(...elsewhere.map((venue) => option(`place:${venue.key}`, venue.name)));
  if (given.brands.length) select.append(el("optgroup", { label: text("brands") }, ...given.brands.map((brand) => option(`brand:${brand.key}`, brand.name))));
}

// --- Moving

export function move(change, { replace = false } = {}) {
  const next = { ...state, ...change };
  const target = address.write(next);
  // Another venue, or a brand, has other places: the server makes that page.
  const known = next.brand ? next.brand === state.brand : places.byKey.has(next.place) && !(state.brand && given.whole);
  if (!known) return location.assign(target);
  history[replace ? "replaceState" : "pushState"](null, "", target);
  show();
  return undefined;
}

function show() {
  settle();
  showControls();
  load();
}

function load(only = null) {
  for (const box of document.querySelectorAll(`.view[data-of="${state.view}"] .widget`)) {
    const name = box.dataset.widget;
    if (only && !only.includes(name)) continue;
    const asked = state;
    if (name === "today") fill(box, (one) => today(one, asked));
    else fill(box, (one) => MAKERS[name](one, asked));
  }
}

// --- Running

let last = performance.now();

async function tick() {
  const box = find("today");
  if (!document.hidden && state.view === "overview" && ["ready", "empty", "failed"].includes(box.dataset.state)) {
    const asked = state;
    await today(box, asked, { fresh: true }).then((full) => {
      if (full && asked === state) { box.dataset.state = "ready"; box.querySelector("[data-says]").replaceChildren(); }
      connected(true);
    }, () => connected(false));
  }
  if (!document.hidden && performance.now() - last > RANGE_MS && state.to > days.today(given.time_zone)) {
    last = performance.now();
    load(["tiles", "trend"]);
  }
  setTimeout(tick, FRESH_MS);
}

let away = false;

function connected(well) {
  const box = byId("connection");
  box.hidden = well;
  box.textContent = well ? "" : text("lost");
  if (well && away && anyFailed().length) load(anyFailed().map((one) => one.dataset.widget));
  away = !well;
}

// --- What people do

function controls() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("change", ({ target }) => {
    if (target.id === "from" || target.id === "until") {
      const from = byId("from").value, until = byId("until").value;
      if (days.isDay(from) && days.isDay(until) && from <= until) move({ preset: "custom", from, to: days.add(until, 1) });
    } else move({ [target.name]: target.value });
  });
  byId("place").addEventListener("change", ({ target }) => {
    const [kind, ...key] = target.value.split(":");
    move(kind === "brand" ? { brand: key.join(":"), place: "" } : { place: key.join(":"), brand: "" });
  });
  byId("figure").addEventListener("change", ({ target }) => move({ figure: target.value }));
  byId("hour").addEventListener("input", ({ target }) => says(Number(target.value)));
  byId("hour").addEventListener("change", ({ target }) => move({ hour: Number(target.value) < 0 ? "" : target.value }, { replace: true }));
  byId("print").addEventListener("click", () => print());
  document.addEventListener("place", ({ detail }) => move({ place: detail, brand: "" }));
  document.addEventListener("click", clicked);
  window.addEventListener("popstate", show);
}

function clicked(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const { target } = event;
  const on = (selector) => target.closest(selector);
  if (on("[data-png]")) return save(target.closest(".widget"));
  const told = on("[data-view]") ? { view: on("[data-view]").dataset.view }
    : on("button[data-figure]") ? { figure: on("button[data-figure]").dataset.figure }
    : on("[data-sort]") ? { sort: sorted(on("[data-sort]").dataset.sort) }
    : on("a[data-brand]") ? { brand: on("a[data-brand]").dataset.brand, place: "" }
    : on("a[data-place]") ? { place: on("a[data-place]").dataset.place, brand: "" }
    : on("a[data-zone]") ? { place: on("a[data-zone]").dataset.zone, brand: "" } : null;
  if (!told) return undefined;
  event.preventDefault();
  return move(told);
}

const sorted = (name) => (state.sort === `-${name}` ? name : state.sort === name ? `-${name}` : name === "name" ? name : `-${name}`);

// What a figure means, at the pointer and for the keyboard.
function bubble() {
  const box = byId("bubble");
  const open = ({ target }) => {
    const one = target.closest?.("[data-why]");
    if (!one) return;
    box.textContent = one.dataset.why;
    box.hidden = false;
    const at = one.getBoundingClientRect(), own = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - own.width - 8))}px`;
    box.style.top = `${at.bottom + own.height + 10 > window.innerHeight ? at.top - own.height - 6 : at.bottom + 6}px`;
  };
  const close = () => { box.hidden = true; };
  for (const name of ["pointerover", "focusin"]) document.addEventListener(name, open);
  for (const name of ["pointerout", "focusout", "scroll"]) document.addEventListener(name, close, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
}

if (given.start) {
  placeChooser();
  controls();
  bubble();
  show();
  if (state.view !== "stores") warm();
  setTimeout(tick, FRESH_MS);
}
