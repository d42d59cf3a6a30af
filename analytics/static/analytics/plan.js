// A plan: what a pointer or the keyboard is at is named below it; and tabs of its floors, as the ARIA practices have them.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const list of document.querySelectorAll("[role=tablist]")) {
    const tabs = [...list.querySelectorAll("[role=tab]")];
    const choose = (chosen) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", String(tab === chosen));
        tab.tabIndex = tab === chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).toggleAttribute("hidden", tab !== chosen);
      }
    };
    list.addEventListener("click", (event) => { if (tabs.includes(event.target)) choose(event.target); });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  }
  for (const line of document.querySelectorAll(".pointed")) {
    const name = (event) => {
      const zone = event.target.closest?.("[data-zone]");
      if (zone) line.textContent = zone.getAttribute("aria-label");
    };
    line.parentElement.addEventListener("pointerover", name);
    line.parentElement.addEventListener("focusin", name);
  }
});
