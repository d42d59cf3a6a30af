// What is said: variants, and each in its languages. One of them is shown at a time.

import { el, given, text } from "../analytics/figures/show.js";

const FIELDS = ["subject", "preheader", "body", "text"];
const byId = (id) => document.getElementById(id);
let draft, changed, turned;
const at = { variant: 0, language: "" };

export const shown = () => ({ variant: draft.variants[at.variant].name, language: at.language });
const variant = () => draft.variants[at.variant];
const words = () => (at.language ? variant().languages.find((one) => one.language === at.language) : variant());
const kind = (one) => (one.mjml ? "mjml" : "html");
const nameOf = (code) => {
  try {
    return new Intl.DisplayNames([document.documentElement.lang || "en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
};

export function start(given_draft, on_change, on_turn) {
  [draft, changed, turned] = [given_draft, on_change, on_turn];
  for (const one of draft.variants) one.languages ||= [];
  for (const name of FIELDS) {
    byId(name).addEventListener("input", ({ target }) => {
      if (name === "body") words()[byId("kind").value] = target.value;
      else words()[name] = name === "text" && !target.value ? null : target.value;
      lengths();
      changed();
    });
  }
  byId("kind").addEventListener("change", ({ target }) => {
    const one = words(), other = target.value === "mjml" ? "html" : "mjml";
    one[target.value] = one[other] || "";
    delete one[other];
    changed();
  });
  byId("weight").addEventListener("input", ({ target }) => { variant().weight = Math.max(1, Number(target.value) || 1); shares(); changed(); });
  byId("add-variant").addEventListener("click", add);
  byId("drop-variant").addEventListener("click", drop);
  byId("language").addEventListener("change", language);
  byId("drop-language").addEventListener("click", dropLanguage);
  byId("insert").addEventListener("change", insert);
  draw();
}

// The control that holds a place of the draft, where it is the one that is shown; else what leads there.
export function control(place) {
  const [top, number, ...rest] = place.split(".");
  if (top !== "variants") return null;
  if (Number(number) !== at.variant) return byId("variants").querySelectorAll("[data-variant]")[Number(number)];
  const [name] = rest[0] === "languages" ? rest.slice(2) : rest;
  const language = rest[0] === "languages" ? variant().languages[Number(rest[1])]?.language : "";
  if (language !== at.language) return byId("language");
  return byId({ html: "body", mjml: "body" }[name] || name);
}

function draw() {
  byId("variants").replaceChildren(...draft.variants.map((one, i) => {
    const button = el("button", { type: "button", "data-variant": one.name, "aria-pressed": String(i === at.variant) }, `${one.name.toUpperCase()}`, el("span", { class: "small" }, ""));
    button.addEventListener("click", () => { at.variant = i; if (at.language && !words()) at.language = ""; draw(); turned(); });
    return button;
  }));
  shares();
  byId("weight").value = variant().weight ?? 1;
  byId("weighing").hidden = draft.variants.length < 2;
  byId("drop-variant").hidden = draft.variants.length < 2;
  byId("drop-variant").textContent = text("drop_variant", { name: variant().name.toUpperCase() });
  const others = variant().languages.map((one) => one.language);
  byId("language").replaceChildren(
    el("option", { value: "", selected: !at.language }, text("default_language")),
    ...others.map((one) => el("option", { value: one, selected: one === at.language }, nameOf(one))),
    el("optgroup", { label: text("add_language") }, ...given.languages.filter((one) => !others.includes(one)).map((one) => el("option", { value: `+${one}` }, nameOf(one)))),
  );
  byId("drop-language").hidden = !at.language;
  const one = words();
  byId("kind").value = kind(one);
  byId("subject").value = one.subject || "";
  byId("preheader").value = one.preheader || "";
  byId("body").value = one[kind(one)] || "";
  byId("text").value = one.text || "";
  lengths();
}

function shares() {
  const all = draft.variants.reduce((sum, one) => sum + (one.weight ?? 1), 0);
  byId("variants").querySelectorAll("span").forEach((label, i) => { label.textContent = draft.variants.length > 1 ? ` ${Math.round((100 * (draft.variants[i].weight ?? 1)) / all)} %` : ""; });
}

function lengths() {
  byId("subject-length").textContent = text("characters", { n: byId("subject").value.length });
}

function add() {
  const taken = draft.variants.map((one) => one.name);
  const name = [..."abcdefghij"].find((one) => !taken.includes(one));
  if (!name) return;
  draft.variants.push({ ...structuredClone(variant()), name });
  at.variant = draft.variants.length - 1;
  draw();
  changed();
}

function drop() {
  if (!window.confirm(text("drop_variant_sure", { name: variant().name.toUpperCase() }))) return;
  draft.variants.splice(at.variant, 1);
  Object.assign(at, { variant: 0, language: "" });
  draw();
  changed();
}

function language({ target }) {
  const chosen = target.value;
  if (chosen.startsWith("+")) {
    const { subject, preheader, html, mjml, text: plain } = structuredClone(words());
    variant().languages.push(JSON.parse(JSON.stringify({ language: chosen.slice(1), subject, preheader, html, mjml, text: plain })));
    changed();
  }
  at.language = chosen.replace("+", "");
  draw();
  turned();
}

function dropLanguage() {
  variant().languages = variant().languages.filter((one) => one.language !== at.language);
  at.language = "";
  draw();
  changed();
}

// A shopper's datum, written where the cursor is.
function insert({ target }) {
  if (!target.value) return;
  const field = byId(insert.last || "body");
  field.setRangeText(target.value, field.selectionStart, field.selectionEnd, "end");
  target.value = "";
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
document.addEventListener("focusin", ({ target }) => { if (FIELDS.includes(target.id)) insert.last = target.id; });
