// Asking and telling the API from a page, as its reader: with the page's token, for his organisation, and each write under a key
// of its own, so that what is told twice is done once.

import { el, given, text } from "./figures/show.js";

const PATIENCE_MS = 30000, AGAIN_MS = 700;

export class Failed extends Error {
  constructor(kind, problem = {}, status = 0) {
    super(problem.detail || kind);
    this.kind = kind; // lost, out, refused, conflict
    this.problem = problem;
    this.status = status;
  }

  // [{place, detail}] of what was wrong with what was told.
  get faults() {
    return (this.problem.errors || []).map((one) => ({ place: one.place ?? (one.parameter ?? "").replace(/^rule\.?/, ""), detail: one.detail || "" }));
  }

  get words() {
    const details = [...new Set(this.faults.map((one) => one.detail).filter(Boolean))];
    return details.length ? details.join(" ") : this.problem.detail || text(this.kind);
  }
}

export const once = () => [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");

export function url(address, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...parameters, organisation: given.organisation })) if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  return `${given.api}${address}?${query}`;
}

export const get = (address, parameters, options) => asked("GET", url(address, parameters), undefined, options);

// A write that got no answer is told once more under the same key. Others go on to whoever called.
export async function tell(method, address, body = {}, { key = once(), ...options } = {}) {
  try {
    return await asked(method, url(address), body, { key, ...options });
  } catch (error) {
    if (error.kind !== "lost" || options.signal?.aborted) throw error;
    await new Promise((go) => { setTimeout(go, AGAIN_MS); });
    return asked(method, url(address), body, { key, ...options });
  }
}

async function asked(method, address, body, { signal, key } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json", "X-CSRFToken": given.token, ...(key ? { "Idempotency-Key": key } : {}) });
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let answer;
  try {
    answer = await fetch(address, { method, headers, body: method === "GET" ? undefined : JSON.stringify(body), signal: signal ? AbortSignal.any([signal, patience]) : patience });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failed("lost");
  }
  if (answer.ok && !answer.redirected) return answer.status === 204 ? {} : answer.json();
  const problem = await answer.json().catch(() => ({}));
  const kind = answer.status === 401 || answer.redirected ? "out" : answer.status >= 500 || answer.status === 429 ? "lost" : answer.status === 409 ? "conflict" : "refused";
  throw new Failed(kind, problem, answer.status);
}

// What went wrong, and what to do next: logging in again, or `again`.
export function trouble(error, again) {
  const box = el("div", { class: "trouble", role: "alert" }, el("p", {}, error instanceof Failed ? error.words : text("refused")));
  if (error.kind === "out") box.append(el("a", { class: "button", href: `${given.login}?next=${encodeURIComponent(location.pathname + location.search)}` }, text("in")));
  else if (again) {
    const button = el("button", { type: "button", class: "button" }, text("retry"));
    button.addEventListener("click", again);
    box.append(button);
  }
  if (!(error instanceof Failed)) console.error(error);
  return box;
}
