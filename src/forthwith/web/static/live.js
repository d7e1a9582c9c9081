// Keeps a page fresh: when the dashboard says that something has changed, htmx asks for the page again and
// morphs the part that is marked with data-live. Without this, pages are as fresh as when they were loaded.
"use strict";

const TICK_MS = 1000;
const AGES_EVERY_S = 15; // or as often as the page says: data-live-every
const OLD_MS = 30000;
const state = document.querySelector("[data-live-state]");
const livePart = () => document.querySelector("[data-live]");
let askedAt = Date.now();
const refresh = () => {
  askedAt = Date.now();
  state.dispatchEvent(new Event("news"));
};

let shownAt = new Date();

function say(trouble) {
  state.textContent = trouble && `${trouble} What is shown is of ${shownAt.toISOString().slice(11, 19)} UTC.`;
  state.hidden = !trouble;
}

let movedAt = 0;
addEventListener("pointermove", () => (movedAt = Date.now()), { passive: true });

// Whether the pointer has just come to a button: nothing may move below it. If it rests there, the page goes on.
const isAboutToPress = (part) => Date.now() - movedAt < 3000 && part.querySelector("button:hover, summary:hover") !== null;

// What somebody types in, chooses, selects or is about to press stays as it is.
function isInUse(part) {
  const inControl = part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, button");
  const isChosen = part.querySelector("input:checked") !== null;
  return inControl || isChosen || isAboutToPress(part) || String(document.getSelection()).length > 0;
}

function unlessInUse(event) {
  const isPage = !event.detail.tasks || event.detail.tasks.some((task) => task.fragment.querySelector("[data-live]"));
  const isUsed = isInUse(livePart());
  if (document.hidden || !isPage || isUsed) event.preventDefault();
  if (isUsed && Date.now() - shownAt > OLD_MS) say("Live updates wait while you choose, type or select here.");
}

if (livePart()) {
  for (const moment of ["htmx:before:request", "htmx:before:swap"]) state.addEventListener(moment, unlessInUse);
  state.addEventListener("htmx:after:swap", () => {
    shownAt = new Date();
    say("");
  });
  for (const failure of ["htmx:error", "htmx:response:error"])
    state.addEventListener(failure, () => say("The dashboard does not answer; trying again."));
  const events = new EventSource(state.dataset.liveState);
  events.addEventListener("change", refresh);
  events.addEventListener("unavailable", () => say("The database cannot be reached; trying again."));
  events.addEventListener("error", () => say("Live updates are interrupted; trying again."));
  events.addEventListener("open", () => say(""));
  document.addEventListener("visibilitychange", refresh);
  setInterval(() => {
    if (Date.now() - askedAt >= 1000 * (livePart().dataset.liveEvery ?? AGES_EVERY_S)) refresh();
  }, TICK_MS);
}
