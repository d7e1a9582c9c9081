// Keeps a page fresh: when the dashboard says that something changed, the part of the page that is marked
// with data-live is asked for again and put in its place. Without this script pages are as fresh as when
// they were loaded.
"use strict";

const state = document.querySelector("[data-live-state]");
const base = document.querySelector("a.name").getAttribute("href").replace(/\/$/, "");
const AT_MOST_EVERY_MS = 1000;
const AGES_EVERY_MS = 15000;
let wanted = false;
let busy = false;

function isInUse(part) {
  const active = document.activeElement;
  const inside = part.contains(active) && active.matches("input, select, textarea, button, summary");
  return inside || String(document.getSelection()).length > 0;
}

function openDetails(part) {
  return [...part.querySelectorAll("details")].map((details) => details.open);
}

async function refresh() {
  wanted = true;
  if (busy) return;
  busy = true;
  while (wanted) {
    wanted = false;
    const part = document.querySelector("[data-live]");
    if (part && !document.hidden && !isInUse(part)) await replace(part);
    await new Promise((done) => setTimeout(done, AT_MOST_EVERY_MS));
  }
  busy = false;
}

async function replace(part) {
  const address = new URL(location.href);
  address.searchParams.delete("said");
  const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return say("The dashboard does not answer; trying again.");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const replacement = fresh.querySelector("[data-live]");
  if (!replacement || isInUse(part)) return;
  const open = openDetails(part);
  replacement.querySelectorAll("details").forEach((details, index) => {
    if (index < open.length) details.open = open[index];
  });
  part.replaceWith(document.adoptNode(replacement));
  say("");
}

function say(text) {
  state.textContent = text;
  state.hidden = !text;
}

if (document.querySelector("[data-live]")) {
  const events = new EventSource(`${base}/events`);
  events.addEventListener("change", refresh);
  events.addEventListener("unavailable", () => say("The database cannot be reached; trying again."));
  events.addEventListener("error", () => say("Live updates are interrupted; trying again."));
  events.addEventListener("open", () => say(""));
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, AGES_EVERY_MS);
}
