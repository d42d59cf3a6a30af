// A campaign under way and afterwards: how far it is, what can be done about it, and what it brought.

import { get, tell, trouble } from "../analytics/call.js";
import { el, figure, given, moment, text } from "../analytics/figures/show.js";
import { report } from "./report.js";

const EVERY_MS = 1000, REPORT_EVERY_MS = 10000;
const STATES = ["delivered", "sent", "claimed", "planned", "unknown", "bounced", "complained", "failed", "skipped", "held_out"];
const OPEN = ["planned", "claimed"];
const MOVES = { draft: ["cancel"], scheduled: ["unschedule", "pause", "cancel"], sending: ["pause", "cancel"], paused: ["resume", "cancel"], finished: [], cancelled: [] };
const LIVE = ["sending", "scheduled", "paused"];
const byId = (id) => document.getElementById(id);
const address = `campaigns/${encodeURIComponent(given.key)}`;
let now = null, timer = 0, asking = false, reported = 0;

async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    now = await get(address);
    connected(true);
    show();
    if (!reported || (now.state === "sending" && performance.now() - reported > REPORT_EVERY_MS)) tellReport();
  } catch (error) {
    if (error.kind === "out" || !now) byId("told").replaceChildren(trouble(error, ask));
    else connected(false);
  } finally {
    asking = false;
    clearTimeout(timer);
    if (!document.hidden && LIVE.includes(now?.state ?? given.state)) timer = setTimeout(ask, EVERY_MS);
  }
}

function tellReport() {
  reported = performance.now();
  report(address);
}

function connected(well) {
  byId("connection").hidden = well;
  byId("connection").textContent = well ? "" : text("lost_now");
}

function show() {
  const before = byId("state").dataset.state;
  byId("state").textContent = text(`campaign_${now.state}`);
  byId("state").dataset.state = now.state;
  byId("state").className = `tag ${{ sending: "good", paused: "bad", scheduled: "warn" }[now.state] || ""}`;
  byId("reason").textContent = now.pause_reason || "";
  for (const button of document.querySelectorAll("[data-act]")) button.hidden = !MOVES[now.state].includes(button.dataset.act);
  if (before !== now.state && ["finished", "cancelled"].includes(now.state)) tellReport();
  const counts = now.counts || {};
  const sum = Object.values(counts).reduce((all, one) => all + one, 0);
  const open = OPEN.reduce((all, one) => all + (counts[one] || 0), 0);
  stack(counts, sum);
  const audience = audienceOf();
  byId("adds").textContent = !sum && !audience ? text("not_begun") : text(sum === audience ? "adds" : "adds_planning", { sum: figure(sum), audience: figure(audience) });
  byId("adds").dataset.adds = String(sum === audience);
  const told = { done: figure(sum - open), all: figure(sum), rate: figure(now.rate), time: now.finish_at ? moment(now.finish_at, given.time_zone) : "" };
  byId("far").textContent = now.state === "sending" && open ? text(now.rate && now.finish_at ? "far" : "far_plain", told) : "";
}

const audienceOf = () => now.audience_count ?? (now.runs || []).reduce((all, one) => all + (one.audience_count || 0), 0);

function stack(counts, sum) {
  const shown = STATES.filter((one) => counts[one]);
  byId("bar").replaceChildren(...shown.map((one) => {
    const part = el("i", { class: `m-${one}`, title: `${text(`state_${one}`)}: ${figure(counts[one])}` });
    part.style.width = `${(100 * counts[one]) / sum}%`;
    return part;
  }));
  byId("bar").setAttribute("aria-label", shown.map((one) => `${text(`state_${one}`)} ${figure(counts[one])}`).join(", "));
  byId("states").replaceChildren(...shown.map((one) => el("li", { "data-state": one, "data-value": counts[one] }, el("i", { class: `m-${one}`, "aria-hidden": "true" }), `${text(`state_${one}`)} `, el("b", {}, figure(counts[one])))));
}

// --- What can be done

async function act(name) {
  if (name === "cancel" && !(await sure())) return;
  byId("told").replaceChildren();
  for (const button of document.querySelectorAll("[data-act]")) button.disabled = true;
  try {
    await tell("POST", `${address}/${name}`);
    if (name === "unschedule") location.assign(given.edit);
    else await ask();
  } catch (error) {
    byId("told").replaceChildren(trouble(error));
  } finally {
    for (const button of document.querySelectorAll("[data-act]")) button.disabled = false;
  }
}

function sure() {
  const counts = now?.counts || {};
  const waiting = now?.runs?.length ? OPEN.reduce((all, one) => all + (counts[one] || 0), 0) : null;
  byId("sure-title").textContent = text("sure_cancel");
  byId("sure-says").textContent = waiting === null ? text("says_cancel_open") : text("says_cancel", { n: figure(waiting) });
  byId("sure-yes").textContent = text("yes_cancel");
  byId("sure").returnValue = "";
  byId("sure").showModal();
  return new Promise((done) => { byId("sure").addEventListener("close", () => done(byId("sure").returnValue === "yes"), { once: true }); });
}

document.addEventListener("click", ({ target }) => { if (target.closest("[data-act]")) act(target.closest("[data-act]").dataset.act); });
document.addEventListener("visibilitychange", ask);
ask();
