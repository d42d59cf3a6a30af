// Small manners for every page: what can be clicked can be reached and pressed with the keyboard, and texts can be copied.
"use strict";

(() => {
  const NATIVE = "button, a[href], input, select, textarea, summary, label, [contenteditable]";

  // The theme puts click handlers on plain elements (menus, filters, the way to the sidebar). Make them buttons for the keyboard.
  function reachable(root) {
    for (const element of root.querySelectorAll("[x-on\\:click]")) {
      if (element.matches(NATIVE) || element.hasAttribute("tabindex") || element.querySelector(NATIVE)) continue;
      if (!element.classList.contains("cursor-pointer") && !element.classList.contains("material-symbols-outlined")) continue;
      element.tabIndex = 0;
      if (!element.hasAttribute("role")) element.setAttribute("role", "button");
    }
  }

  function copy(button) {
    const text = document.getElementById(button.dataset.copy).textContent;
    const before = button.textContent;
    navigator.clipboard.writeText(text).then(() => {
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 2000);
    }, () => getSelection().selectAllChildren(document.getElementById(button.dataset.copy)));
  }

  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("[role=button][tabindex]:not(button)")) {
      event.preventDefault();
      event.target.click();
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("DOMContentLoaded", () => {
    reachable(document);
    document.addEventListener("alpine:initialized", () => reachable(document));
  });
})();
