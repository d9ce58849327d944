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
    this.pages = new Map();
    this.ended = -1;
    this.stopping = new AbortController();
  }

  /** `{original, result}` of one place, as far as they are known. */
  at(place) {
    return this.pages.get(Math.floor(place / PAGE))?.images.get(place) || {};
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

  async load(number) {
    const page = this.pages.get(number) || { images: new Map(), ended: -1, accepted: -1, busy: false, at: 0 };
    this.pages.set(number, page);
    const { accepted, ended } = this;
    const current = page.complete || (page.ended === ended && page.accepted === accepted);
    if (current || page.busy || performance.now() - page.at < AGAIN_MS) return;
    page.busy = true;
    await quietly(async () => {
      const [originals, results] = await Promise.all([this.list("original", number), this.list("filtered", number)]);
      for (const image of originals) page.images.set(image.seq, { ...page.images.get(image.seq), original: image });
      for (const image of results) page.images.set(image.seq, { ...page.images.get(image.seq), result: image });
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
    this.pages.clear();
  }

  close() {
    this.stopping.abort();
  }
}

/** A grid of `count` cells; `open(place)` when one is chosen. */
export class Gallery {
  constructor(facts, open) {
    this.facts = facts;
    this.open = open;
    this.count = 0;
    this.failures = new Map();
    this.cells = new Map();
    this.active = 0; // the cell that the Tab key reaches
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

  /** `failures` by place. */
  update(count, failures) {
    this.count = count;
    this.failures = failures;
    this.draw();
  }

  /** Of the image at this place: where it is among those shown, and which are beside it. */
  beside(seq) {
    return { position: seq, count: this.count, previous: seq > 0 ? seq - 1 : undefined, next: seq + 1 < this.count ? seq + 1 : undefined };
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
    for (const [place, cell] of this.cells) {
      cell.put((place % columns) * (side + GAP), Math.floor(place / columns) * row, side, row - GAP);
      cell.update(this.facts.at(place), this.failures.get(place), this.count);
    }
    if (last >= first) this.facts.want(first, last);
  }

  /** Cells of these places, and of the one that has the focus, and no others; in order, for who reads them. */
  keep(first, last) {
    const wanted = new Set([this.active].filter((place) => place < this.count));
    for (let place = first; place <= last; place += 1) wanted.add(place);
    for (const [place, cell] of this.cells) {
      if (!wanted.has(place)) {
        cell.close();
        this.cells.delete(place);
      }
    }
    let before = null;
    for (const place of [...wanted].sort((one, other) => other - one)) {
      if (!this.cells.has(place)) {
        this.cells.set(place, new Cell(place));
        this.element.insertBefore(this.cells.get(place).element, before);
      }
      this.cells.get(place).reachable(place === this.active);
      before = this.cells.get(place).element;
    }
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    this.active = Number(button.dataset.place);
    this.draw();
    this.open(this.active);
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
    this.focus(Math.min(this.count - 1, Math.max(0, this.active + step)));
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
    this.element = h("li", { "aria-posinset": place + 1 }, this.button);
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

  update({ original, result }, failure, count) {
    const name = original?.name || `Image ${number(this.place + 1)}`;
    const state = result ? "done" : failure ? "failed" : "waiting";
    this.element.setAttribute("aria-setsize", count);
    this.button.dataset.state = state;
    this.button.setAttribute("aria-label", { done: name, failed: `${name}, failed`, waiting: `${name}, not done yet` }[state]);
    this.button.title = failure ? `${name}: ${failure.reason}` : name;
    if (this.caption.textContent !== name) this.caption.textContent = name;
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
