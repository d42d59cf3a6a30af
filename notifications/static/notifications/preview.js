// The mail as real shoppers would get it, in a frame that can do nothing; and what is to be said about it.

import { Failed, get, tell, trouble } from "../analytics/call.js";
import { el, given, text } from "../analytics/figures/show.js";
import { shown } from "./words.js";

const SILENCE_MS = 500;
const byId = (id) => document.getElementById(id);
let address, draft, settled, turn = 0, asking = null;

// Nothing but its own styles, and pictures over https: no script, no form, no frame, nothing that could tell somebody that it was looked at by whom.
const POLICY = "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'";
export const framed = (html) => `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="referrer" content="no-referrer">${html}`;

export function start(given_address, given_draft, is_settled) {
  [address, draft, settled] = [given_address, given_draft, is_settled];
  byId("person").addEventListener("change", refresh);
  for (const button of document.querySelectorAll("[data-width]")) {
    button.addEventListener("click", () => {
      for (const one of document.querySelectorAll("[data-width]")) one.setAttribute("aria-pressed", String(one === button));
      byId("shown").dataset.as = button.dataset.width;
    });
  }
}

export const chosen = () => ({ ...shown(), shopper: byId("person").value || null });

export async function refresh() {
  if (byId("what").hidden || !settled()) return;
  turn += 1;
  const mine = turn;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  byId("shown").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => { byId("preview-says").textContent = text("preview_slow"); }, SILENCE_MS);
  const [mail, remarks] = await Promise.allSettled([get(`${address}/preview`, { ...shown(), shopper: byId("person").value }, { signal }), tell("POST", `${address}/check`, {}, { signal })]);
  clearTimeout(slow);
  if (mine !== turn) return;
  byId("preview-says").textContent = "";
  byId("shown").setAttribute("aria-busy", "false");
  show(mail);
  remark(remarks);
}

function show({ status, value, reason }) {
  byId("preview-trouble").replaceChildren();
  if (status === "rejected") {
    byId("preview-trouble").replaceChildren(trouble(reason instanceof Failed ? reason : new Failed("lost"), refresh));
    return;
  }
  people(value.people || []);
  byId("mail-subject").textContent = value.subject;
  byId("mail-preheader").textContent = value.preheader || "";
  byId("mail-from").textContent = value.from || "";
  byId("mail-to").textContent = value.to || "";
  if (byId("frame").srcdoc !== framed(value.html)) byId("frame").srcdoc = framed(value.html);
  byId("plain").textContent = value.text;
}

function people(listed) {
  const now = byId("person").value;
  const options = listed.map((one) => el("option", { value: one.shopper, selected: one.shopper === now }, one.why ? `${one.name || one.shopper} (${one.why})` : one.name || one.shopper));
  if (!options.length) options.push(el("option", { value: "" }, text("nobody")));
  byId("person").replaceChildren(...options);
}

function remark({ status, value }) {
  const listed = status === "fulfilled" ? value.remarks : [];
  byId("remarks").hidden = status !== "fulfilled";
  byId("remarks-none").hidden = listed.length > 0;
  byId("remarks-list").replaceChildren(...listed.map((one) => el("li", { class: one.level }, el("span", { class: `tag ${one.level === "error" ? "bad" : "warn"}` }, text(`remark_${one.level}`)), " ", where(one.place), one.detail)));
}

function where(place = "") {
  const [top, number, ...rest] = place.split(".");
  if (top !== "variants" || draft.variants.length + draft.variants[0].languages.length < 2) return "";
  const one = draft.variants[Number(number)];
  const language = rest[0] === "languages" ? one?.languages[Number(rest[1])]?.language : "";
  return `${[one?.name.toUpperCase(), language].filter(Boolean).join(", ")}: `;
}
