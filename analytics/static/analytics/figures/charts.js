// Pictures, drawn by ECharts: its loading, the theme's colours, and the kinds of charts that the widgets have.

import { el, figure } from "./show.js";

let loaded = null;
const drawn = new Map(); // box -> {chart, make, click, waiting}

function library() {
  loaded ??= new Promise((resolve, reject) => {
    if (window.echarts) return resolve(window.echarts);
    const script = el("script", { src: document.getElementById("figures").dataset.echarts });
    script.addEventListener("load", () => resolve(window.echarts));
    script.addEventListener("error", () => { loaded = null; reject(new Error("echarts")); });
    document.head.append(script);
    return undefined;
  });
  return loaded;
}

export const escaped = (name) => window.echarts.format.encodeHTML(name);

function ink() {
  const style = getComputedStyle(document.getElementById("figures"));
  const of = (name) => style.getPropertyValue(name).trim();
  const probe = el("span", { style: "color: var(--text)" });
  document.getElementById("figures").append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return rgb(getComputedStyle(probe).color); };
  const found = {
    text: colour("--text"), ink: colour("--ink"), quiet: colour("--quiet"), line: colour("--line"), ground: colour("--ground"), soft: colour("--soft"), beside: of("--beside"),
    kinds: [1, 2, 3, 4, 5, 6, 7].map((n) => of(`--c${n}`)), steps: [0, 1, 2, 3, 4, 5].map((n) => of(`--s${n}`)), font: getComputedStyle(document.body).fontFamily,
  };
  probe.remove();
  return found;
}

// The theme names its colours in a space that the library does not read: a canvas turns them into what it does.
function rgb(colour) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${r},${g},${b})`;
}

// `make(ink)` gives the options; it is asked again when the theme changes. `click` is told the datum.
// Fetched before the first figures are there.
export const warm = () => library().catch(() => {});

export async function draw(box, make, { label, click, height } = {}) {
  await library();
  if (label) box.setAttribute("aria-label", label);
  box.style.height = height ? `${height}px` : "";
  let known = drawn.get(box);
  if (!known) {
    known = { chart: null };
    drawn.set(box, known);
    watch.observe(box);
  }
  Object.assign(known, { make, click });
  render(box, known);
  box.dataset.drawn = "yes";
}

// A box that is not seen has no size, and a picture without a size cannot be laid out: it waits until it is seen.
function render(box, known) {
  if (!box.clientWidth || !box.clientHeight) {
    known.waiting = true;
    return;
  }
  known.waiting = false;
  known.chart ??= window.echarts.init(box, null, { renderer: "canvas" });
  known.chart.off("click");
  if (known.click) known.chart.on("click", known.click);
  known.chart.resize();
  known.chart.setOption(options(known.make), { notMerge: true });
}

function options(make) {
  const colours = ink();
  const base = { animation: false, color: colours.kinds, textStyle: { fontFamily: colours.font, color: colours.text }, backgroundColor: "transparent" };
  return { ...base, ...make(colours) };
}

const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const known = drawn.get(target);
    if (known.waiting) render(target, known);
    else if (target.clientWidth && target.clientHeight) known.chart.resize();
  }
});
const redrawn = () => drawn.forEach((known, box) => render(box, known));
new MutationObserver(redrawn).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
window.addEventListener("beforeprint", redrawn);

export function picture(box) {
  const known = drawn.get(box);
  return known?.chart ? known.chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: ink().ground }) : null;
}

export function tooltip(colours, kind, more = {}) {
  return { confine: true, backgroundColor: colours.ground, borderColor: colours.line, textStyle: { color: colours.text, fontSize: 12 }, valueFormatter: (value) => figure(value, kind), ...more };
}

const axis = (colours) => ({ axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false }, axisLabel: { color: colours.quiet, fontSize: 11, hideOverlap: true } });
// A line begins and ends at the edges: its first and last labels stay inside.
const lined = (colours, data, gap) => {
  const made = { type: "category", data, boundaryGap: gap, ...axis(colours) };
  return gap ? made : { ...made, axisLabel: { ...made.axisLabel, alignMinLabel: "left", alignMaxLabel: "right" } };
};
const values = (colours, kind) => ({ type: "value", axisLabel: { color: colours.quiet, fontSize: 11, formatter: (value) => (kind === "ratio" ? `${Math.round(value * 1000) / 10}%` : figure(value, kind)) }, splitLine: { lineStyle: { color: colours.line } }, minInterval: kind === "number" ? 1 : undefined });
const grid = { left: 4, right: 12, top: 12, bottom: 4, containLabel: true };
const legend = (colours) => ({ bottom: 0, type: "scroll", icon: "roundRect", itemWidth: 12, itemHeight: 8, textStyle: { color: colours.text, fontSize: 11 } });

// Named series over the same labels: {name, data, kind: "bar" | "line", beside, stack}.
export const series = (labels, listed, kind) => (colours) => ({
  grid: listed.length > 1 ? { ...grid, bottom: 30 } : grid,
  legend: listed.length > 1 ? legend(colours) : undefined,
  tooltip: tooltip(colours, kind, { trigger: "axis" }),
  xAxis: lined(colours, labels, listed.some((one) => one.kind === "bar")),
  yAxis: values(colours, kind),
  series: listed.map((one) => ({
    name: one.name, type: one.kind || "line", data: one.data, stack: one.stack, showSymbol: labels.length < 3, symbolSize: 6, barMaxWidth: 36, z: one.beside ? 1 : 2,
    ...(one.beside ? { itemStyle: { color: colours.beside }, lineStyle: { color: colours.beside, type: "dashed", width: 1.5 } } : { itemStyle: { color: colours.kinds[one.colour || 0] }, lineStyle: { width: 2.2 } }),
    ...(one.area ? { areaStyle: { opacity: 0.12 } } : {}),
  })),
});

export const bars = (labels, data, kind, { lying = false, narrow = false } = {}) => (colours) => {
  const names = { type: "category", data: labels, inverse: lying, ...axis(colours) };
  if (lying) names.axisLabel = { ...names.axisLabel, width: narrow ? 120 : 190, overflow: "truncate", hideOverlap: false, interval: 0 };
  return {
    grid: { ...grid, left: lying ? 16 : 4, right: lying ? 48 : 12, top: 20 },
    tooltip: tooltip(colours, kind, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: lying ? { ...values(colours, kind), splitNumber: 3 } : names,
    yAxis: lying ? names : values(colours, kind),
    series: [{ type: "bar", data, barMaxWidth: 36, label: { show: labels.length <= 15, position: lying ? "right" : "top", color: colours.text, fontSize: 11, formatter: ({ value }) => figure(value, kind) } }],
  };
};

const top = (cells) => Math.max(0, ...cells.map((one) => Number(one[2]) || 0));

// `cells` are [column, row, value]; "-" where there is none.
export const heat = (columns, rows, cells, kind, name) => (colours) => ({
  grid: { ...grid, bottom: 44 },
  tooltip: tooltip(colours, kind, { formatter: ({ data }) => `${escaped(rows[data[1]])}, ${escaped(columns[data[0]])}<br><b>${figure(data[2], kind)}</b> ${escaped(name)}` }),
  xAxis: { type: "category", data: columns, ...axis(colours), splitArea: { show: false } },
  yAxis: { type: "category", data: rows, inverse: true, ...axis(colours) },
  visualMap: { min: 0, max: Math.max(1, top(cells)), calculable: false, text: [figure(top(cells), kind), "0"], orient: "horizontal", left: "center", bottom: 0, itemWidth: 10, itemHeight: 160, inRange: { color: colours.steps }, textStyle: { color: colours.quiet, fontSize: 11 }, formatter: (value) => figure(Math.round(value * 10) / 10, kind) },
  series: [{ type: "heatmap", data: cells, itemStyle: { borderColor: colours.ground, borderWidth: 2, borderRadius: 3 }, emphasis: { itemStyle: { borderColor: colours.ink, borderWidth: 2 } } }],
});

// `nodes` are {id, label, colour}; `links` {source, target, value}.
export const sankey = (nodes, links, { named, narrow }) => (colours) => ({
  tooltip: tooltip(colours, "number", {
    trigger: "item",
    formatter: ({ dataType, data, name, value }) => (dataType === "edge" ? `${escaped(named(data.source))} → ${escaped(named(data.target))}<br><b>${figure(data.value)}</b>` : `${escaped(named(name))}<br><b>${figure(value)}</b>`),
  }),
  series: [{
    type: "sankey", left: 4, right: narrow ? 96 : 150, top: 8, bottom: 8, nodeWidth: 12, nodeGap: 9, draggable: false, layoutIterations: 48,
    data: nodes.map((one) => ({ name: one.id, itemStyle: { color: colours.kinds[one.colour % colours.kinds.length], borderWidth: 0 } })),
    links, lineStyle: { color: "source", opacity: 0.32, curveness: 0.5 }, emphasis: { focus: "adjacency", lineStyle: { opacity: 0.6 } },
    label: { color: colours.text, fontSize: 11, width: narrow ? 88 : 140, overflow: "truncate", formatter: ({ name }) => named(name) },
  }],
});

