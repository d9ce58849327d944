// A form for a chain of filters, made from what GET /filters says of them.

import { freshId, h, put } from "./dom.js";
import { words } from "./format.js";

const LONGEST_SLIDER = 500;

/** Fields for one or more filters in a row. `value()` is the chain as the API takes it; `changed` on each edit. */
export class ChainForm {
  constructor(filters, changed) {
    this.filters = filters;
    this.changed = changed;
    this.steps = [];
    this.list = h("ol", { class: "chain" });
    this.more = h("button", { type: "button", class: "quiet", onclick: () => this.add(true) }, "Add another filter");
    this.element = h("div", { class: "chain-form" }, this.list, this.more);
    this.add(false);
  }

  value() {
    return this.steps.map((step) => step.value());
  }

  /** Shows this chain. Throws an Error for a filter that the server does not have. */
  set(chain) {
    const missing = chain.find(({ name }) => !this.filters.some((filter) => filter.name === name));
    if (missing) throw new Error(`The server has no filter ${missing.name}.`);
    for (const step of this.steps.splice(0)) step.element.remove();
    for (const wanted of chain) {
      this.add(false);
      this.steps.at(-1).set(wanted);
    }
  }

  add(focus) {
    const step = new StepForm(this.filters, this.changed, () => this.remove(step));
    this.steps.push(step);
    this.list.append(step.element);
    this.number();
    if (focus) step.select.focus();
    if (focus) this.changed();
  }

  remove(step) {
    this.steps.splice(this.steps.indexOf(step), 1);
    step.element.remove();
    this.number();
    this.steps.at(-1).select.focus();
    this.changed();
  }

  number() {
    this.element.classList.toggle("single", this.steps.length === 1);
    this.steps.forEach((step, place) => step.number(place + 1, this.steps.length));
  }
}

class StepForm {
  constructor(filters, changed, remove) {
    this.filters = filters;
    this.changed = changed;
    const id = freshId("filter");
    this.select = h(
      "select",
      { id, "aria-label": "Filter", onchange: () => this.show() || changed() },
      filters.map((filter) => h("option", { value: filter.name }, words(filter.name))),
    );
    this.label = h("label", { for: id }, "Filter");
    this.drop = h("button", { type: "button", class: "quiet", onclick: remove }, "Remove");
    this.summary = h("p", { class: "hint" });
    this.parameters = h("div", { class: "parameters" });
    this.element = h(
      "li",
      {},
      h("div", { class: "field" }, h("div", { class: "label-row" }, this.label, this.drop), this.select, this.summary),
      this.parameters,
    );
    this.show();
  }

  number(place, count) {
    this.label.textContent = `Filter ${place}`;
    this.select.setAttribute("aria-label", count === 1 ? "Filter" : `Filter ${place}`);
    this.drop.hidden = count === 1;
    this.drop.setAttribute("aria-label", `Remove filter ${place}`);
  }

  show() {
    const filter = this.filters.find(({ name }) => name === this.select.value);
    this.summary.textContent = filter.summary;
    this.fields = filter.parameters.map((parameter) => parameterField(parameter, this.changed));
    put(this.parameters, this.fields.map(({ element }) => element));
  }

  set({ name, ...values }) {
    this.select.value = name;
    this.show();
    for (const field of this.fields) if (field.name in values) field.set(values[field.name]);
  }

  value() {
    const given = this.fields.map(({ name, value }) => [name, value()]).filter(([, value]) => value !== null);
    return { name: this.select.value, ...Object.fromEntries(given) };
  }
}

/** `{name, element, value(), set(value)}` of a parameter; null is the value of what shall stay as the filter has it. */
export function parameterField(parameter, changed) {
  const made = FIELDS[parameter.type](parameter, changed);
  return { name: parameter.name, ...made };
}

const FIELDS = {
  float: numeric,
  integer: numeric,
  boolean: yesOrNo,
  choice: oneOf,
  text: written,
  colour: coloured,
  picture: chosenPicture,
};
const MOST_PICTURE_KB = 16; // as the server has it: it travels with every job

function numeric(parameter, changed) {
  const whole = parameter.type === "integer";
  const words = parameter.choices || [];
  const number = numberInput(parameter, whole, changed);
  if (words.length) {
    const middle = Math.round((parameter.minimum + parameter.maximum) / 2);
    return wordOr("a number", parameter, words, number.input, { first: middle, read: Number, changed });
  }
  return {
    element: labelled(parameter, number.input, number.slider),
    value: () => (number.input.value === "" ? null : Number(number.input.value)),
    set: number.set,
  };
}

function numberInput({ default: preset, minimum, maximum }, whole, changed) {
  const span = maximum - minimum;
  const step = whole ? 1 : "any";
  const input = h("input", {
    type: "number",
    min: minimum,
    max: maximum,
    step,
    value: typeof preset === "number" ? preset : null,
    placeholder: preset === null ? "not set" : null,
    required: preset !== null,
    inputmode: whole ? "numeric" : "decimal",
  });
  const bounded = Number.isFinite(span) && span <= LONGEST_SLIDER && typeof preset === "number";
  const slider = bounded && h("input", {
    type: "range",
    min: minimum,
    max: maximum,
    step: whole ? 1 : sliderStep(span),
    value: preset,
    tabindex: -1, // the number beside it is the one for keys
    "aria-hidden": "true",
  });
  input.addEventListener("input", () => {
    if (slider) slider.value = input.value;
    changed();
  });
  if (slider) {
    slider.addEventListener("input", () => {
      input.value = slider.value;
      changed();
    });
  }
  const set = (value) => {
    input.value = value ?? "";
    if (slider) slider.value = input.value;
  };
  return { input, slider, set };
}

function sliderStep(span) {
  return 10 ** Math.floor(Math.log10(span / 100));
}

/** `otsu`, or a number: a list with the words and *a number*, or *a colour*. */
function wordOr(other, parameter, choices, input, { first, read, changed }) {
  const chosen = () => {
    input.hidden = input.disabled = select.value !== "";
    if (!input.hidden && input.value === "") input.value = first;
  };
  const select = h(
    "select",
    {
      onchange: () => {
        chosen();
        changed();
      },
    },
    choices.map((word) => h("option", { value: word }, words(word))),
    h("option", { value: "" }, other),
  );
  select.value = choices.includes(parameter.default) ? parameter.default : "";
  input.hidden = input.disabled = select.value !== "";
  input.setAttribute("aria-label", `${words(parameter.name)}, ${other.replace("a ", "the ")}`);
  return {
    element: labelled(parameter, select, input),
    value: () => select.value || read(input.value),
    set(value) {
      const word = choices.includes(value);
      select.value = word ? value : "";
      if (!word) input.value = value;
      chosen();
    },
  };
}

function written(parameter, changed) {
  const input = h("input", { type: "text", maxlength: parameter.maximum, value: parameter.default, oninput: changed });
  return { element: labelled(parameter, input), value: () => input.value.trim() || null, set: (text) => void (input.value = text ?? "") };
}

function coloured(parameter, changed) {
  const fixed = (parameter.default || "").startsWith("#") ? parameter.default : "#808080";
  const input = h("input", { type: "color", value: fixed, oninput: changed });
  if (!parameter.choices) return { element: labelled(parameter, input), value: () => input.value, set: (colour) => void (input.value = colour) };
  return wordOr("a colour", parameter, parameter.choices, input, { first: fixed, read: String, changed });
}

/** A small file, which goes into the workload as text. */
function chosenPicture(parameter, changed) {
  let text = null;
  const input = h("input", { type: "file", accept: "image/*", onchange: () => read(input.files[0]) });
  async function read(file) {
    const large = file && file.size > MOST_PICTURE_KB * 1024;
    input.setCustomValidity(large ? `At most ${MOST_PICTURE_KB} KB: this file has ${Math.ceil(file.size / 1024)}.` : "");
    if (large) input.reportValidity();
    text = file && !large ? await dataUrl(file) : null;
    kept.textContent = "";
    changed();
  }
  const kept = h("span", { class: "hint" });
  const set = (value) => {
    text = value;
    kept.textContent = value ? "The picture of before, unless you choose another." : "";
  };
  return { element: labelled(parameter, input, kept), value: () => text, set };
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

function yesOrNo(parameter, changed) {
  const id = freshId("parameter");
  const box = h("input", { type: "checkbox", id, checked: parameter.default === true, onchange: changed });
  return {
    element: h("div", { class: "field check" }, box, h("label", { for: id }, words(parameter.name)), hint(parameter)),
    value: () => box.checked,
    set: (yes) => void (box.checked = yes === true),
  };
}

function oneOf(parameter, changed) {
  const select = h(
    "select",
    { onchange: changed },
    parameter.default === null && h("option", { value: "" }, "as the original"),
    parameter.choices.map((word) => h("option", { value: word }, words(word))),
  );
  select.value = parameter.default ?? "";
  return { element: labelled(parameter, select), value: () => select.value || null, set: (word) => void (select.value = word ?? "") };
}

function labelled(parameter, control, beside) {
  control.id = freshId("parameter");
  const told = hint(parameter);
  told.id = `${control.id}-hint`;
  control.setAttribute("aria-describedby", told.id);
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, parameter.label || words(parameter.name)),
    h("div", { class: "controls" }, control, beside),
    told,
  );
}

function hint({ description, minimum, maximum }) {
  const range = minimum !== undefined && maximum !== undefined ? ` ${minimum} to ${maximum}.` : "";
  return h("p", { class: "hint" }, description + range);
}
