// Who are you?

import { get, request } from "./api.js";
import { h, say } from "./dom.js";
import { quietly } from "./notices.js";

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
  const fresh = h("p", { class: "hint", role: "status" });
  quietly(async () => say(fresh, whereFirst((await get("/first-login")).password_file)));
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
    fresh,
  );
}

/** Of a service into which nobody has logged in yet; it tells the whole path only on its own machine. */
function whereFirst(file) {
  if (!file) return "";
  const where = file.includes("/") ? `the file ${file}` : `the file ${file} of the service's state directory, which its log names`;
  return `Nobody has logged in yet. The first user is admin; its password is in ${where}.`;
}

/** HTTP Basic with any script in it: btoa takes bytes only. */
function basic(name, password) {
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${name}:${password}`)))}`;
}
