// What is known of workloads, newest word first; whoever shows them listens for `change`.

import { Pace } from "./pace.js";

const FIELDS = [
  "workload_id", "workload_name", "owner", "filter", "steps", "output", "tags", "status",
  "accepted", "filtered", "failed", "noticed", "running_jobs", "waiting", "size",
  "eta_seconds", "eta_range", "created_at", "finished_at", "took_seconds",
];

/** The address of one workload without its lists, which may be long. */
export const summaryPath = (id) => `/workloads/${id}?fields=${FIELDS}`;

const previews = new Set();

class Workloads extends EventTarget {
  constructor() {
    super();
    this.forget();
  }

  forget() {
    this.known = new Map();
    this.heard = new Map(); // when there was a word of each, the last one that it is gone included
    this.paces = new Map();
    this.all = new Pace();
    this.done = 0; // images that have ended while the page was open
    this.loaded = false;
  }

  /** Newest first. */
  list() {
    const shown = [...this.known.values()].filter(({ workload_id }) => !previews.has(workload_id));
    return shown.sort((one, other) => (one.workload_id < other.workload_id ? 1 : -1));
  }

  get(id) {
    return this.known.get(id);
  }

  /**
   * These are as told by an answer that was `asked` for then (by default: just now): what was heard since is newer
   * than it. With `from` it has told all that are not older than that one: others of those known are gone.
   */
  take(told, { asked = performance.now(), from = null } = {}) {
    const older = (id) => !(this.heard.get(id) > asked);
    const ids = new Set(told.map(({ workload_id }) => workload_id));
    if (from !== null) {
      for (const id of this.known.keys()) if (id >= from && !ids.has(id) && older(id)) this.known.delete(id);
    }
    for (const workload of told) if (older(workload.workload_id)) this.note(workload);
    this.all.add(performance.now() / 1000, this.done);
    this.loaded = true;
    this.tell();
  }

  note(workload) {
    const id = workload.workload_id;
    const ended = workload.filtered + workload.failed;
    const before = this.known.get(id);
    if (before) this.done += Math.max(0, ended - before.filtered - before.failed);
    this.known.set(id, { ...before, ...workload });
    this.heard.set(id, performance.now());
    if (workload.status === "completed" && !this.paces.has(id)) return;
    if (!this.paces.has(id)) this.paces.set(id, new Pace());
    this.paces.get(id).add(performance.now() / 1000, ended);
  }

  drop(id) {
    this.known.delete(id);
    this.paces.delete(id);
    this.heard.set(id, performance.now());
    this.tell();
  }

  /** Images per second of late; null when unknown. */
  rate(id) {
    return this.paces.get(id)?.perSecond(performance.now() / 1000) ?? null;
  }

  /** Once before the next picture is drawn, however much there is to tell. */
  tell() {
    this.telling ||= requestAnimationFrame(() => {
      this.telling = 0;
      this.dispatchEvent(new Event("change"));
    });
  }
}

export const workloads = new Workloads();

/** A workload of a preview comes and goes: nobody wants to see it in a list. */
export function hide(id) {
  previews.add(id);
}
