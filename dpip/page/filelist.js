// The files of a new workload by name, to look at one or leave one out, however many there are.

import { h, put } from "./dom.js";
import { pathOf } from "./files.js";
import { bytes, number } from "./format.js";

const SHOWN = 100;

/** A list that opens; `look(file)` and `remove(file)` when one is chosen. */
export class FileList {
  constructor({ look, remove }) {
    this.look = look;
    this.remove = remove;
    this.rows = new Map();
    this.search = h("input", { type: "search", placeholder: "Part of a name", "aria-label": "Find among the files", oninput: () => this.draw() });
    this.list = h("ul", { class: "file-list" });
    this.more = h("p", { class: "hint" });
    this.element = h("details", { class: "all-files", hidden: true, ontoggle: () => this.draw() }, h("summary", {}, "All files, by name"), this.search, this.list, this.more);
  }

  show(files, sample) {
    this.files = files;
    this.sample = sample;
    this.element.hidden = !files.length;
    this.draw();
  }

  open() {
    this.element.open = true;
    this.search.focus();
  }

  draw() {
    if (!this.element.open) return;
    const wanted = this.search.value.toLowerCase();
    const found = this.files.filter((file) => pathOf(file).toLowerCase().includes(wanted));
    const shown = found.slice(0, SHOWN);
    this.search.hidden = this.files.length <= SHOWN / 10;
    this.rows = new Map(shown.map((file) => [file, this.row(file)]));
    put(this.list, [...this.rows.values()]);
    this.mark(this.sample);
    put(this.more, found.length > shown.length ? `and ${number(found.length - shown.length)} more: type a part of the name` : "");
  }

  row(file) {
    const name = pathOf(file);
    const remove = () => {
      const place = [...this.rows.keys()].indexOf(file);
      this.remove(file);
      [...this.rows.values()][Math.min(place, this.rows.size - 1)]?.querySelector(".link").focus();
    };
    return h(
      "li",
      {},
      h("button", { type: "button", class: "link", title: "Preview", onclick: () => this.look(file) }, name),
      h("span", { class: "hint" }, bytes(file.size)),
      h("button", { type: "button", class: "quiet", "aria-label": `Remove ${name}`, onclick: remove }, "Remove"),
    );
  }

  /** The one that the preview shows. */
  mark(sample) {
    this.sample = sample;
    for (const [file, row] of this.rows) row.firstChild.setAttribute("aria-pressed", String(file === sample));
  }
}
