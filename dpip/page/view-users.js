// Who may use the system, for admins.

import { get, request } from "./api.js";
import { h, put } from "./dom.js";
import { bytes, day } from "./format.js";
import { attempt, confirmed, notice } from "./notices.js";

const GIGABYTE = 1e9;

export function view({ user: self }) {
  const rows = h("tbody");
  const element = h(
    "section",
    { class: "page" },
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Users")),
    h("div", { class: "card table" }, h("table", {}, h("thead", {}, h("tr", {}, ["Name", "Role", "Storage used", "Since", "Actions"].map((head) => h("th", { scope: "col" }, head)))), rows)),
    addForm(() => attempt(look)),
  );

  async function look() {
    put(rows, (await get("/users")).map((user) => row(user)));
  }

  function row(user) {
    const own = user.user === self;
    const limit = user.quota === null ? "" : ` of ${bytes(user.quota)}`;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, user.user, own && h("span", { class: "hint" }, " (you)")),
      h("td", {}, user.role),
      h("td", {}, `${bytes(user.used)}${limit}`),
      h("td", {}, day(user.created_at)),
      h(
        "td",
        { class: "actions" },
        h("button", { type: "button", class: "quiet", "aria-label": `Set password of ${user.user}`, onclick: () => askPassword(user.user, own) }, "Set password"),
        !own && h("button", { type: "button", class: "quiet danger", "aria-label": `Remove ${user.user}`, onclick: () => remove(user.user) }, "Remove"),
      ),
    );
  }

  async function remove(name) {
    const lost = "All workloads and images of this user go too. This cannot be undone.";
    if (!(await confirmed(`Remove ${name}?`, lost, "Remove"))) return;
    await attempt(() => request("DELETE", `/users/${encodeURIComponent(name)}`));
    await attempt(look);
  }

  attempt(look);
  return { title: "Users", element, close() {} };
}

function addForm(added) {
  const name = h("input", { id: "new-user", required: true, maxlength: 64, autocomplete: "off" });
  const password = h("input", { id: "new-password", type: "password", required: true, minlength: 8, autocomplete: "new-password" });
  const role = h("select", { id: "new-role" }, h("option", { value: "user" }, "user"), h("option", { value: "admin" }, "admin"));
  const quota = h("input", { id: "new-quota", type: "number", min: 0, step: "any", placeholder: "the default", inputmode: "decimal" });
  const field = (input, label) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
  const submit = async (event) => {
    event.preventDefault();
    const json = { user: name.value, password: password.value, role: role.value };
    if (quota.value !== "") json.quota = Math.round(Number(quota.value) * GIGABYTE);
    const done = await attempt(() => request("POST", "/users", { json }));
    if (!done) return;
    notice(`${name.value} can log in now.`);
    event.target.reset();
    added();
  };
  return h(
    "form",
    { class: "card", onsubmit: submit, "aria-labelledby": "add-title" },
    h("h2", { id: "add-title" }, "Add a user"),
    h("div", { class: "quad" }, field(name, "Name"), field(password, "Password (8 or more)"), field(role, "Role"), field(quota, "Storage limit (GB)")),
    h("div", { class: "actions end" }, h("button", { type: "submit", class: "primary" }, "Add")),
  );
}

/** A dialog that sets the password of anyone; of oneself (`own`) with the old one. */
export function askPassword(name, own) {
  const old = h("input", { id: "password-old", type: "password", required: true, autocomplete: "current-password", autofocus: true });
  const password = h("input", { id: "password-new", type: "password", required: true, minlength: 8, autocomplete: "new-password", autofocus: !own });
  const set = async (event) => {
    event.preventDefault();
    const path = `/users/${encodeURIComponent(name)}/password`;
    if (await attempt(() => request("PUT", path, { json: { password: password.value, ...(own ? { old_password: old.value } : {}) } }))) {
      notice(`The password of ${name} is changed. Who used the old one must log in again.`);
      box.close();
    }
  };
  const box = h(
    "dialog",
    { class: "ask", "aria-labelledby": "password-title", onclose: () => box.remove() },
    h(
      "form",
      { onsubmit: set },
      h("h2", { id: "password-title" }, `New password of ${name}`),
      own && h("div", { class: "field" }, h("label", { for: "password-old" }, "Old password"), old),
      h("div", { class: "field" }, h("label", { for: "password-new" }, "Password, 8 characters or more"), password),
      h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => box.close() }, "Go back"), h("button", { type: "submit", class: "primary" }, "Set password")),
    ),
  );
  document.body.append(box);
  box.showModal();
}
