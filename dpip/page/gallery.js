// The images of a workload as they come. However many there are, only what is near the window is on the page.

import { get, query } from "./api.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { quietly } from "./notices.js";
import { showThumbnail } from "./thumbnails.js";

const PAGE = 60; // images whose facts are asked for at once
const GAP = 12;
const SMALLEST = 132; // pixels of a cell's width
const CAPTION = 34;
const MARGIN_ROWS = 2;
const AGAIN_MS = 700;

/** The facts of images, in pages, asked for when somebody looks: places that have no result yet, again and again. */
export class Facts {
  constructor(workloadId, changed) {
    this.workloadId = workloadId;
    this.changed = changed;
    this.images = new Map(); // by place
    this.pages = new Map();
    this.asked = new Map(); // of single places: how many images had ended when they were asked for
    this.loading = false;
    this.ended = -1;
    this.stopping = new AbortController();
  }

  /** `{original, result}` of one place, as far as they are known. */
  at(place) {
    return this.images.get(place) || {};
  }

  /** So many have ended: pages that lack some may be out of date. */
  update(accepted, ended) {
    this.accepted = accepted;
    this.ended = ended;
  }

  /** These places are looked at. */
  want(first, last) {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) this.load(page);
  }

  /** These places, which do not follow each other, are looked at. */
  async wantThese(places) {
    const { ended } = this;
    const missing = places.filter((place) => !this.at(place).result && this.asked.get(place) !== ended).slice(0, PAGE);
    if (!missing.length || this.loading) return;
    this.loading = true;
    await quietly(async () => {
      const path = (type) => `/images${query({ workload_id: this.workloadId, type, seqs: missing })}`;
      const [originals, results] = await Promise.all(["original", "filtered"].map((type) => get(path(type), { signal: this.stopping.signal })));
      this.note(originals, results);
    });
    for (const place of missing) this.asked.set(place, ended);
    this.loading = false;
    this.changed();
  }

  note(originals, results) {
    for (const image of originals) this.images.set(image.seq, { ...this.images.get(image.seq), original: image });
    for (const image of results) this.images.set(image.seq, { ...this.images.get(image.seq), result: image });
  }

  async load(number) {
    const page = this.pages.get(number) || { ended: -1, accepted: -1, busy: false, at: 0 };
    this.pages.set(number, page);
    const { accepted, ended } = this;
    const current = page.complete || (page.ended === ended && page.accepted === accepted);
    if (current || page.busy || performance.now() - page.at < AGAIN_MS) return;
    page.busy = true;
    await quietly(async () => {
      const [originals, results] = await Promise.all([this.list("original", number), this.list("filtered", number)]);
      this.note(originals, results);
      Object.assign(page, { ended, accepted, complete: results.length === PAGE });
      this.changed();
    });
    Object.assign(page, { busy: false, at: performance.now() });
  }

  async list(type, number) {
    const first = number * PAGE;
    const path = `/images${query({ workload_id: this.workloadId, type, after: first - 1, limit: PAGE })}`;
    const images = await get(path, { signal: this.stopping.signal });
    return images.filter(({ seq }) => seq < first + PAGE);
  }

  /** Ask for all of it anew: what had failed may be under way again. */
  forget() {
    this.images.clear();
    this.pages.clear();
    this.asked.clear();
  }

  close() {
    this.stopping.abort();
  }
}

/**
 * A grid of cells, one for each image, or for those of an `order`; `open(place)` when one is chosen. While one selects,
 * it is marked instead, and `selected` has the places; `marked()` hears of it.
 */
export class Gallery {
  constructor(facts, open, marked) {
    this.facts = facts;
    this.open = open;
    this.marked = marked;
    this.accepted = 0;
    this.order = null; // the places that are shown, in this order; null is all as they came
    this.positions = new Map(); // of the places in that order
    this.selecting = false;
    this.selected = new Set();
    this.failures = new Map();
    this.cells = new Map(); // by place
    this.active = 0; // the place of the cell that the Tab key reaches
    this.element = h("ul", { class: "gallery", "aria-label": "Images", onkeydown: (event) => this.key(event), onclick: (event) => this.click(event) });
    this.drawing = 0;
    this.draw = () => {
      this.drawing ||= requestAnimationFrame(() => {
        this.drawing = 0;
        this.layout();
      });
    };
    addEventListener("scroll", this.draw, { passive: true });
    this.watch = new ResizeObserver(this.draw);
    this.watch.observe(this.element);
  }

  get count() {
    return this.order ? this.order.length : this.accepted;
  }

  /** `failures` by place. */
  update(accepted, failures) {
    this.accepted = accepted;
    this.failures = failures;
    this.draw();
  }

  /** Shows these places, in this order; with null all. */
  arrange(order) {
    this.order = order;
    this.positions = new Map((order || []).map((place, position) => [place, position]));
    if (this.position(this.active) < 0) this.active = this.at(0) ?? 0;
    this.draw();
  }

  /** The place at a position, undefined behind the last. */
  at(position) {
    return this.order ? this.order[position] : position < this.count ? position : undefined;
  }

  /** Where a place is, -1 when it is not shown. */
  position(place) {
    if (this.order) return this.positions.get(place) ?? -1;
    return place < this.count ? place : -1;
  }

  select(on) {
    this.selecting = on;
    this.selected.clear();
    this.draw();
    this.marked();
  }

  /** All that are shown, or none of them. */
  selectAll() {
    const all = Array.from({ length: this.count }, (_, position) => this.at(position));
    this.selected = new Set(this.selected.size === all.length ? [] : all);
    this.draw();
    this.marked();
  }

  /** Of the image at this place: where it is among those shown, and which are beside it. */
  beside(place) {
    const position = this.position(place);
    const known = position >= 0;
    return { position, count: this.count, previous: known && position > 0 ? this.at(position - 1) : undefined, next: known ? this.at(position + 1) : undefined };
  }

  layout() {
    const width = this.element.clientWidth;
    if (!width) return;
    const columns = Math.max(2, Math.floor((width + GAP) / (SMALLEST + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    const row = side * 0.75 + CAPTION + GAP;
    const rows = Math.ceil(this.count / columns);
    this.columns = columns;
    this.element.style.height = `${Math.max(0, rows * row - GAP)}px`;
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / row) - MARGIN_ROWS) * columns;
    const last = Math.min(this.count, (Math.ceil((top + innerHeight) / row) + MARGIN_ROWS) * columns) - 1;
    this.keep(first, last);
    this.element.classList.toggle("selecting", this.selecting);
    for (const [place, cell] of this.cells) {
      const position = this.position(place);
      cell.put((position % columns) * (side + GAP), Math.floor(position / columns) * row, side, row - GAP);
      cell.update(this.facts.at(place), this.failures.get(place), position, this.count);
      cell.mark(this.selecting ? this.selected.has(place) : null);
    }
    if (last < first) return;
    if (this.order) this.facts.wantThese(this.order.slice(first, last + 1));
    else this.facts.want(first, last);
  }

  /** Cells of these places, and of the one that has the focus, and no others; in order, for who reads them. */
  keep(first, last) {
    const wanted = new Set([this.active].filter((place) => this.position(place) >= 0));
    for (let position = first; position <= last; position += 1) wanted.add(this.at(position));
    for (const [place, cell] of this.cells) {
      if (!wanted.has(place)) {
        cell.close();
        this.cells.delete(place);
      }
    }
    let before = null;
    for (const place of [...wanted].sort((one, other) => this.position(other) - this.position(one))) {
      if (!this.cells.has(place)) this.cells.set(place, new Cell(place));
      const cell = this.cells.get(place);
      // To move an element takes the focus from it.
      if (!cell.element.parentNode || cell.element.nextElementSibling !== before) this.element.insertBefore(cell.element, before);
      cell.reachable(place === this.active);
      before = cell.element;
    }
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const place = Number(button.dataset.place);
    if (this.selecting) this.toggle(place, event.shiftKey);
    this.active = place;
    this.draw();
    if (!this.selecting) this.open(place);
  }

  /** With Shift all from the last one to this. */
  toggle(place, further) {
    const [from, to] = [this.position(this.active), this.position(place)].sort((one, other) => one - other);
    if (further && from >= 0) for (let position = from; position <= to; position += 1) this.selected.add(this.at(position));
    else if (!this.selected.delete(place)) this.selected.add(place);
    this.marked();
  }

  key(event) {
    const rows = Math.max(1, Math.floor(innerHeight / 180));
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: this.columns,
      ArrowUp: -this.columns,
      PageDown: this.columns * rows,
      PageUp: -this.columns * rows,
      Home: -this.count,
      End: this.count,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const position = Math.min(this.count - 1, Math.max(0, this.position(this.active) + step));
    this.focus(this.at(position));
  }

  focus(place) {
    this.active = place;
    this.layout();
    this.cells.get(place)?.button.focus();
    this.cells.get(place)?.element.scrollIntoView({ block: "nearest" });
  }

  close() {
    removeEventListener("scroll", this.draw);
    cancelAnimationFrame(this.drawing);
    this.watch.disconnect();
    for (const cell of this.cells.values()) cell.close();
  }
}

class Cell {
  constructor(place) {
    this.place = place;
    this.image = null;
    this.gone = new AbortController();
    this.picture = h("span", { class: "picture" });
    this.caption = h("span", { class: "caption" });
    this.button = h("button", { type: "button", class: "cell", "data-place": place }, this.picture, this.caption);
    this.element = h("li", {}, this.button);
  }

  put(left, top, width, height) {
    Object.assign(this.element.style, { transform: `translate(${left}px, ${top}px)`, width: `${width}px`, height: `${height}px` });
  }

  close() {
    this.gone.abort();
    this.element.remove();
  }

  reachable(yes) {
    this.button.tabIndex = yes ? 0 : -1;
  }

  /** `chosen` is null while nobody selects. */
  mark(chosen) {
    if (chosen === null) this.button.removeAttribute("aria-pressed");
    else this.button.setAttribute("aria-pressed", String(chosen));
  }

  update({ original, result }, failure, position, count) {
    this.element.setAttribute("aria-posinset", position + 1);
    const name = original?.name || `Image ${number(this.place + 1)}`;
    const state = result ? "done" : failure ? "failed" : "waiting";
    this.element.setAttribute("aria-setsize", count);
    this.button.dataset.state = state;
    this.button.setAttribute("aria-label", { done: name, failed: `${name}, failed`, waiting: `${name}, not done yet` }[state]);
    this.button.title = failure ? `${name}: ${failure.reason}` : name;
    const last = name.slice(name.lastIndexOf("/") + 1); // the folders are in its title
    if (this.caption.textContent !== last) this.caption.textContent = last;
    if (this.image !== (result?.image_id || null)) this.show(result);
  }

  show(result) {
    this.image = result?.image_id || null;
    if (!result) {
      this.picture.replaceChildren();
      return;
    }
    const image = h("img", { alt: "", decoding: "async" });
    showThumbnail(image, this.image, this.gone.signal);
    this.picture.replaceChildren(image);
  }
}
