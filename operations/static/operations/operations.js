// The operations page: asks every 15 seconds, while somebody looks, for its panels as HTML, and changes of the page what has changed.
// What somebody is at stays: forms, what is focused, what is opened.

const EVERY_MS = 15000, PATIENCE_MS = 10000;
const page = document.getElementById("operations"), panels = document.getElementById("panels"), box = document.getElementById("connection");
let timer = 0, asking = false, chart = null;

function say(message) {
  page.classList.toggle("stale", Boolean(message));
  box.hidden = !message;
  if (box.textContent !== message) box.textContent = message;
}

async function ask() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch(page.dataset.now, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.redirected || answer.status === 403) return loggedOut();
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = document.createElement("div");
    fresh.id = "panels";
    fresh.append(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
    const at = document.activeElement;
    merge(panels, fresh);
    if (at !== document.activeElement && at?.isConnected) at.focus({ preventScroll: true }); // it was moved
    draw();
    say("");
  } catch {
    say(page.dataset.textLost);
  } finally {
    asking = false;
  }
  again();
}

function again() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
}

function loggedOut() {
  say(page.dataset.textOut);
  const link = document.createElement("a");
  link.href = page.dataset.login;
  link.textContent = page.dataset.textIn;
  box.append(link);
}

// Makes `old` say what `fresh` says, keeping the elements that both have.
function merge(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.hasAttribute?.("data-keep") || old.isEqualNode(fresh)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  let next = old.firstChild;
  const kept = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? kept.get(child.id) : alike(next, child);
    if (same) {
      if (same === next) next = next.nextSibling;
      else old.insertBefore(same, next);
      merge(same, child);
    } else old.insertBefore(document.importNode(child, true), next);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    if (!busy(gone)) gone.remove();
  }
}

// The next without a name of its own that is of the same kind; of texts, which say little alone, only the very next.
function alike(next, child) {
  for (let one = next; one; one = child.nodeType === Node.TEXT_NODE ? null : one.nextSibling) if (one.nodeName === child.nodeName && !one.id) return one;
  return null;
}

// Somebody is typing in it: it goes when he has left it.
const busy = (node) => node.nodeType === Node.ELEMENT_NODE && [...node.querySelectorAll("input, select")].some((one) => one === document.activeElement || (one.type !== "hidden" && one.value !== one.defaultValue && "defaultValue" in one));

// --- the line over the day ------------------------------------------------------------------------------------------------

async function draw() {
  const shown = document.getElementById("lag-chart");
  if (!shown) return;
  if (!window.echarts) await library();
  if (chart && chart.getDom() !== shown) {
    chart.dispose();
    chart = null;
  }
  chart ??= window.echarts.init(shown);
  const points = JSON.parse(document.getElementById("lag-points").textContent);
  const colour = ink(shown);
  chart.setOption({
    animation: false, backgroundColor: "transparent", grid: { left: 4, right: 12, top: 12, bottom: 4, containLabel: true },
    tooltip: { trigger: "axis", confine: true, backgroundColor: colour("--ground"), borderColor: colour("--line"), textStyle: { color: colour("--text"), fontSize: 12 }, valueFormatter: span },
    xAxis: { type: "time", axisLine: { lineStyle: { color: colour("--line") } }, axisTick: { show: false }, axisLabel: { color: colour("--quiet"), fontSize: 11, hideOverlap: true } },
    yAxis: { type: "value", min: 0, interval: step(Math.max(...points.map((one) => one[1]))), axisLabel: { color: colour("--quiet"), fontSize: 11, formatter: span }, splitLine: { lineStyle: { color: colour("--line") } } },
    series: [{ type: "line", showSymbol: points.length === 1, data: points, lineStyle: { width: 1.5, color: colour("--s4") }, itemStyle: { color: colour("--s4") }, areaStyle: { color: colour("--s4"), opacity: .15 } }],
  }, { notMerge: true });
  shown.dataset.drawn = "yes";
}

// Round in seconds, minutes or hours: at most five lines.
const step = (most) => [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200].find((one) => most / one <= 5) || 86400;

function span(s) {
  if (s < 60) return `${Math.round(s * 10) / 10} ${page.dataset.textS}`;
  return s < 3600 ? `${Math.round(s / 6) / 10} ${page.dataset.textMin}` : `${Math.round(s / 360) / 10} ${page.dataset.textH}`;
}

const library = () => new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = page.dataset.echarts;
  script.addEventListener("load", resolve);
  script.addEventListener("error", reject);
  document.head.append(script);
});

// The theme names its colours in a space that the library does not read: a canvas turns them into what it does.
function ink(place) {
  const probe = document.createElement("span"), context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  return (name) => {
    place.parentNode.append(probe);
    probe.style.color = `var(${name})`;
    context.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    context.fillRect(0, 0, 1, 1);
    return `rgb(${[...context.getImageData(0, 0, 1, 1).data].slice(0, 3)})`;
  };
}

new MutationObserver(() => chart && draw()).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
addEventListener("resize", () => chart?.resize());
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
draw().catch(() => {});
again();
