// Keys for comparing answers: 1, 2, 3 and 0 choose, j and k go on and back, u undoes. The page works without them.
"use strict";

const WRITING = new Set(["INPUT", "TEXTAREA", "SELECT"]);
let sent = false;

function press(event) {
  const held = event.ctrlKey || event.metaKey || event.altKey;
  if (sent || held || event.repeat || WRITING.has(event.target.tagName)) return;
  const rate = document.getElementById("rate");
  const button = rate && rate.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
  const undo = document.getElementById("undo");
  if (button) {
    sent = true;
    rate.requestSubmit(button);
  } else if (event.key === "u" && undo) {
    sent = true;
    undo.requestSubmit();
  } else if (rate && (event.key === "j" || event.key === "k")) {
    sent = true;
    location.assign(event.key === "j" ? rate.dataset.next : rate.dataset.back);
  }
}

document.addEventListener("keydown", press);
// A page that the browser kept and shows again takes keys again.
window.addEventListener("pageshow", () => { sent = false; });
