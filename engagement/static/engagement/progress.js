// Work under way (a trial, an import): asks how far it is every second while somebody looks, and shows the result as soon as there is one.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const page = document.querySelector("[data-progress]");
  if (!page) return;
  const EVERY = 1000, PATIENCE = 8000;
  const bar = page.querySelector("progress"), said = page.querySelector("[role=status]");
  let timer = 0, asking = false;

  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(page.dataset.progress, { signal: AbortSignal.timeout(PATIENCE), headers: { Accept: "application/json" } });
      // Logged out, or cancelled by somebody else: the page itself says so.
      if (answer.redirected || answer.status === 403 || answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const now = await answer.json();
      if (now.finished) return location.reload();
      bar.value = now.percent;
      bar.textContent = `${now.percent} %`;
      said.textContent = now.text;
    } catch {
      said.textContent = page.dataset.textLost;
    } finally {
      asking = false;
    }
    again();
  }

  function again() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, EVERY);
  }

  document.addEventListener("visibilitychange", ask);
  again();
});
