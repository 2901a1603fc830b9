// Starts the page, and shows the view that the address names.

import { Chat } from "./chat.js";
import { Operator } from "./operator.js";
import { Settings } from "./settings.js";

const VIEWS = ["chat", "operator"];

function showView() {
  const wanted = location.hash.slice(1);
  const shown = VIEWS.includes(wanted) ? wanted : VIEWS[0];
  for (const view of VIEWS) {
    document.querySelector(`#view-${view}`).hidden = view !== shown;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = shown === "chat" ? "Chat · host" : "Operator · host";
  if (shown === "chat") document.querySelector("#question").focus();
}

const settings = new Settings();
new Chat(settings);
new Operator().start();
settings.load();
window.addEventListener("hashchange", showView);
showView();
