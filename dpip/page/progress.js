// How far a workload is: a bar of what is done, failed and being done, and the same in words.

import { h, say } from "./dom.js";
import { counted, duration, number, rate } from "./format.js";
import { uploads } from "./upload.js";
import { workloads } from "./workloads.js";

/** A bar that `update(workload)` moves. */
export class ProgressBar {
  constructor(label) {
    this.parts = ["done", "failed", "running"].map((kind) => h("span", { class: kind }));
    this.element = h(
      "div",
      { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
      this.parts,
    );
  }

  update(workload) {
    const total = expected(workload);
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

/** How many images there will be: those of an upload under way in this page are counted before they have come. */
export function expected({ workload_id, accepted }) {
  const upload = uploads.get(workload_id);
  return upload?.active ? Math.max(accepted, upload.total - upload.refused.length) : accepted;
}

/** `24/s, about 40 s left`, or how long it took; empty when nobody can tell. */
export function speed(workload) {
  const total = expected(workload);
  if (workload.status === "completed" && total === workload.accepted) return took(workload);
  const perSecond = workloads.rate(workload.workload_id);
  const left = timeLeft(workload, total, perSecond);
  const parts = [
    workload.status === "running" && perSecond ? rate(perSecond) : null,
    left ? `about ${duration(left)} left` : null,
  ];
  return parts.filter(Boolean).join(", ");
}

/** The server's word for what it has; at the pace of late for what it does not know of yet. */
function timeLeft({ accepted, filtered, failed, eta_seconds }, total, perSecond) {
  if (total === accepted) return eta_seconds;
  return perSecond ? (total - filtered - failed) / perSecond : null;
}

function took({ took_seconds: seconds, accepted }) {
  if (seconds === null || seconds === undefined || !accepted) return "";
  return accepted > 1 && seconds > 0 ? `took ${duration(seconds)}, ${rate(accepted / seconds)}` : `took ${duration(seconds)}`;
}
