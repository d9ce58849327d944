// A form for what comes back, made from what GET /output says of it.

import { h } from "./dom.js";
import { parameterField } from "./filterform.js";

const LABELS = { format: "File format", raw: "Raw photographs", colour: "Colour space" };
const KILOBYTE = 1000;

/** Fields for all options. `value()` has those that are not as they are by default. */
export class OutputForm {
  constructor(options, changed) {
    this.fields = options.map((option) => (option.name === "max_bytes" ? inKilobytes(option, changed) : described(option, changed)));
    this.element = h("div", { class: "pair output" }, this.fields.map(({ element }) => element));
  }

  value() {
    const given = this.fields.map((field) => [field.name, field.value(), field.preset]);
    return Object.fromEntries(given.filter(([, value, preset]) => value !== null && value !== preset).map(([name, value]) => [name, value]));
  }

  set(output) {
    for (const field of this.fields) field.set(output[field.name] ?? field.preset);
  }
}

function described(option, changed) {
  return { ...parameterField({ ...option, label: LABELS[option.name] }, changed), preset: option.default };
}

function inKilobytes({ minimum, maximum, ...option }, changed) {
  const field = parameterField({ ...option, minimum: minimum / KILOBYTE, type: "float", label: "Largest file, in KB", description: option.description.replace(/^Bytes that the file may have at most/, "What the file may have at most") }, changed);
  return {
    ...field,
    preset: null,
    value: () => (field.value() === null ? null : Math.round(field.value() * KILOBYTE)),
    set: (bytes) => field.set(bytes === null ? null : bytes / KILOBYTE),
  };
}
