// The live page: asks for the figures every two seconds while somebody looks, and says so when it cannot get them.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const page = document.getElementById("live");
  if (!page) return;
  const EVERY = 2000, PATIENCE = 8000, MINUTE = 60000, CALM = 10000, LEVELS = 5, BUSIEST = 8;
  const byId = (id) => document.getElementById(id);
  const text = (name) => page.dataset[`text${name}`];
  const numbers = new Intl.NumberFormat(document.documentElement.lang);
  const decimals = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const zones = [...page.querySelectorAll("[data-zone]")];
  const rows = [...page.querySelectorAll("[data-row]")];
  let since = "", last = null, samples = [], newest = 0, timer = 0, asking = false;

  const say = (message) => {
    const box = byId("connection");
    page.classList.toggle("stale", Boolean(message));
    box.hidden = !message;
    box.textContent = message || "";
  };

  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(`${page.dataset.now}?since=${encodeURIComponent(since)}`, { signal: AbortSignal.timeout(PATIENCE), headers: { Accept: "application/json" } });
      if (answer.redirected || answer.status === 403) return loggedOut();
      if (answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
      say("");
    } catch {
      say(text("Lost"));
    } finally {
      asking = false;
    }
    again();
  }

  function again() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, EVERY);
  }

  function loggedOut() {
    say(text("Out"));
    const link = document.createElement("a");
    link.href = page.dataset.login;
    link.textContent = text("In");
    byId("connection").append(link);
  }

  function show(now) {
    byId("clock").textContent = now.clock;
    byId("inside").textContent = numbers.format(now.occupancy[page.dataset.root] || 0);
    byId("waiting").textContent = numbers.format(now.inbox.events);
    byId("oldest").textContent = now.inbox.events ? `${text("Oldest")} ${decimals.format(now.inbox.oldest_s)} ${text("Seconds")}` : "\u00a0";
    rate(now);
    outcomes(now);
    occupancy(now.occupancy);
    events(now.events);
  }

  // Events a second: the growth of the totals between two answers, by the server's clock.
  function rate(now) {
    const total = Object.values(now.counts).reduce((sum, count) => sum + count, 0);
    const at = Date.parse(now.at);
    if (last && now.since === since && at > last.at && total >= last.total) {
      samples.push({ at, events: total - last.total, seconds: (at - last.at) / 1000 });
    } else {
      samples = [];
    }
    since = now.since;
    last = { at, total };
    samples = samples.filter((one) => at - one.at <= MINUTE);
    const calm = samples.filter((one) => at - one.at < CALM);
    const seconds = calm.reduce((sum, one) => sum + one.seconds, 0);
    const figure = seconds ? calm.reduce((sum, one) => sum + one.events, 0) / seconds : null;
    byId("rate").textContent = figure === null ? "–" : (figure < 100 ? decimals : numbers).format(figure < 100 ? figure : Math.round(figure));
    const rates = samples.map((one) => one.events / one.seconds);
    const top = Math.max(1, ...rates);
    byId("spark").setAttribute("points", rates.map((value, i) => `${(120 - (rates.length - 1 - i) * 4).toFixed(1)},${(26 - (value / top) * 24).toFixed(1)}`).join(" "));
  }

  function outcomes(now) {
    byId("since").textContent = `${byId("since").dataset.text} ${now.since_clock}`;
    for (const [name, count] of Object.entries(now.counts)) {
      let box = page.querySelector(`[data-outcome="${CSS.escape(name)}"]`);
      if (!box) {
        box = document.createElement("div");
        box.dataset.outcome = name;
        box.append(document.createElement("dt"), document.createElement("dd"));
        box.firstChild.textContent = name;
        byId("outcomes").append(box);
      }
      box.hidden = false;
      box.lastElementChild.textContent = numbers.format(count);
    }
  }

  // The upper ends of five steps up to a round number at or above the fullest zone. They widen: most zones hold few.
  function steps(top) {
    if (top <= LEVELS) return [1, 2, 3, 4, 5];
    const power = 10 ** Math.floor(Math.log10(top));
    const round = [1, 1.5, 2, 3, 4, 5, 7.5, 10].map((m) => m * power).find((m) => m >= top);
    return [1, 2, 3, 4, 5].map((i) => Math.max(i, Math.round(round * (i / LEVELS) ** 2)));
  }

  function occupancy(counts) {
    const ends = steps(Math.max(0, ...zones.map((zone) => counts[zone.dataset.zone] || 0)));
    for (const zone of zones) {
      const count = counts[zone.dataset.zone] || 0;
      const figure = zone.querySelector(".figure");
      const label = numbers.format(count);
      zone.dataset.level = count ? ends.findIndex((end) => count <= end) + 1 : 0;
      figure.textContent = label;
      // Four digits and more need smaller ones.
      figure.setAttribute("font-size", figure.dataset.size * Math.min(1, 3 / label.length));
      const title = `${zone.dataset.name}: ${label} ${text("Inside")}`;
      zone.querySelector("title").textContent = title;
      zone.setAttribute("aria-label", title);
    }
    for (const row of rows) row.querySelector("[data-count]").textContent = numbers.format(counts[row.dataset.row] || 0);
    legend(ends);
    busiest(counts);
  }

  // The fullest shops and areas; what holds them (venue, floors) would always come first, and says little.
  function busiest(counts) {
    const full = rows.filter((row) => row.matches("tr") && row.dataset.kind !== "floor" && counts[row.dataset.row])
      .sort((one, other) => counts[other.dataset.row] - counts[one.dataset.row]).slice(0, BUSIEST);
    byId("nobody").hidden = full.length > 0;
    byId("busiest").replaceChildren(...full.map((row) => {
      const item = document.createElement("li"), count = document.createElement("span");
      count.className = "count";
      count.textContent = numbers.format(counts[row.dataset.row]);
      item.append(row.querySelector("a").cloneNode(true), count);
      return item;
    }));
  }

  function legend(ends) {
    const list = byId("legend");
    if (!list || list.dataset.ends === ends.join()) return;
    list.dataset.ends = ends.join();
    const words = ends.map((end, i) => [(i ? ends[i - 1] : 0) + 1, end]).map(([from, to]) => (from >= to ? numbers.format(to) : `${numbers.format(from)}–${numbers.format(to)}`));
    list.replaceChildren(...["0", ...words].map((word, level) => {
      const item = document.createElement("li"), box = document.createElement("i");
      box.className = `l${level}`;
      item.append(box, word);
      return item;
    }));
  }

  function events(list) {
    if (!list.length) return;
    // A new row is marked where it stands out; where most are new, marking them would only flicker.
    const marked = newest > 0 && list.filter((event) => event.id > newest).length <= list.length / 3;
    byId("events").tBodies[0].replaceChildren(...list.map((event) => {
      const row = document.createElement("tr");
      if (marked && event.id > newest) row.className = "fresh";
      row.dataset.event = event.id;
      const became = document.createElement("span");
      became.className = `tag ${event.tone}`;
      became.textContent = event.label;
      for (const content of [event.at, event.kind, became, event.zones.join(", ") || "–", event.device]) row.insertCell().append(content);
      return row;
    }));
    newest = Math.max(...list.map((event) => event.id));
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  document.querySelector("[data-chooser] select")?.addEventListener("change", (event) => location.assign(event.target.value));
  ask();
});
