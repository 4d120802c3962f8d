"use strict";

// Keeps the rows on screen up to date: one request for all of them, while one is active and the
// page is visible. The server renders texts; the browser, what is relative to now.
(() => {
  const INTERVAL = 2_000; // milliseconds
  const LONGEST_INTERVAL = 60_000;
  const TIMEOUT = 10_000;
  const WATCH_FOR = 30_000; // after the operator has done something
  const MOST_ROWS = 500; // as the server has it
  const MOST_ANNOUNCED = 3; // changes that are read out at once
  const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

  const note = document.getElementById("octovid-live");
  if (!note) {
    return;
  }
  const lost = document.getElementById("octovid-lost");
  const buttons = document.querySelector("[data-octovid-buttons]");
  const above = [...document.querySelectorAll("[data-octovid-above]")];
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", {
    style: "narrow",
  });
  const watchedUntil = "watch" in note.dataset ? Date.now() + WATCH_FOR : 0;
  let offset = Date.parse(note.dataset.now) - Date.now(); // of the server's clock
  let interval = INTERVAL;
  let timer = null;
  let isUpdating = false;
  let isHistoryOld = false;

  const serverNow = () => Date.now() + offset;
  const isWatched = () => Date.now() < watchedUntil;
  const badges = () => [...document.querySelectorAll("[data-octovid-task]")];
  const rowOf = (element) => element.closest("tr, form");
  const isActive = (badge) => "octovidActive" in badge.dataset;

  // When the first link on screen expires: it must not be shown any longer.
  function firstExpiry() {
    const clocks = [...document.querySelectorAll("[data-octovid-until]")];
    return Math.min(...clocks.map((clock) => Date.parse(clock.dataset.octovidUntil)));
  }

  function showTimes() {
    const now = serverNow();
    for (const time of document.querySelectorAll("time.octovid-time")) {
      const seconds = Math.round((Date.parse(time.dateTime) - now) / 1000);
      const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS.at(-1);
      time.textContent = relative.format(Math.trunc(seconds / size), unit);
    }
    for (const clock of document.querySelectorAll("[data-octovid-since]")) {
      showClock(clock, now - Date.parse(clock.dataset.octovidSince));
    }
    for (const clock of document.querySelectorAll("[data-octovid-until]")) {
      showClock(clock, Date.parse(clock.dataset.octovidUntil) - now);
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
    row.querySelector(`.fieldBox.field-${name} .readonly`) ||
    row.querySelector(`.field-${name} .readonly`) ||
    row.querySelector(`.field-${name}`);

  // What has not changed is left alone: a video plays on, a link keeps the focus, an alert is not
  // read out again.
  function show(element, html) {
    if (!element || html === undefined || element.octovidHtml === html) {
      return;
    }
    element.octovidHtml = html;
    const template = document.createElement("template");
    template.innerHTML = html;
    if (template.innerHTML !== element.innerHTML) {
      const focused = element.contains(document.activeElement) && document.activeElement;
      const name = ["href", "value"].find((each) => focused && focused.hasAttribute(each));
      element.replaceChildren(template.content);
      if (name) {
        element.querySelector(`[${name}="${CSS.escape(focused.getAttribute(name))}"]`)?.focus();
      }
    }
  }

  function apply(requested, rows) {
    const changes = [];
    for (const badge of requested) {
      const row = rowOf(badge);
      const cells = rows[badge.dataset.octovidTask];
      if (!row || !badge.isConnected) {
        continue;
      }
      const before = badge.textContent;
      const wasActive = isActive(badge);
      let badgeNow = badge;
      if (cells) {
        Object.entries(cells).forEach(([name, html]) => show(cellOf(row, name), html));
        badgeNow = row.querySelector("[data-octovid-task]");
      } else {
        badge.textContent = note.dataset.gone;
        delete badge.dataset.octovidTask;
        delete badge.dataset.octovidActive;
      }
      isHistoryOld ||= wasActive && !isActive(badgeNow);
      if (badgeNow.textContent !== before) {
        const id = cellOf(row, "task_id")?.textContent.trim() ?? badge.dataset.octovidTask;
        changes.push(`${id}: ${badgeNow.textContent}`);
      }
    }
    if (changes.length) {
      const rest = changes.length - MOST_ANNOUNCED;
      const more = rest > 0 ? [note.dataset.more.replace("{}", rest)] : [];
      note.textContent = [...changes.slice(0, MOST_ANNOUNCED), ...more].join("; ");
    }
  }

  async function update() {
    if (isUpdating || document.hidden) {
      return;
    }
    isUpdating = true;
    const isDue = (badge) => isActive(badge) || rowOf(badge)?.querySelector("[data-octovid-until]");
    const requested = badges().filter((badge) => isWatched() || isDue(badge)).slice(0, MOST_ROWS);
    const query = new URLSearchParams({
      ids: requested.map((badge) => badge.dataset.octovidTask).join(","),
    });
    if (above.length) {
      query.set("above", isHistoryOld ? "problems,counts,history" : "problems,counts");
    }
    if (buttons) {
      query.set("buttons", "");
    }
    try {
      const response = await fetch(`${note.dataset.url}?${query}`, {
        headers: { Accept: "application/json" },
        redirect: "error", // to the login
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (!response.ok) {
        throw new Error(`status ${response.status}`);
      }
      const content = await response.json();
      lost.hidden = true;
      offset = Date.parse(content.now) - Date.now();
      isHistoryOld = false;
      above.forEach((element) => show(element, content.above?.[element.dataset.octovidAbove]));
      show(buttons, content.buttons);
      apply(requested, content.rows);
      interval = INTERVAL;
    } catch {
      lost.hidden = false;
      interval = Math.min(interval * 2, LONGEST_INTERVAL);
    }
    isUpdating = false;
    showTimes();
    plan();
  }

  function plan() {
    clearTimeout(timer);
    timer = null;
    if (document.hidden || !badges().length) {
      return;
    }
    if (isWatched() || isHistoryOld || badges().some(isActive)) {
      timer = setTimeout(update, interval);
    } else if (firstExpiry() < Infinity) {
      const left = Math.min(firstExpiry() - serverNow(), 86_400_000);
      timer = setTimeout(update, Math.max(left, interval));
    }
  }

  document.addEventListener("visibilitychange", () => {
    showTimes();
    plan();
  });
  showTimes();
  setInterval(showTimes, 1_000);
  plan();
})();
