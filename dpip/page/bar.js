// The bar at the top: where to go, how it looks, who one is.

import { h } from "./dom.js";
import { askPassword } from "./view-users.js";

const THEMES = ["auto", "light", "dark"];

/** Fills the bar for somebody who is logged in. */
export function showBar({ user, admin }, logOut) {
  const links = [["#/", "Workloads"], ...(admin ? [["#/workers", "Workers"], ["#/users", "Users"]] : [])];
  const bar = document.getElementById("bar");
  bar.replaceChildren(
    h("a", { class: "brand", href: "#/", "aria-label": "DPIP, all workloads" }, mark(), h("span", {}, "DPIP")),
    h("nav", { "aria-label": "Main" }, links.map(([href, words]) => h("a", { href }, words))),
    h(
      "details",
      { class: "menu" },
      h("summary", {}, h("span", { class: "avatar", "aria-hidden": "true", "data-letter": user.slice(0, 1).toUpperCase() }), hidden("Account of "), h("span", { class: "who" }, user), hidden(", and theme")),
      h("div", { class: "menu-box" }, themes(), h("a", { class: "button", href: "#/tokens" }, "Tokens"), admin && h("a", { class: "button", href: "#/activity" }, "Activity"), h("a", { class: "button", href: "/docs" }, "The API"), h("button", { type: "button", onclick: () => askPassword(user, true) }, "Change password"), h("button", { type: "button", onclick: logOut }, "Log out")),
    ),
  );
  bar.hidden = false;
}

export function hideBar() {
  const bar = document.getElementById("bar");
  bar.hidden = true;
  bar.replaceChildren();
}

/** Marks the link of the part that is shown. */
export function markPlace(hash) {
  for (const link of document.querySelectorAll("#bar nav a")) {
    const here = link.hash === "#/" ? hash === "#/" || hash.startsWith("#/workloads") || hash === "#/new" : hash.startsWith(link.hash);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("#bar details")?.removeAttribute("open");
}

/** A menu that one has left closes. */
document.addEventListener("click", (event) => {
  const menu = document.querySelector("#bar details[open]");
  if (menu && !menu.contains(event.target)) menu.removeAttribute("open");
});
document.addEventListener("keydown", (event) => {
  const menu = document.querySelector("#bar details[open]");
  if (menu && event.key === "Escape") {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  }
});

/** For who does not see the picture beside it. */
function hidden(text) {
  return h("span", { class: "visually-hidden" }, text);
}

function mark() {
  return h("span", { class: "mark", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i"));
}

function themes() {
  const present = document.documentElement.dataset.theme;
  return h(
    "fieldset",
    { class: "themes" },
    h("legend", {}, "Theme"),
    THEMES.map((name) =>
      h("label", {}, h("input", { type: "radio", name: "theme", value: name, checked: name === present, onchange: () => choose(name) }), h("span", {}, name)),
    ),
  );
}

function choose(name) {
  localStorage.setItem("theme", name);
  document.documentElement.dataset.theme = name;
}
