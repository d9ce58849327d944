// Who did what, newest first, for admins.

import { get, query } from "./api.js";
import { h, put, say } from "./dom.js";
import { ago, moment } from "./format.js";
import { attempt } from "./notices.js";

const PAGE = 50;
const SETTLED_MS = 300;

export function view() {
  const rows = h("tbody");
  const older = h("button", { type: "button", class: "quiet center", hidden: true, onclick: () => attempt(() => look(true)) }, "Show older ones");
  const empty = h("p", { class: "hint", role: "status" });
  const actor = h("input", { type: "search", id: "actor", autocomplete: "off", oninput: () => soon() });
  const subject = h("input", { type: "search", id: "subject", autocomplete: "off", oninput: () => soon() });
  const element = h(
    "section",
    { class: "page" },
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Activity")),
    h("p", { class: "lead" }, "Who did what: users, and dpip itself."),
    h("div", { class: "pair" }, field(actor, "Only by"), field(subject, "Only what was done to")),
    h("div", { class: "card table" }, h("table", {}, h("thead", {}, h("tr", {}, ["When", "Who", "What", "To", "More"].map((head) => h("th", { scope: "col" }, head)))), rows)),
    empty,
    older,
  );
  let last = null;
  let timer = null;
  let asking = 0;

  async function look(further) {
    const asked = (asking += 1);
    const entries = await get(`/activity${query({ limit: PAGE, before: further ? last : null, actor: actor.value.trim() || null, subject: subject.value.trim() || null })}`);
    if (asked !== asking) return; // one has typed on
    if (further) rows.append(...entries.map(row));
    else put(rows, entries.map(row));
    last = entries.at(-1)?.number ?? last;
    older.hidden = entries.length < PAGE;
    say(empty, rows.children.length ? "" : "There is nothing of that kind.");
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(() => attempt(() => look(false)), SETTLED_MS);
  }

  attempt(() => look(false));
  return { title: "Activity", element, close: () => clearTimeout(timer) };
}

function row({ at, actor, action, subject, detail }) {
  return h(
    "tr",
    {},
    h("td", { title: moment(at) }, ago(at)),
    h("td", {}, actor),
    h("th", { scope: "row" }, action.replaceAll("-", " ")),
    h("td", { class: "breaks" }, linked(action, subject)),
    h("td", { class: "hint breaks" }, facts(detail)),
  );
}

/** What can be looked at is a link; what has gone says so there. */
function linked(action, subject) {
  const place = { workload: "workloads", worker: "workers" }[/workload|worker/.exec(action)?.[0]];
  return place && subject ? h("a", { href: `#/${place}/${encodeURIComponent(subject)}` }, subject) : subject;
}

/** `address 10.0.0.5, role admin`. */
export function facts(detail) {
  const known = Object.entries(detail).filter(([, value]) => value !== null && value !== "");
  return known.map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

function field(input, label) {
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}
