// Tokens for programs: one's own, and an admin sees everybody's.

import { get, request } from "./api.js";
import { h, put } from "./dom.js";
import { day, moment } from "./format.js";
import { attempt, confirmed, notice } from "./notices.js";

export function view({ admin }) {
  const rows = h("tbody");
  const made = h("div", { role: "status" });
  const heads = ["Name", ...(admin ? ["User"] : []), "Made", "Expires", "Actions"];
  const element = h(
    "section",
    { class: "page" },
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Tokens")),
    h("p", { class: "lead" }, "A program that sends a token in the header ", h("code", {}, "Authorization: Bearer …"), " works as its user. A login is a token, too."),
    h("div", { class: "card table" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), rows)),
    addForm((token) => {
      put(made, secret(token));
      made.querySelector("h2").focus(); // wherever one has scrolled to
      attempt(look);
    }),
    made,
  );

  async function look() {
    put(rows, (await get("/tokens?limit=200")).map(row));
  }

  function row(token) {
    const name = token.name || "a login";
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      admin && h("td", {}, token.user),
      h("td", { title: moment(token.created_at) }, day(token.created_at)),
      h("td", { title: moment(token.expires_at) }, day(token.expires_at)),
      h("td", { class: "actions" }, h("button", { type: "button", class: "quiet danger", "aria-label": `Revoke ${name} of ${token.user}, made ${moment(token.created_at)}`, onclick: () => revoke(token, name) }, "Revoke")),
    );
  }

  async function revoke(token, name) {
    if (!(await confirmed(`Revoke ${name}?`, "Whoever uses it is logged out at once.", "Revoke"))) return;
    if (await attempt(() => request("DELETE", `/tokens/${encodeURIComponent(token.token_id)}`))) await attempt(look);
  }

  attempt(look);
  return { title: "Tokens", element, close() {} };
}

/** Shown this once. */
function secret({ name, token }) {
  const copy = async () => {
    await navigator.clipboard.writeText(token);
    notice("Copied.");
  };
  return h(
    "section",
    { class: "card", "aria-labelledby": "secret-title" },
    h("h2", { id: "secret-title", tabindex: -1 }, `The token ${name}`),
    h("p", { class: "hint" }, "Keep it now: it is not shown again."),
    // There is no clipboard for a page without TLS, but on this machine.
    h("div", { class: "secret" }, h("code", {}, token), navigator.clipboard && h("button", { type: "button", onclick: () => attempt(copy) }, "Copy")),
  );
}

function addForm(added) {
  const name = h("input", { id: "token-name", required: true, maxlength: 64, autocomplete: "off" });
  const days = h("input", { id: "token-days", type: "number", min: 1, max: 3650, value: 90, required: true, inputmode: "numeric" });
  const submit = async (event) => {
    event.preventDefault();
    await attempt(async () => {
      added(await request("POST", "/tokens", { json: { name: name.value, days: Number(days.value) } }));
      event.target.reset();
    });
  };
  return h(
    "form",
    { class: "card", onsubmit: submit, "aria-labelledby": "token-title" },
    h("h2", { id: "token-title" }, "Create a token"),
    h("div", { class: "pair" }, h("div", { class: "field" }, h("label", { for: "token-name" }, "Name, for example of the program"), name), h("div", { class: "field" }, h("label", { for: "token-days" }, "Valid for (days)"), days)),
    h("div", { class: "actions end" }, h("button", { type: "submit", class: "primary" }, "Create token")),
  );
}
