// One panel: on its way, full, empty or failed; its table, its picture as a file, what it rests on.

import { Failed, url } from "./ask.js";
import { picture } from "./charts.js";
import { el, figure, given, moment, table, text } from "./show.js";

export const find = (name) => document.getElementById(`widget-${name}`);
const slot = (box, name) => box.querySelector(`[data-${name}]`);
const turns = new WeakMap();

// `fill` asks and draws, and returns false where there is nothing to show, or null where the panel has no place here.
export async function fill(box, make) {
  const turn = (turns.get(box) || 0) + 1;
  turns.set(box, turn);
  const current = () => turns.get(box) === turn;
  box.dataset.state = box.dataset.state === "ready" ? "stale" : "loading";
  box.setAttribute("aria-busy", "true");
  try {
    const full = await make(box, current);
    if (!current()) return;
    settle(box, full === null ? "none" : full === false ? "empty" : "ready");
    if (full === false) {
      slot(box, "table")?.replaceChildren();
      says(box, el("p", {}, box.dataset.empty || text("empty")));
    }
  } catch (error) {
    if (!current()) return;
    settle(box, "failed");
    failed(box, error, () => fill(box, make));
    if (!(error instanceof Failed)) console.error(error);
  }
}

function settle(box, state) {
  box.dataset.state = state;
  box.setAttribute("aria-busy", "false");
  if (state === "ready") says(box);
}

const says = (box, ...nodes) => slot(box, "says").replaceChildren(...nodes);

function failed(box, error, again) {
  const kind = error.kind || "refused";
  const button = kind === "out" ? el("a", { class: "button", href: `${given.login}?next=${encodeURIComponent(location.pathname + location.search)}` }, text("in")) : el("button", { type: "button", class: "button" }, text("retry"));
  if (kind !== "out") button.addEventListener("click", again);
  says(box, el("p", {}, error.detail || text(kind)), button);
}

export const anyFailed = () => [...document.querySelectorAll('.widget[data-state="failed"]')];

export function behind(box, heads, rows) {
  slot(box, "table").replaceChildren(table(heads, rows));
}

export function sheet(box, node) {
  slot(box, "sheet").replaceChildren(node);
}

export const chart = (box) => slot(box, "chart");

// Where the export is: the API's own, which writes figures over few shoppers as "<10".
export function exported(box, ...asked) {
  slot(box, "csv")?.replaceChildren(...asked.map(([report, parameters, label]) => el("a", { class: "tool", href: url(report, { ...parameters, format: "csv" }), download: "" }, label || text("export"))));
}

// What the figures rest on, where it says something: too few events, restated history. Told once for all panels that are seen.
const resting = new Map();

export function rests(box, ...answers) {
  resting.set(box, answers.flatMap((answer) => answer.places || [answer]));
  slot(box, "foot").textContent = "";
  const heads = [...resting].filter(([one]) => one.checkVisibility()).flatMap(([, told]) => told);
  const shares = heads.map((one) => one.coverage).filter((one) => typeof one === "number");
  const restated = heads.map((one) => one.restated_at).filter(Boolean).sort();
  const words = [];
  if (shares.length && Math.min(...shares) < 0.95) words.push(text("coverage", { share: figure(Math.min(...shares), "ratio") }));
  if (restated.length) words.push(text("restated", { when: moment(restated.at(-1), given.time_zone) }));
  document.getElementById("rests").textContent = words.join(" ");
}

// --- A picture as a file

export async function save(box) {
  const drawing = box.querySelector(".drawing svg:not([hidden])");
  const data = drawing ? await painted(drawing) : picture(chart(box));
  if (!data) return;
  const blob = await (async () => {
    const [head, body] = data.split(",");
    return new Blob([Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0))], { type: head.slice(5).split(";")[0] });
  })();
  const link = el("a", { href: URL.createObjectURL(blob), download: `${box.dataset.widget}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A plan is SVG: a copy with its styles written into it, on a canvas.
function painted(svg) {
  const copy = svg.cloneNode(true);
  const originals = svg.querySelectorAll("path, text");
  copy.querySelectorAll("path, text").forEach((node, i) => {
    const style = getComputedStyle(originals[i]);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline", "opacity"]) node.style.setProperty(name, style.getPropertyValue(name));
  });
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width * 2);
  copy.setAttribute("height", height * 2);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  return image.decode().then(() => {
    const canvas = el("canvas", { width: width * 2, height: height * 2 });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(svg.closest(".panel")).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    return canvas.toDataURL("image/png");
  });
}
