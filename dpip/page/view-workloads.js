// All workloads, newest first, as they go.

import { get, query } from "./api.js";
import { onDrop } from "./files.js";
import { h, put, say } from "./dom.js";
import { ago, moment, rate, steps } from "./format.js";
import { attempt } from "./notices.js";
import { handOver } from "./view-new.js";
import { counts, ProgressBar, speed, Status } from "./progress.js";
import { sparkline } from "./sparkline.js";
import { workloads } from "./workloads.js";

const PAGE = 50;

export function view({ user, admin }) {
  const rows = new Map();
  const list = h("ul", { class: "workloads" });
  const pace = h("div", { class: "pace", hidden: true });
  const older = h("button", { type: "button", class: "quiet center", hidden: true, onclick: () => attempt(showOlder) }, "Show older ones");
  const empty = emptyState();
  const make = h("a", { class: "button primary", href: "#/new" }, "New workload");
  const element = h(
    "section",
    { class: "page" },
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Workloads"), pace, make),
    empty,
    list,
    older,
  );
  let exhausted = false;

  function update() {
    if (!workloads.loaded) return;
    const shown = workloads.list();
    empty.hidden = shown.length > 0;
    make.hidden = !empty.hidden; // one way there is enough
    older.hidden = exhausted || shown.length < PAGE;
    for (const [id, row] of rows) {
      if (!workloads.get(id)) {
        row.element.remove();
        rows.delete(id);
      }
    }
    shown.forEach((workload, place) => {
      const id = workload.workload_id;
      if (!rows.has(id)) rows.set(id, new Row(id, admin && workload.owner !== user));
      const row = rows.get(id);
      row.update(workload);
      if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] || null);
    });
    showPace(pace);
  }

  async function showOlder() {
    const asked = performance.now();
    const last = workloads.list().at(-1);
    const page = await get(`/workloads${query({ limit: PAGE, after: last.workload_id })}`);
    exhausted = page.length < PAGE;
    workloads.take(page, { asked });
  }

  const stopDropping = onDrop(document.body, (files) => {
    handOver(files);
    location.hash = "#/new";
  });
  workloads.addEventListener("change", update);
  update();
  return {
    title: "Workloads",
    element,
    close() {
      stopDropping();
      workloads.removeEventListener("change", update);
    },
  };
}

class Row {
  constructor(id, foreign) {
    this.foreign = foreign;
    this.name = h("a", { class: "name", href: `#/workloads/${id}` });
    this.status = new Status();
    this.steps = h("span");
    this.when = h("time");
    this.owner = h("span", { class: "owner" });
    this.bar = new ProgressBar("Done");
    this.counts = h("span");
    this.speed = h("span");
    this.element = h(
      "li",
      { class: "card workload" },
      h("div", { class: "line" }, this.name, this.status.element),
      h("div", { class: "line small" }, this.steps, h("span", { class: "aside" }, foreign && this.owner, this.when)),
      this.bar.element,
      h("div", { class: "line small" }, this.counts, this.speed),
    );
  }

  update(workload) {
    say(this.name, workload.workload_name);
    this.status.update(workload);
    say(this.steps, steps(workload.steps));
    say(this.when, ago(workload.created_at));
    this.when.dateTime = workload.created_at;
    this.when.title = moment(workload.created_at);
    say(this.owner, `${workload.owner} · `);
    this.bar.update(workload);
    say(this.counts, counts(workload));
    say(this.speed, speed(workload));
  }
}

function showPace(element) {
  const perSecond = workloads.all.perSecond(performance.now() / 1000);
  const series = workloads.all.series();
  const busy = workloads.list().some(({ status }) => status === "running");
  element.hidden = !busy || !perSecond;
  if (element.hidden) return;
  const top = rate(Math.max(...series));
  put(element, sparkline(series, `Images per second since the page was opened, peak ${top}`), h("span", {}, `${rate(perSecond)} now`));
}

function emptyState() {
  return h(
    "div",
    { class: "empty", hidden: true },
    h("div", { class: "empty-art", "aria-hidden": "true" }, h("span"), h("span"), h("span")),
    h("h2", {}, "Nothing to see yet"),
    h("p", {}, "Drop images or a folder anywhere on this page, choose a filter, look at what it does, and start."),
    h("a", { class: "button primary", href: "#/new" }, "Filter some images"),
  );
}
