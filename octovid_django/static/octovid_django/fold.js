"use strict";

// Remembers whether the overview above the list is folded, where the browser lets it.
(() => {
  const KEY = "octovid.overview";
  const overview = document.querySelector(".octovid-overview");
  if (!overview) {
    return;
  }
  try {
    overview.open = localStorage.getItem(KEY) !== "folded";
    overview.addEventListener("toggle", () => {
      localStorage.setItem(KEY, overview.open ? "open" : "folded");
    });
  } catch {
    // No storage: it stays open.
  }
})();
