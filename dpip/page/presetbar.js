// Presets: filters and output that one has put by, to begin with.

import { get, request } from "./api.js";
import { h, put } from "./dom.js";
import { attempt, confirmed, notice } from "./notices.js";

/** A row with the presets; `spec()` is what would be saved, `use(preset)` shows one. */
export class PresetBar {
  constructor({ spec, use }) {
    this.spec = spec;
    this.use = use;
    this.presets = [];
    this.select = h("select", { id: "preset", onchange: () => this.choose() });
    this.remove = h("button", { type: "button", class: "quiet", "aria-label": "Delete this preset", hidden: true, onclick: () => this.delete() }, "Delete");
    this.chosen = h("div", { class: "field", hidden: true }, h("label", { for: "preset" }, "Preset"), h("div", { class: "preset-row" }, this.select, this.remove));
    this.element = h("div", { class: "presets" }, this.chosen);
    this.save = h("button", { type: "button", class: "quiet", onclick: () => this.ask() }, "Save as a preset");
  }

  async load(chosen = "") {
    this.presets = await get("/presets");
    this.chosen.hidden = !this.presets.length;
    put(this.select, h("option", { value: "" }, "none"), this.presets.map(({ preset }) => h("option", { value: preset }, preset)));
    this.select.value = chosen;
    this.remove.hidden = !chosen;
  }

  choose() {
    const preset = this.presets.find((one) => one.preset === this.select.value);
    this.remove.hidden = !preset;
    if (preset) attempt(async () => this.use(preset));
  }

  async delete() {
    const name = this.select.value;
    if (!(await confirmed(`Delete the preset ${name}?`, "Workloads that were made with it stay.", "Delete"))) return;
    await attempt(async () => {
      await request("DELETE", path(name));
      await this.load();
    });
  }

  ask() {
    const name = h("input", { id: "preset-name", required: true, maxlength: 64, autocomplete: "off", autofocus: true, value: this.select.value });
    const submit = async (event) => {
      event.preventDefault();
      if (await attempt(() => this.keep(name.value.trim()))) box.close();
    };
    const box = h(
      "dialog",
      { class: "ask", "aria-labelledby": "preset-title", onclose: () => box.remove() },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id: "preset-title" }, "Save as a preset"),
        h("p", { class: "hint" }, "Filters, result and tags. A preset is yours alone; programs use it as well: ", h("code", {}, '"preset": "web"'), "."),
        h("div", { class: "field" }, h("label", { for: "preset-name" }, "Name"), name),
        h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => box.close() }, "Go back"), h("button", { type: "submit", class: "primary" }, "Save")),
      ),
    );
    document.body.append(box);
    box.showModal();
  }

  async keep(name) {
    try {
      await request("PUT", path(name), { json: this.spec() });
    } catch (error) {
      if (error.status !== 409) throw error;
      if (!(await confirmed(`Replace the preset ${name}?`, "There is one of that name already.", "Replace"))) throw new DOMException("kept", "AbortError");
      await request("PUT", path(name), { json: { ...this.spec(), force: true } });
    }
    notice(`${name} is saved.`);
    await this.load(name);
  }
}

function path(name) {
  return `/presets/${encodeURIComponent(name)}`;
}
