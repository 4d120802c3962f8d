"use strict";

// Keeps the rows on screen up to date: one request for all of them, while one has not ended and
// the page is in sight. Texts are the server's; what is relative to now is the browser's.
(() => {
  const INTERVAL = 2_000; // milliseconds
  const LONGEST_INTERVAL = 60_000;
  const MOST_ROWS = 500; // as the server has it
  const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

  const note = document.getElementById("octovid-live");
  if (!note) {
    return;
  }
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", {
    numeric: "auto",
    style: "short",
  });
  const above = [...document.querySelectorAll("[data-octovid-above]")];
  let interval = INTERVAL;
  let timer = null;

  const badges = () => [...document.querySelectorAll("[data-octovid-task]")];
  const isActive = () => document.querySelector("[data-octovid-active]") !== null;

  function showTimes() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.round((Date.parse(time.dateTime) - now) / 1000);
      const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS.at(-1);
      time.textContent = relative.format(Math.trunc(seconds / size), unit);
    }
    for (const clock of document.querySelectorAll("[data-octovid-since]")) {
      showClock(clock, now - Date.parse(clock.dataset.octovidSince));
    }
    for (const clock of document.querySelectorAll("[data-octovid-until]")) {
      const left = Date.parse(clock.dataset.octovidUntil) - now;
      showClock(clock, left);
      if (left <= 0) {
        delete clock.dataset.octovidUntil;
        look(); // the link is dead: what shows it must go
      }
    }
  }

  function showClock(clock, milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
    const shown = parts[0] ? parts : parts.slice(1);
    clock.textContent = shown
      .map((part, index) => (index ? String(part).padStart(2, "0") : part))
      .join(":");
  }

  // In a row of the list, or on the page of one task: ours are marked, fields have Django's class.
  const cellOf = (row, name) =>
    row.querySelector(`[data-octovid-cell=${name}]`)?.parentElement ||
    row.querySelector(`.field-${name} .readonly`) ||
    row.querySelector(`.field-${name}`);

  function update(row, cells) {
    for (const [name, html] of Object.entries(cells)) {
      show(cellOf(row, name), html);
    }
  }

  // What has not changed is left alone: a video plays on, a link keeps the focus, an alert is not
  // read out again.
  function show(element, html) {
    if (!element || element.octovidHtml === html) {
      return;
    }
    element.octovidHtml = html;
    const template = document.createElement("template");
    template.innerHTML = html;
    if (template.innerHTML !== element.innerHTML) {
      element.replaceChildren(template.content);
    }
  }

  function apply(rows) {
    const changes = [];
    for (const badge of badges()) {
      const row = badge.closest("tr, form");
      const cells = rows[badge.dataset.octovidTask];
      if (row && cells) {
        const before = badge.textContent;
        update(row, cells);
        const after = row.querySelector("[data-octovid-task]").textContent;
        if (after !== before) {
          const id = cellOf(row, "task_id")?.textContent.trim() ?? badge.dataset.octovidTask;
          changes.push(`${id}: ${after}`);
        }
      }
    }
    if (changes.length || note.dataset.isLost) {
      delete note.dataset.isLost;
      note.textContent = changes.join("; ");
    }
  }

  async function look() {
    const ids = badges().map((badge) => badge.dataset.octovidTask).slice(0, MOST_ROWS);
    try {
      const query = `ids=${ids.join(",")}${above.length ? "&above" : ""}`;
      const response = await fetch(`${note.dataset.url}?${query}`, {
        headers: { Accept: "application/json" },
        redirect: "error", // to the login
      });
      if (!response.ok) {
        throw new Error(`status ${response.status}`);
      }
      const answer = await response.json();
      apply(answer.rows);
      above.forEach((element) => show(element, answer.above[element.dataset.octovidAbove]));
      interval = INTERVAL;
    } catch {
      note.dataset.isLost = "true";
      note.textContent = note.dataset.lost;
      interval = Math.min(interval * 2, LONGEST_INTERVAL);
    }
    showTimes();
    plan();
  }

  function plan() {
    clearTimeout(timer);
    timer = document.hidden || !isActive() ? null : setTimeout(look, interval);
  }

  document.addEventListener("visibilitychange", plan);
  showTimes();
  setInterval(showTimes, 1_000);
  plan();
})();
