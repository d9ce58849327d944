// A new workload: which images, which filters, a look at what they do, and off it goes.

import { get, newKey, patiently, request } from "./api.js";
import { showCommands } from "./commands.js";
import { compare } from "./compare.js";
import { h, put, say } from "./dom.js";
import { FileList } from "./filelist.js";
import { ACCEPT, chosen, onDrop, pathOf, sorted } from "./files.js";
import { ChainForm } from "./filterform.js";
import { bytes, counted, duration } from "./format.js";
import { attempt } from "./notices.js";
import { OutputForm } from "./outputform.js";
import { PresetBar } from "./presetbar.js";
import { preview } from "./preview.js";
import { Upload } from "./upload.js";
import { workloads } from "./workloads.js";

const SETTLED_MS = 350;
const MOST_LISTED = 200; // of files left out
const THUMBNAILS = 11; // and how many more: two rows

let handed = null;
let handedSpec = null;

/** Files that were dropped elsewhere, for the view that opens next. */
export function handOver(files) {
  handed = files;
}

/** Filters, output and tags of a workload, for the view that opens next. */
export function handSpec({ steps, output, tags }) {
  handedSpec = { steps, output, tags };
}

export function view() {
  const draft = new Draft();
  attempt(() => draft.open());
  return { title: "New workload", element: draft.element, close: () => draft.close() };
}

class Draft {
  constructor() {
    this.files = [];
    this.sample = null; // the file that the preview shows
    this.chain = null;
    this.made = null; // address of the preview's result
    this.timer = null;
    this.trying = new AbortController();
    this.urls = new Map();
    this.parts();
    this.stopDropping = onDrop(document.body, (files) => this.add(files));
  }

  parts() {
    const files = h("input", { type: "file", id: "files", multiple: true, accept: ACCEPT, class: "unseen-input" });
    const folder = h("input", { type: "file", id: "folder", webkitdirectory: true, class: "unseen-input" });
    for (const input of [files, folder]) {
      input.addEventListener("change", () => {
        this.add(sorted(chosen(input)));
        input.value = "";
      });
    }
    this.summary = h("p", { class: "summary", role: "status" });
    this.thumbnails = h("ul", { class: "thumbnails" });
    this.list = new FileList({ look: (file) => this.take(file), remove: (file) => this.remove(file) });
    this.leftOut = h("details", { class: "left-out", hidden: true });
    this.others = [];
    this.clear = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.empty() }, "Remove all");
    this.filter = h("div", { class: "filter-fields" }, h("p", { class: "hint" }, "Asking the server for its filters…"));
    this.name = h("input", { id: "name", maxlength: 200, autocomplete: "off", placeholder: "made up from the filter" });
    this.output = null;
    this.outputPlace = h("div");
    this.presets = new PresetBar({ spec: () => this.spec(), use: (preset) => this.use(preset) });
    this.tags = h("input", { id: "tags", autocomplete: "off", placeholder: "for example gpu" });
    this.tagsField = field("tags", "Only workers with tag", this.tags);
    this.start = h("button", { type: "submit", class: "primary large", disabled: true }, "Start");
    this.looked = h("div", { class: "preview-frame" });
    this.told = h("p", { class: "hint", role: "status" });
    this.form = h(
      "form",
      { class: "new", novalidate: true, onsubmit: (event) => this.submit(event) },
      h(
        "div",
        { class: "new-left" },
        h(
          "fieldset",
          { class: "card" },
          h("legend", {}, "Images"),
          h(
            "div",
            { class: "drop" },
            h("p", { class: "drop-words" }, "Drop images or a folder here"),
            h("div", { class: "actions" }, files, h("label", { class: "button", for: "files" }, "Choose files"), folder, h("label", { class: "button", for: "folder" }, "Choose a folder")),
          ),
          h("div", { class: "label-row" }, this.summary, this.clear),
          this.thumbnails,
          this.list.element,
          this.leftOut,
        ),
        h("fieldset", { class: "card" }, h("legend", {}, "Filter"), this.presets.element, this.filter),
        h(
          "fieldset",
          { class: "card" },
          h("legend", {}, "Result"),
          this.outputPlace,
          h("div", { class: "pair" }, field("name", "Name of the workload", this.name), this.tagsField),
        ),
      ),
      h(
        "div",
        { class: "new-right" },
        h("section", { class: "card preview", "aria-labelledby": "preview-title" }, h("h2", { id: "preview-title" }, "Preview"), this.looked, this.told),
        this.start,
        h("div", { class: "actions end" }, this.presets.save, h("button", { type: "button", class: "quiet", onclick: () => showCommands(this.spec()) }, "Copy as curl or dpip")),
      ),
    );
    this.element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "New workload")), this.form);
    this.wait();
  }

  async open() {
    const [filters, options, status] = await Promise.all([get("/filters"), get("/output"), get("/status"), this.presets.load()]);
    this.chain = new ChainForm(filters, () => this.changed());
    this.output = new OutputForm(options, () => this.changed());
    put(this.filter, this.chain.element);
    put(this.outputPlace, this.output.element);
    this.tags.placeholder = `for example ${status.worker_tags[0]}`;
    this.tagsField.hidden = !status.worker_tags.length;
    if (handedSpec) this.use(handedSpec);
    if (handed) this.add(handed);
    handed = handedSpec = null;
    this.changed();
  }

  add({ pictures, others }) {
    this.files = this.files.concat(pictures);
    this.others = this.others.concat(others);
    this.showLeftOut();
    this.sample ||= this.files[0] || null;
    this.showFiles();
    this.changed();
  }

  remove(file) {
    const place = this.files.indexOf(file);
    this.files.splice(place, 1);
    if (this.sample === file) this.sample = this.files[Math.min(place, this.files.length - 1)] || null;
    this.showFiles();
    this.changed();
  }

  showLeftOut() {
    this.leftOut.hidden = !this.others.length;
    const shown = this.others.slice(0, MOST_LISTED);
    put(
      this.leftOut,
      h("summary", {}, `${counted(this.others.length, "file")} left out`),
      h("ul", { class: "reasons" }, shown.map(({ path, reason }) => h("li", {}, h("strong", {}, path), h("span", {}, reason)))),
      this.others.length > shown.length && h("p", { class: "hint" }, `and ${this.others.length - shown.length} more`),
    );
  }

  empty() {
    this.files = [];
    this.others = [];
    this.sample = null;
    this.showLeftOut();
    this.showFiles();
    this.changed();
    document.getElementById("files").focus();
  }

  showFiles() {
    const size = this.files.reduce((sum, file) => sum + file.size, 0);
    say(this.summary, this.files.length ? `${counted(this.files.length, "image")}, ${bytes(size)}` : "");
    this.clear.hidden = !this.files.length;
    this.start.disabled = !this.files.length || !this.chain;
    say(this.start, this.files.length ? `Filter ${counted(this.files.length, "image")}` : "Start");
    const shown = this.files.slice(0, THUMBNAILS);
    for (const [file, url] of this.urls) {
      if (!shown.includes(file) && file !== this.sample) {
        URL.revokeObjectURL(url);
        this.urls.delete(file);
      }
    }
    put(this.thumbnails, shown.map((file) => this.thumbnail(file)), this.files.length > THUMBNAILS && h("li", {}, h("button", { type: "button", class: "more", "aria-label": `+${this.files.length - THUMBNAILS}, show all`, onclick: () => this.list.open() }, `+${this.files.length - THUMBNAILS}`)));
    this.list.show(this.files, this.sample);
  }

  thumbnail(file) {
    const button = h(
      "button",
      { type: "button", "aria-label": `Preview ${pathOf(file)}`, "aria-pressed": String(file === this.sample), title: pathOf(file), onclick: () => this.take(file) },
      h("img", { src: this.url(file), alt: "", loading: "lazy", decoding: "async", onerror: (event) => event.target.remove() }),
    );
    return h("li", {}, button);
  }

  take(file) {
    this.sample = file;
    const place = this.files.indexOf(file);
    this.list.mark(file);
    this.thumbnails.querySelectorAll("button").forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
    this.changed();
  }

  url(file) {
    if (!this.urls.has(file)) this.urls.set(file, URL.createObjectURL(file));
    return this.urls.get(file);
  }

  /** What POST /workloads takes. */
  spec() {
    const tags = this.tags.value.split(/[\s,]+/).filter(Boolean);
    return { steps: this.chain.value(), output: this.output.value(), ...(tags.length && { tags }) };
  }

  /** Shows the filters, output and tags of a preset or another workload. */
  use({ steps, output, tags }) {
    this.chain.set(steps);
    this.output.set(output);
    this.tags.value = tags.join(" ");
    if (tags.length) this.tagsField.hidden = false;
    this.changed();
  }

  /** A moment after the last edit, the preview is made anew. */
  changed() {
    clearTimeout(this.timer);
    this.trying.abort();
    this.trying = new AbortController();
    const { signal } = this.trying;
    if (!this.sample || !this.chain) return this.wait();
    this.timer = setTimeout(() => this.look(this.sample, signal), SETTLED_MS);
    return undefined;
  }

  wait() {
    put(this.looked, h("p", { class: "preview-empty" }, "Choose an image, and see here what the filter does to it."));
    say(this.told, "");
  }

  /** The original alone: what is beside it would be of another filter. */
  alone(file, why) {
    put(this.looked, h("img", { src: this.url(file), alt: `${file.name}, original`, onerror: (event) => event.target.remove() }));
    say(this.told, why);
  }

  async look(file, signal) {
    const wrong = [...this.form.elements].find((control) => control.willValidate && !control.validity.valid);
    if (wrong) {
      this.alone(file, `${nameOf(wrong)}: ${wrong.validationMessage}`);
      return;
    }
    const began = performance.now();
    if (!this.looked.querySelector(".compare")) this.alone(file, "");
    this.looked.classList.add("busy");
    say(this.told, "The cluster is filtering this one image…");
    try {
      const result = await preview(file, this.spec(), { signal, waiting: (why) => say(this.told, why) });
      if (this.made) URL.revokeObjectURL(this.made);
      this.made = URL.createObjectURL(result);
      put(this.looked, compare({ before: this.url(file), after: this.made, name: file.name }));
      say(this.told, `${file.name}: ${bytes(file.size)} → ${bytes(result.size)}, done in ${duration((performance.now() - began) / 1000)}.`);
    } catch (error) {
      if (error.name !== "AbortError") this.alone(file, error.message);
    } finally {
      if (!signal.aborted) this.looked.classList.remove("busy");
    }
  }

  async submit(event) {
    event.preventDefault();
    if (!this.form.reportValidity()) return;
    this.trying.abort();
    this.start.disabled = true;
    const key = newKey();
    const name = this.name.value.trim();
    const spec = { ...this.spec(), ...(name && { workload_name: name }) };
    const done = await attempt(async () => {
      const workload = await patiently(() => request("POST", "/workloads", { json: spec, key }));
      workloads.take([workload]);
      new Upload(workload.workload_id, this.files).run();
      location.hash = `#/workloads/${workload.workload_id}`;
    });
    if (!done) this.start.disabled = false;
  }

  close() {
    clearTimeout(this.timer);
    this.trying.abort();
    this.stopDropping();
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
    if (this.made) URL.revokeObjectURL(this.made);
  }
}

/** What a control is called. */
function nameOf(control) {
  return control.labels?.[0]?.textContent || control.getAttribute("aria-label") || "A field";
}

function field(id, label, control) {
  return h("div", { class: "field" }, h("label", { for: id }, label), control);
}
