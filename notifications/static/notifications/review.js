// The one screen before sending: who would get it and who not, how long it takes, and the button that says to how many.

import { get, tell, trouble } from "../analytics/call.js";
import { el, figure, given, moment, text } from "../analytics/figures/show.js";

const OUT = ["no_address", "no_consent", "suppressed", "not_wished", "capped", "holdout"];
const SILENCE_MS = 800;
const byId = (id) => document.getElementById(id);
const address = `campaigns/${encodeURIComponent(given.key)}`;
let funnel = null, errors = null;

async function load() {
  byId("review").dataset.state = "loading";
  byId("funnel").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => byId("says").replaceChildren(el("p", {}, text("counting"))), SILENCE_MS);
  try {
    const [told, checked] = await Promise.all([get(`${address}/funnel`), tell("POST", `${address}/check`)]);
    funnel = told;
    byId("says").replaceChildren();
    byId("review").dataset.state = "ready";
    bars();
    pace();
    remarks(checked.remarks);
  } catch (error) {
    byId("review").dataset.state = "failed";
    byId("says").replaceChildren(trouble(error, load));
  } finally {
    clearTimeout(slow);
    byId("funnel").setAttribute("aria-busy", "false");
    button();
  }
}

// From all who meet the rule to those who get it: each bar takes away where the one before ended.
function bars() {
  const all = funnel.match;
  let rest = all;
  const rows = [bar("match", all, 0, all, all)];
  for (const name of OUT) {
    const n = funnel[name] || 0;
    rest -= n;
    rows.push(bar(name, n, rest, n, all));
  }
  rows.push(bar("left", funnel.left, 0, funnel.left, all));
  byId("funnel").replaceChildren(...rows);
}

function bar(name, n, from, wide, all) {
  const share = (value) => (all ? (100 * value) / all : 0);
  const fill = el("i", { "aria-hidden": "true" });
  fill.style.marginInlineStart = `${share(from)}%`;
  fill.style.width = `${Math.max(share(wide), n ? 0.4 : 0)}%`;
  return el("li", { class: name, "data-value": n }, el("span", { class: "name" }, text(name)), el("b", {}, (OUT.includes(name) && n ? "−" : "") + figure(n)), el("span", { class: "track", title: text("share", { share: figure(all ? n / all : 0, "ratio") }) }, fill));
}

function pace() {
  const time = funnel.finish_at ? moment(funnel.finish_at, given.time_zone) : "";
  byId("pace").textContent = !funnel.left ? "" : funnel.rate && time ? text("pace", { rate: figure(funnel.rate), time }) : time ? text("pace_free", { time }) : "";
  const quiet = funnel.quiet;
  const said = [quiet?.held ? text("quiet_held", { n: figure(quiet.held), time: quiet.until ? moment(quiet.until, given.time_zone) : "" }) : "", quiet?.dropped ? text("quiet_dropped", { n: figure(quiet.dropped) }) : ""].filter(Boolean);
  byId("quiet").textContent = said.join(" ") || text("quiet_none");
}

function remarks(listed) {
  errors = listed.filter((one) => one.level === "error").length;
  byId("remarks").hidden = !listed.length;
  byId("remarks-list").replaceChildren(...listed.map((one) => el("li", {}, el("span", { class: `tag ${one.level === "error" ? "bad" : "warn"}` }, text(`remark_${one.level}`)), " ", one.detail)));
}

function button() {
  const send = byId("send");
  const n = funnel?.left ?? 0;
  const why = !funnel ? "" : errors ? text("errors") : !given.sender ? text("no_sender") : !given.approved ? text("unapproved") : !n && !given.planned ? text("none_says") : "";
  const name = given.planned ? "plan" : "send";
  send.textContent = !funnel ? text("counting") : !n && !given.planned ? text("send_none") : n === 1 ? text(`${name}_one`) : text(name, { n: figure(n) });
  send.disabled = !funnel || Boolean(why);
  byId("told").replaceChildren(...(why ? [el("p", { class: "wrong" }, why)] : []));
}

async function act(path, told, control) {
  control.disabled = true;
  control.textContent = text("sending");
  try {
    await tell("POST", `${address}/${path}`, {});
    return true;
  } catch (error) {
    told.replaceChildren(trouble(error));
    return false;
  }
}

byId("send").addEventListener("click", async () => {
  if (await act("send", byId("told"), byId("send"))) location.assign(given.after);
});
byId("approve")?.addEventListener("click", async () => {
  if (await act("approve", byId("approve-told"), byId("approve"))) location.reload();
});
load();
