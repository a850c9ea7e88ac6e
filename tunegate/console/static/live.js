// Keeps a run's page current while somebody looks at it.
"use strict";

const EVERY = 3000;
const live = document.querySelector("[data-live]");
const part = (name) => live.querySelector(`[data-part="${name}"]`);

async function look() {
  if (!document.hidden) {
    const answer = await fetch(live.dataset.live, { redirect: "error" });
    if (!answer.ok) return;
    const now = await answer.json();
    const drawn = new DOMParser().parseFromString(now.curve, "image/svg+xml").documentElement;
    part("curve").replaceChildren(document.importNode(drawn, true));
    for (const name of ["state", "step", "loss", "speed"]) part(name).textContent = now[name];
    part("now").textContent = now.held ? "at work" : "nobody works on it on this machine";
    const log = part("log");
    if (log.textContent !== now.log) { log.textContent = now.log || "nothing was written"; log.scrollTop = log.scrollHeight; }
    if (!now.held && now.state !== "planned") return;
  }
  setTimeout(look, EVERY);
}

if (live) setTimeout(look, EVERY);
