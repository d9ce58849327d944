// Which images of a workload are shown, in which order, and what is done with those that one selects.

import { get, query } from "./api.js";
import { h, say } from "./dom.js";
import { counted, number } from "./format.js";
import { notice, quietly } from "./notices.js";

const SETTLED_MS = 250;
const MOST_QUERY = 6000; // characters: servers and proxies take no longer addresses
const SORTS = [["seq", "as uploaded"], ["-seq", "last first"], ["name", "by name"], ["-name", "by name, reversed"], ["-size", "largest first"], ["size", "smallest first"]];

/** A row of tools over a `gallery`; `retry(places)` when the selected ones shall be tried again. */
export class GalleryTools {
  constructor(workloadId, gallery, retry) {
    this.workloadId = workloadId;
    this.gallery = gallery;
    this.retry = retry;
    this.timer = null;
    this.known = "";
    this.search = h("input", { type: "search", "aria-label": "Find images by name", placeholder: "Find by name", oninput: () => this.soon() });
    this.sort = h("select", { "aria-label": "Order", onchange: () => this.arrange() }, SORTS.map(([value, text]) => h("option", { value }, text)));
    this.failed = h("input", { type: "checkbox", id: "failed-only", onchange: () => this.arrange() });
    this.start = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.select(!gallery.selecting) }, "Select");
    this.told = h("span", { class: "hint", role: "status" });
    this.all = h("button", { type: "button", class: "quiet", onclick: () => gallery.selectAll() }, "All");
    this.download = h("a", { class: "button", download: true, onclick: (event) => this.check(event) }, "Download");
    this.again = h("button", { type: "button", onclick: () => this.tryAgain() }, "Try again");
    this.chosen = h("div", { class: "actions", hidden: true }, this.all, this.download, this.again);
    this.element = h(
      "div",
      { class: "tools", hidden: true, role: "group", "aria-label": "Images shown" },
      this.search,
      this.sort,
      h("span", { class: "check-row" }, this.failed, h("label", { for: "failed-only" }, "Failed only")),
      this.start,
      this.chosen,
      this.told,
    );
  }

  /** What is shown may be out of date when more images have come, or have ended. */
  update({ accepted, failed, filtered }) {
    this.element.hidden = accepted < 2;
    const known = this.failed.checked ? `${accepted} ${failed}` : `${accepted}`;
    if (this.plain || known === this.known) return;
    if (filtered + failed < accepted && performance.now() - this.arrangedAt < 2000) return; // much is coming: not each time
    this.known = known;
    this.arrange();
  }

  get plain() {
    return !this.search.value.trim() && this.sort.value === "seq" && !this.failed.checked;
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.arrange(), SETTLED_MS);
  }

  async arrange() {
    this.arrangedAt = performance.now();
    if (this.plain) {
      this.gallery.arrange(null);
      this.marked();
      return;
    }
    await quietly(async () => {
      const asked = { name: this.search.value.trim() || null, sort: this.sort.value, failed: this.failed.checked || null };
      const { places } = await get(`/workloads/${this.workloadId}/places${query(asked)}`);
      this.gallery.arrange(places);
    });
    this.marked();
  }

  select(on) {
    this.start.setAttribute("aria-pressed", String(on));
    this.chosen.hidden = !on;
    this.gallery.select(on);
  }

  /** The selection, or what is shown, has changed. */
  marked() {
    const { selecting, selected, failures, facts } = this.gallery;
    const shown = this.plain ? "" : `${counted(this.gallery.count, "image")} shown`;
    say(this.told, selecting ? `${number(selected.size)} selected` : shown);
    const failed = [...selected].filter((place) => failures.has(place));
    this.again.hidden = !failed.length;
    say(this.again, `Try ${number(failed.length)} again`);
    this.download.hidden = selected.size === failed.length;
    this.download.href = `/workloads/${this.workloadId}/archive${query({ seqs: ranges([...selected]) })}`;
  }

  check(event) {
    if (this.download.href.length < MOST_QUERY) return;
    event.preventDefault();
    notice("These are too many single images for one address: select fewer, or download all.", "bad");
  }

  async tryAgain() {
    const { selected, failures } = this.gallery;
    if (await this.retry([...selected].filter((place) => failures.has(place)))) this.select(false);
  }

  close() {
    clearTimeout(this.timer);
  }
}

/** `0-3,7`. */
export function ranges(places) {
  const runs = [];
  for (const place of places.sort((one, other) => one - other)) {
    const run = runs.at(-1);
    if (run && run[1] === place - 1) run[1] = place;
    else runs.push([place, place]);
  }
  return runs.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",");
}
