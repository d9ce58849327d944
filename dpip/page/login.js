// Who are you?

import { request } from "./api.js";
import { h, say } from "./dom.js";

/** A form; `entered()` when somebody is logged in. */
export function loginForm(entered, reason = "") {
  const name = h("input", { id: "user", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const trouble = h("p", { class: "trouble", role: "alert" }, reason);
  const enter = h("button", { type: "submit", class: "primary large" }, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    enter.disabled = true;
    try {
      await request("POST", "/login", { headers: { Authorization: basic(name.value, password.value) } });
      password.value = "";
      await entered();
    } catch (error) {
      const later = error.retryAfter ? ` Try again in ${error.retryAfter} seconds.` : "";
      say(trouble, error.message + later);
      password.select();
    } finally {
      enter.disabled = false;
    }
  };
  return h(
    "section",
    { class: "login" },
    h("span", { class: "mark large", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")),
    h("h1", { tabindex: -1 }, "DPIP"),
    h("p", { class: "lead" }, "Any number of pictures, filtered by any number of machines."),
    h(
      "form",
      { class: "card", onsubmit: submit },
      h("div", { class: "field" }, h("label", { for: "user" }, "User"), name),
      h("div", { class: "field" }, h("label", { for: "password" }, "Password"), password),
      trouble,
      enter,
    ),
  );
}

/** HTTP Basic with any script in it: btoa takes bytes only. */
function basic(name, password) {
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${name}:${password}`)))}`;
}
