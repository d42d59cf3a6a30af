// Building an audience: the tree, its sentence, and how many meet each part of it, while it is being changed.

import { Failed, tell, trouble } from "../call.js";
import { el, figure, given, text } from "../figures/show.js";
import { complete, fields } from "./fields.js";
import { GROUPS, group, isGroup, nodes, read, root, write } from "./rule.js";

const PAUSE_MS = 150, SILENCE_MS = 800;
const byId = (id) => document.getElementById(id);
const page = byId("builder");
let tree, saved, rule = null, counted = null, turn = 0, waiting = null, asking = null;

// --- The tree

function draw() {
  byId("tree").replaceChildren(grouped(tree, null));
}

function grouped(node, parent) {
  const id = `g-${Math.random().toString(36).slice(2)}`;
  const op = el("select", { id }, ...GROUPS.map((one) => el("option", { value: one, selected: one === node.op }, text(`op_${one}`))));
  op.addEventListener("change", () => { node.op = op.value; changed(); });
  const head = el("header", {}, el("label", { for: id, class: "sr-only" }, text("op_label")), op, counter(node));
  if (parent) head.append(remover(node, parent, text("remove_group")));
  const holding = el("ol", {}, ...node.of.map((one) => el("li", {}, isGroup(one) ? grouped(one, node) : condition(one, node))));
  const empty = node.of.length ? null : el("p", { class: "small" }, text("empty_group"));
  const box = el("fieldset", { class: `group of-${node.op}` }, el("legend", { class: "sr-only" }, text("group")), head, empty, holding, adders(node));
  op.addEventListener("change", () => { box.className = `group of-${node.op}`; });
  node.box = box;
  return box;
}

function condition(node, parent) {
  const made = given.conditions.find((one) => one.kind === node.kind);
  const rest = made ? fields(node, changed) : [el("p", { class: "wrong" }, text("unknown_condition", { kind: node.kind }))];
  const box = el("fieldset", { class: "condition" }, el("legend", {}, made?.label || node.kind), el("div", { class: "fields" }, ...rest), counter(node), remover(node, parent, text("remove", { what: made?.label || node.kind })));
  box.append(el("p", { class: "wrong", "data-fault": "", role: "alert" }));
  node.box = box;
  return box;
}

const counter = (node) => (node.counter = el("output", { class: "count", "aria-live": "off" }));

function remover(node, parent, label) {
  const button = el("button", { type: "button", class: "remove", "aria-label": label, title: label }, "×");
  button.addEventListener("click", () => {
    parent.of.splice(parent.of.indexOf(node), 1);
    draw();
    parent.box.querySelector("select")?.focus();
    changed();
  });
  return button;
}

function adders(node) {
  const select = el("select", { "aria-label": text("add_condition") }, el("option", { value: "" }, text("add_condition")), ...given.conditions.map((one) => el("option", { value: one.kind, disabled: Boolean(one.missing) }, one.missing ? `${one.label} (${one.missing})` : one.label)));
  select.addEventListener("change", () => {
    const made = given.conditions.find((one) => one.kind === select.value);
    if (made) add(node, { kind: made.kind, value: structuredClone(made.start) });
  });
  const button = el("button", { type: "button", class: "button" }, text("add_group"));
  button.addEventListener("click", () => add(node, group(node.op === "all" ? "any" : "all")));
  return el("div", { class: "adders" }, select, button);
}

function add(node, child) {
  node.of.push(child);
  draw();
  (child.box.querySelector(".fields select, .fields input") || child.box.querySelector("select")).focus();
  changed();
}

// --- Its counts

function changed({ now = false } = {}) {
  rule = write(tree, complete);
  const unfinished = [...nodes(tree)].filter((one) => !isGroup(one) && !complete(one)).length;
  byId("unfinished").textContent = unfinished ? text(unfinished === 1 ? "unfinished_one" : "unfinished_many", { n: figure(unfinished) }) : "";
  byId("save").disabled = !rule || unfinished > 0;
  history.replaceState(null, "", rule && JSON.stringify(rule) !== saved ? `#${encodeURIComponent(JSON.stringify(rule))}` : location.pathname + location.search);
  asking?.abort();
  turn += 1;
  clearTimeout(waiting);
  if (!rule) return nothing();
  state(counted ? "stale" : "loading");
  waiting = setTimeout(count, now ? 0 : PAUSE_MS);
  return undefined;
}

function nothing() {
  counted = null;
  state("empty");
  byId("total").textContent = "–";
  byId("words").textContent = text("no_rule");
  for (const one of nodes(tree)) if (one.counter) one.counter.textContent = "";
}

async function count() {
  const mine = turn;
  asking = new AbortController();
  const slow = setTimeout(() => { if (mine === turn) byId("says").replaceChildren(el("p", {}, text("still_counting"))); }, SILENCE_MS);
  try {
    const answer = await tell("POST", "audiences/count", { rule }, { signal: asking.signal });
    if (mine !== turn) return;
    counted = answer;
    show(answer);
    state("fresh");
  } catch (error) {
    if (mine !== turn) return;
    failed(error);
  } finally {
    clearTimeout(slow);
  }
}

function show(answer) {
  byId("total").textContent = figure(answer.count);
  byId("total").dataset.value = answer.count;
  byId("words").textContent = answer.words || "";
  const found = new Map(flat(answer));
  for (const node of nodes(tree)) {
    const here = node.path === null ? undefined : found.get(node.path);
    node.counter.textContent = here === undefined ? "" : figure(here);
    node.counter.dataset.value = here ?? "";
    node.counter.title = here === undefined ? "" : text("branch", { n: figure(here) });
  }
}

const flat = (branch) => [[branch.path ?? "", branch.count], ...(branch.branches || []).flatMap(flat)];

function failed(error) {
  state(error.kind === "refused" ? "refused" : "failed");
  const unplaced = (error.faults || []).filter(({ place, detail }) => {
    const node = [...nodes(tree)].find((one) => !isGroup(one) && one.path !== null && (place === one.path || place.startsWith(`${one.path}.`)));
    if (node) node.box.querySelector("[data-fault]").textContent = detail;
    return !node;
  });
  const own = error.faults?.length && !unplaced.length ? new Failed("refused", { detail: text("mend") }) : error;
  byId("says").replaceChildren(trouble(own, () => changed({ now: true })));
}

function state(told) {
  page.dataset.state = told;
  byId("counts").setAttribute("aria-busy", String(told === "loading" || told === "stale"));
  byId("state").textContent = text(`count_${told}`);
  if (!["failed", "refused"].includes(told)) {
    byId("says").replaceChildren();
    for (const one of page.querySelectorAll("[data-fault]")) one.textContent = "";
  }
}

// --- Saving

async function save(event) {
  event.preventDefault();
  const name = byId("name").value.trim();
  if (!name) return byId("name").focus();
  const button = byId("save");
  button.disabled = true;
  button.textContent = text("saving");
  try {
    if (given.key) await tell("PUT", `audiences/${encodeURIComponent(given.key)}`, { name, rule });
    else await tell("POST", "audiences", { key: byId("key").value.trim(), name, rule });
    saved = JSON.stringify(rule);
    unsaved = false;
    location.assign(given.after.replace("KEY", encodeURIComponent(given.key || byId("key").value.trim())));
  } catch (error) {
    byId("told").replaceChildren(trouble(error));
    button.disabled = false;
  } finally {
    button.textContent = text("save");
  }
  return undefined;
}

// The key follows the name until somebody writes one.
function naming() {
  const key = byId("key");
  if (!key) return;
  let own = false;
  key.addEventListener("input", () => { own = true; });
  byId("name").addEventListener("input", ({ target }) => {
    if (!own) key.value = target.value.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  });
}

function given_rule() {
  try {
    const told = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    read(told);
    return told;
  } catch {
    return given.rule;
  }
}

let unsaved = false;
saved = JSON.stringify(given.rule);
tree = root(given_rule());
draw();
naming();
byId("form").addEventListener("submit", save);
byId("form").addEventListener("input", () => { unsaved = true; });
for (const button of document.querySelectorAll("[data-start]")) button.addEventListener("click", () => { tree = root(JSON.parse(button.dataset.start)); draw(); unsaved = true; changed({ now: true }); });
window.addEventListener("beforeunload", (event) => { if (unsaved && JSON.stringify(rule) !== saved) event.preventDefault(); });
changed({ now: true });
