// Answers of the reports: each asked once, kept for a while, and shared by the widgets that need it.

import { given } from "./show.js";

const KEPT_MS = 60000, PATIENCE_MS = 30000;
export const MOST_PLACES = 20;
const kept = new Map();

export class Failed extends Error {
  constructor(kind, detail = "") {
    super(detail || kind);
    this.kind = kind; // lost, refused, out
    this.detail = detail;
  }
}

export function url(report, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  query.set("organisation", given.organisation);
  return `${given.api}${report}?${query}`;
}

export function get(report, parameters, { fresh = false } = {}) {
  const address = url(report, parameters);
  const known = kept.get(address);
  if (known && !fresh && performance.now() - known.at < KEPT_MS) return known.answer;
  const answer = fetched(address);
  kept.set(address, { at: performance.now(), answer });
  answer.catch(() => kept.delete(address));
  if (kept.size > 200) kept.delete(kept.keys().next().value);
  return answer;
}

async function fetched(address) {
  let answer;
  try {
    answer = await fetch(address, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new Failed("lost");
  }
  if (answer.status === 401 || answer.redirected) throw new Failed("out");
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Failed(answer.status === 403 ? "out" : answer.status >= 500 ? "lost" : "refused", told(problem));
}

function told(problem) {
  const faults = (problem.errors || []).map((one) => one.detail).filter(Boolean);
  return faults.length ? faults.join(" ") : problem.detail || "";
}

// One answer for each of many places, asked twenty at a time: [{place, total, rows, …}].
export async function many(report, keys, parameters) {
  const slices = [];
  for (let i = 0; i < keys.length; i += MOST_PLACES) slices.push(keys.slice(i, i + MOST_PLACES));
  const answers = await Promise.all(slices.map((slice) => get(report, { zone: slice.join(), ...parameters })));
  return answers.flatMap((answer) => answer.places || [answer]);
}
