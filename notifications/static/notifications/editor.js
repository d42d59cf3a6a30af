// Writing a campaign: what is typed is saved by itself, and shown as real shoppers would get it.

import { Failed, tell, trouble } from "../analytics/call.js";
import { el, figure, given, text } from "../analytics/figures/show.js";
import * as preview from "./preview.js";
import { instant, local } from "./times.js";
import * as words from "./words.js";

const PAUSE_MS = 700;
const STEPS = ["who", "what", "when", "limits"];
const byId = (id) => document.getElementById(id);
const draft = given.draft;
const address = `campaigns/${encodeURIComponent(draft.key)}`;
let waiting = null, saving = null, edits = 0, stored = 0;

// --- Steps, kept in the address

function step() {
  const asked = new URLSearchParams(location.search).get("step");
  const now = STEPS.includes(asked) ? asked : STEPS[0];
  for (const link of document.querySelectorAll("[data-step]")) {
    if (link.dataset.step === now) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  }
  for (const section of document.querySelectorAll("[data-of]")) section.hidden = section.dataset.of !== now;
  if (now === "what") preview.refresh();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  step();
  if (link.closest(".steps") === null) byId("steps").querySelector("[aria-current]").focus();
});
window.addEventListener("popstate", step);

// --- Plain fields: an element with data-field holds draft[field]

const READ = {
  text: (control) => control.value,
  choice: (control) => control.value || null,
  whole: (control) => (control.value === "" ? null : Number(control.value)),
  share: (control) => (control.value === "" ? 0 : Math.round(Number(control.value) * 100) / 10000),
  flag: (control) => control.checked,
};

function plain() {
  for (const control of document.querySelectorAll("[data-field]")) {
    const { field, type = "text" } = control.dataset;
    const value = draft[field];
    if (type === "flag") control.checked = Boolean(value);
    else control.value = type === "share" ? Math.round((value ?? 0) * 10000) / 100 : value ?? "";
    control.dataset.place = field;
    control.addEventListener("input", () => {
      draft[field] = READ[type](control);
      if (field === "audience") reach();
      if (field === "time_zone") timing();
      changed();
    });
  }
}

function reach() {
  const found = given.audiences.find((one) => one.key === draft.audience);
  byId("reach").textContent = found ? `${figure(found.count)} · ${found.words}` : "";
}

// --- When, how often, and at which hours not

const zone = () => draft.time_zone || given.time_zone;
const radio = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
const check = (name, value) => { const one = document.querySelector(`input[name="${name}"][value="${value}"]`); if (one) one.checked = true; };

function timing() {
  const mode = radio("mode");
  for (const box of document.querySelectorAll("[data-mode]")) box.hidden = !box.dataset.mode.split(" ").includes(mode);
  const every = byId("every").value;
  byId("on-week").hidden = every !== "week";
  byId("on-month").hidden = every !== "month";
  draft.send_at = mode === "at" && byId("send_at").value ? instant(byId("send_at").value, zone()) : null;
  const on = every === "week" ? [...document.querySelectorAll("input[name=weekday]:checked")].map((one) => Number(one.value)) : every === "month" ? [Number(byId("monthday").value)] : [];
  draft.recurrence = mode === "again" ? { every, at: byId("every_at").value || "10:00", on } : null;
  draft.in_shopper_time = mode !== "now" && byId("in_shopper_time").checked;
  byId("when-words").textContent = mode === "now" ? text("when_now") : mode === "at" && draft.send_at ? text(draft.in_shopper_time ? "when_at_shopper" : "when_at", { at: byId("send_at").value.replace("T", ", "), zone: zone() }) : "";
}

function limits() {
  const capped = byId("capped").checked;
  byId("cap").hidden = !capped;
  draft.frequency_cap = capped ? { messages: Number(byId("cap_messages").value), days: Number(byId("cap_days").value) } : null;
  const own = byId("quiet").checked;
  byId("quiet-own").hidden = !own;
  const clocks = ["shopper", "shop"].filter((one) => byId(`clock_${one}`).checked);
  draft.quiet_hours = own ? { from: byId("quiet_from").value, until: byId("quiet_until").value, then: byId("quiet_then").value, clocks: clocks.length ? clocks : ["shop"] } : null;
}

function fill() {
  check("mode", draft.recurrence ? "again" : draft.send_at ? "at" : "now");
  if (draft.send_at) byId("send_at").value = local(draft.send_at, zone());
  byId("in_shopper_time").checked = Boolean(draft.in_shopper_time);
  if (draft.recurrence) {
    byId("every").value = draft.recurrence.every;
    byId("every_at").value = draft.recurrence.at;
    for (const one of document.querySelectorAll("input[name=weekday]")) one.checked = draft.recurrence.every === "week" && draft.recurrence.on.includes(Number(one.value));
    if (draft.recurrence.every === "month") byId("monthday").value = draft.recurrence.on[0];
  }
  const cap = draft.frequency_cap, quiet = draft.quiet_hours;
  byId("capped").checked = Boolean(cap);
  if (cap) [byId("cap_messages").value, byId("cap_days").value] = [cap.messages, cap.days];
  byId("quiet").checked = Boolean(quiet);
  if (quiet) {
    [byId("quiet_from").value, byId("quiet_until").value, byId("quiet_then").value] = [quiet.from, quiet.until, quiet.then || "hold"];
    for (const one of ["shopper", "shop"]) byId(`clock_${one}`).checked = (quiet.clocks || ["shopper", "shop"]).includes(one);
  }
  timing();
  limits();
  for (const [box, hear] of [["timing", timing], ["limiting", limits]]) byId(box).addEventListener("input", (event) => { if (!event.target.dataset.field) { hear(); changed(); } });
}

// --- Saving, by itself

function changed() {
  edits += 1;
  said("unsaved");
  clearTimeout(waiting);
  waiting = setTimeout(save, PAUSE_MS);
}

async function save() {
  if (saving) return saving;
  saving = (async () => {
    while (stored !== edits) {
      const mine = edits;
      said("saving");
      try {
        await tell("PUT", address, draft);
        stored = mine;
        marked([]);
      } catch (error) {
        said("unsaved");
        marked(error.faults || []);
        byId("told").replaceChildren(trouble(error, save));
        return false;
      }
    }
    said("saved");
    byId("told").replaceChildren();
    preview.refresh();
    return true;
  })();
  try {
    return await saving;
  } finally {
    saving = null;
  }
}

function said(state) {
  byId("saved").dataset.state = state;
  byId("saved").textContent = text(`draft_${state}`);
}

function marked(faults) {
  for (const one of document.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  for (const { place } of faults) words.control(place)?.setAttribute("aria-invalid", "true");
  for (const { place } of faults) document.querySelector(`[data-place="${CSS.escape(place)}"]`)?.setAttribute("aria-invalid", "true");
}

// Whatever leads away from here waits until all is saved.
byId("review").addEventListener("click", async (event) => {
  if (stored === edits) return;
  event.preventDefault();
  clearTimeout(waiting);
  if (await save()) location.assign(byId("review").href);
});
window.addEventListener("beforeunload", (event) => { if (stored !== edits) event.preventDefault(); });

async function test(event) {
  event.preventDefault();
  const button = byId("test-send");
  button.disabled = true;
  try {
    clearTimeout(waiting);
    if (stored !== edits && !(await save())) return;
    await tell("POST", `${address}/test`, { to: byId("test-to").value.trim(), ...preview.chosen() });
    byId("test-told").replaceChildren(el("p", { role: "status" }, text("test_sent", { to: byId("test-to").value.trim() })));
  } catch (error) {
    byId("test-told").replaceChildren(trouble(error instanceof Failed ? error : new Failed("refused")));
  } finally {
    button.disabled = false;
  }
}

plain();
words.start(draft, changed, preview.refresh);
preview.start(address, draft, () => stored === edits);
fill();
reach();
step();
said("saved");
byId("test").addEventListener("submit", test);
