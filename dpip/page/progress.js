// How far a workload is: a bar of what is done, failed and being done, and the same in words.

import { h, say } from "./dom.js";
import { counted, duration, number, rate } from "./format.js";
import { workloads } from "./workloads.js";

/** A bar that `update(workload, total)` moves; `total` counts what is still to be uploaded, too. */
export class ProgressBar {
  constructor(label) {
    this.parts = ["done", "failed", "running"].map((kind) => h("span", { class: kind }));
    this.element = h(
      "div",
      { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
      this.parts,
    );
  }

  update(workload, total = workload.accepted) {
    const counts = [workload.filtered, workload.failed, workload.running_jobs];
    const share = (count) => (total ? (100 * count) / total : 0);
    this.parts.forEach((part, place) => part.style.setProperty("--share", `${share(counts[place])}%`));
    const ended = Math.floor(share(workload.filtered + workload.failed));
    this.element.setAttribute("aria-valuenow", ended);
    this.element.setAttribute("aria-valuetext", `${ended} %`);
    this.element.classList.toggle("busy", workload.status === "running");
  }
}

const NAMES = { scheduling: "Empty", running: "Running", completed: "Completed" };

/** A word in a pill. */
export class Status {
  constructor() {
    this.element = h("span", { class: "status" });
  }

  update(workload) {
    const failed = workload.status === "completed" && workload.failed;
    this.element.dataset.status = failed ? "failed" : workload.status;
    say(this.element, NAMES[workload.status] || workload.status);
  }
}

/** `312 of 1,000 done, 3 failed, 2 with notices`. */
export function counts({ accepted, filtered, failed, noticed }) {
  if (!accepted) return "No images yet";
  const done = filtered === accepted ? `${counted(accepted, "image")} done` : `${number(filtered)} of ${number(accepted)} done`;
  const parts = [done, failed && `${number(failed)} failed`, noticed && `${number(noticed)} with notices`];
  return parts.filter(Boolean).join(", ");
}

/** `24/s, about 40 s left`, or how long it took; empty when nobody can tell. */
export function speed(workload) {
  if (workload.status === "completed") return took(workload);
  const perSecond = workloads.rate(workload.workload_id);
  const parts = [
    workload.status === "running" && perSecond ? rate(perSecond) : null,
    workload.eta_seconds ? `about ${duration(workload.eta_seconds)} left` : null,
  ];
  return parts.filter(Boolean).join(", ");
}

function took({ created_at, finished_at, accepted }) {
  const seconds = (Date.parse(finished_at) - Date.parse(created_at)) / 1000;
  if (!finished_at || !accepted) return "";
  return accepted > 1 && seconds > 0 ? `took ${duration(seconds)}, ${rate(accepted / seconds)}` : `took ${duration(seconds)}`;
}
