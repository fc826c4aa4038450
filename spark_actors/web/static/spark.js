// What pages have beside what the server says: nothing of it is needed. Streams are htmx's; see the templates.
"use strict";

const away = document.getElementById("away");
const FULL_MS = 20000, AWAY_MS = 2000;

// A form that is on its way is not sent once more. (Sent twice it would count once, too.)
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent !== undefined) event.preventDefault();
  else if (form.method === "post") form.dataset.sent = "";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Copy what stands in another element.
document.documentElement.classList.add("has-script");
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  const said = button.nextElementSibling;
  said.textContent = "Copied.";
  setTimeout(() => { said.textContent = ""; }, 3000);
});

// The daemon is away, or these pages are: say so until they are back.
const tell = (isAway) => () => { away.hidden = !isAway; };
document.addEventListener("away", tell(true));
document.addEventListener("bye", tell(true));
document.addEventListener("htmx:sse:error", tell(true));
document.addEventListener("back", tell(false));
document.addEventListener("htmx:sse:after:message", (event) => {
  if (!event.detail.message.event) away.hidden = true;
});

// There is no stream for this page just now, or it was not reached at all: ask again later.
const again = (source, afterMs) => {
  if (source?.hasAttribute("hx-sse:connect")) setTimeout(() => htmx.trigger(source, "connect"), afterMs);
};
document.addEventListener("htmx:response:error", (event) => again(event.detail.ctx.sourceElement, FULL_MS));
document.addEventListener("htmx:error", (event) => again(event.detail.ctx?.sourceElement, AWAY_MS));
