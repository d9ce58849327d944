// One workload: how far it is, what came out, and what did not.

import { get, request } from "./api.js";
import { showCommands } from "./commands.js";
import { h, put, say } from "./dom.js";
import { ago, bytes, counted, moment, rate, steps } from "./format.js";
import { Facts, Gallery } from "./gallery.js";
import { GalleryTools } from "./gallerytools.js";
import { openLightbox } from "./lightbox.js";
import { watch } from "./live.js";
import { attempt, confirmed, quietly } from "./notices.js";
import { counts, expected, ProgressBar, speed, Status } from "./progress.js";
import { sparkline } from "./sparkline.js";
import { uploads } from "./upload.js";
import { UploadPanel } from "./uploadpanel.js";
import { handSpec } from "./view-new.js";
import { summaryPath, workloads } from "./workloads.js";

const STUCK_MS = 3000;

export function view(_session, id, place) {
  const shown = new Shown(id);
  shown.look(place);
  return { title: "Workload", element: shown.element, goes: (other, at) => other === id && shown.look(at), close: () => shown.close() };
}

class Shown {
  constructor(id) {
    this.id = id;
    this.failures = new Map();
    this.failedKnown = 0;
    this.wanted = null; // the image that the address names
    this.quietSince = performance.now();
    this.parts();
    this.facts = new Facts(id, () => this.gallery.draw());
    this.gallery = new Gallery(this.facts, (place) => this.open(place), () => this.tools.marked());
    this.tools = new GalleryTools(id, this.gallery, (places) => this.retry(places.map((place) => this.failures.get(place).image_id)));
    this.results.append(this.tools.element, this.gallery.element);
    this.unwatch = watch(id);
    this.update = this.update.bind(this);
    workloads.addEventListener("change", this.update);
    if (uploads.has(id)) this.panel = new UploadPanel(uploads.get(id), this.upload, () => this.update());
    this.first();
  }

  parts() {
    this.name = h("h1", { tabindex: -1 }, "Workload");
    this.status = new Status();
    this.steps = h("p", { class: "lead" });
    this.bar = new ProgressBar("Done");
    this.counts = h("strong");
    this.speed = h("span");
    this.told = h("p", { class: "visually-hidden", role: "status" });
    this.why = h("p", { class: "hint", role: "status" });
    this.pace = h("div", { class: "pace", hidden: true });
    this.more = h("p", { class: "hint" });
    this.actions = h("div", { class: "actions" }, this.actionButtons());
    this.upload = h("div");
    this.failed = h("section", { class: "card failures", hidden: true, "aria-labelledby": "failures-title" });
    this.results = h("section", { class: "results", "aria-label": "Results" });
    this.element = h(
      "section",
      { class: "page" },
      h("p", { class: "crumb" }, h("a", { href: "#/" }, "Workloads")),
      h("div", { class: "page-head" }, h("div", { class: "titles" }, h("div", { class: "line" }, this.name, this.status.element), this.steps), this.actions),
      h("div", { class: "card state" }, this.bar.element, h("div", { class: "line" }, h("span", {}, this.counts), this.speed), this.why, this.pace, this.more, this.told),
      this.upload,
      this.failed,
      this.results,
    );
  }

  actionButtons() {
    this.cancel = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.stop() }, "Cancel");
    this.archive = h("a", { class: "button", href: `/workloads/${this.id}/archive`, download: true, hidden: true }, "Download all");
    const again = h("button", { type: "button", class: "quiet", onclick: () => this.sameAgain() }, "Same again");
    const copy = h("button", { type: "button", class: "quiet", onclick: () => showCommands(this.last) }, "Copy as curl or dpip");
    return [this.archive, this.cancel, again, copy, h("button", { type: "button", class: "danger quiet", onclick: () => this.remove() }, "Delete")];
  }

  /** Before the next look at all: this one may be old. */
  async first() {
    const asked = performance.now();
    try {
      workloads.take([await get(summaryPath(this.id))], { asked });
    } catch (error) {
      if (error.status === 404) this.gone();
    }
  }

  gone() {
    const words = h("div", { class: "empty" }, h("h1", { tabindex: -1 }, "There is no such workload"), h("p", {}, "It was deleted, or it is not yours."), h("a", { class: "button", href: "#/" }, "All workloads"));
    put(this.element, words);
  }

  update() {
    const workload = workloads.get(this.id);
    if (!workload) {
      if (this.last) this.gone();
      return;
    }
    const total = expected(workload);
    say(this.name, workload.workload_name);
    document.title = `${this.percent(workload, total)}${workload.workload_name} · DPIP`;
    say(this.steps, steps(workload.steps));
    this.status.update(workload);
    this.bar.update(workload);
    say(this.counts, counts(workload));
    say(this.speed, speed(workload));
    say(this.more, `${bytes(workload.size)} · by ${workload.owner} · made ${ago(workload.created_at)}`);
    this.more.title = moment(workload.created_at);
    this.announce(workload, total);
    this.showPace();
    this.facts.update(workload.accepted, workload.filtered + workload.failed);
    this.gallery.update(workload.accepted, this.failures);
    this.tools.update(workload);
    if (workload.failed !== this.failedKnown) this.loadFailures(workload.failed);
    this.explain(workload);
    this.archive.hidden = !workload.filtered;
    say(this.archive, workload.status === "completed" ? "Download all" : "Download what is done");
    this.cancel.hidden = workload.status !== "running";
    const first = !this.last;
    this.last = workload;
    if (first && this.wanted !== null) this.showImage(this.wanted);
  }

  /** For the tab, while another one is looked at. */
  percent({ status, filtered, failed }, total) {
    return status === "running" ? `${Math.floor((100 * (filtered + failed)) / total)} % · ` : "";
  }

  /** In words for who does not see the bar: at each quarter, and at the end. */
  announce(workload, total) {
    if (!total) return;
    const quarter = Math.floor((4 * (workload.filtered + workload.failed)) / total);
    if (this.quarter !== undefined && quarter !== this.quarter) {
      say(this.told, quarter === 4 ? `Completed: ${counts(workload)}.` : `${quarter * 25} % done.`);
    }
    this.quarter = quarter;
  }

  showPace() {
    const series = workloads.paces.get(this.id)?.series() || [];
    const any = series.length > 2 && series.some((value) => value > 0);
    this.pace.hidden = !any;
    if (!any) return;
    const top = rate(Math.max(...series));
    put(this.pace, sparkline(series, `Images per second since the page was opened, peak ${top}`), h("span", {}, `peak ${top}`));
  }

  async loadFailures(count) {
    this.failedKnown = count;
    await quietly(async () => {
      const { failed_images } = await get(`/workloads/${this.id}?fields=failed_images`);
      this.failures = new Map(failed_images.map((failure) => [failure.seq, failure]));
      this.showFailures(failed_images);
      this.gallery.update(this.gallery.accepted, this.failures);
      this.tools.marked();
    });
  }

  showFailures(failed) {
    this.failed.hidden = !failed.length;
    if (!failed.length) return;
    const rows = failed.slice(0, 200).map(({ seq, name, reason, image_id }) =>
      h(
        "li",
        {},
        h("button", { type: "button", class: "link", onclick: () => this.open(seq) }, name || `Image ${seq + 1}`),
        h("span", {}, reason),
        failed.length > 1 && h("button", { type: "button", class: "quiet", "aria-label": `Try again: ${name || `Image ${seq + 1}`}`, onclick: () => this.retry([image_id]) }, "Try again"),
      ),
    );
    put(
      this.failed,
      h("div", { class: "label-row" }, h("h2", { id: "failures-title" }, `${counted(failed.length, "image")} failed`), h("button", { type: "button", onclick: () => this.retry() }, failed.length === 1 ? "Try again" : "Try all again")),
      h("ul", { class: "reasons" }, rows),
      failed.length > rows.length && h("p", { class: "hint" }, `and ${failed.length - rows.length} more`),
    );
  }

  /** The failed images once more: all of them, or these. */
  retry(images) {
    return attempt(async () => {
      const asked = performance.now();
      const workload = await request("POST", `/workloads/${this.id}/retry`, { json: images ? { images } : {} });
      this.facts.forget();
      workloads.take([workload], { asked });
    });
  }

  /** When nothing happens for a while though there is work, the scheduler is asked why. */
  async explain(workload) {
    const idle = workload.status === "running" && workload.running_jobs === 0;
    const moved = this.last && workload.filtered + workload.failed !== this.last.filtered + this.last.failed;
    if (!idle || moved) this.quietSince = performance.now();
    if (!idle) say(this.why, "");
    if (!idle || performance.now() - this.quietSince < STUCK_MS) return;
    this.quietSince = performance.now();
    await quietly(async () => {
      const { waiting } = await get(`/workloads/${this.id}/why`);
      say(this.why, waiting.length ? `Waiting: ${waiting[0].why}.` : "");
    });
  }

  /** The address names an image: so Back closes it, and the link of one can be sent to somebody. */
  open(seq) {
    this.opened = true;
    location.hash = `#/workloads/${this.id}/${seq}`;
  }

  /** Shows the image that the address names, or (without) none. True: this is the place for it. */
  look(place) {
    this.wanted = place === undefined ? null : Number(place);
    if (this.wanted === null) this.lightbox?.close();
    else if (this.lightbox) this.lightbox.turn(this.wanted);
    else if (this.last) this.showImage(this.wanted);
    return true;
  }

  showImage(seq) {
    this.lightbox = openLightbox(this.id, seq, {
      about: (at) => ({ ...this.gallery.beside(at), failure: this.failures.get(at) }),
      moved: (at) => history.replaceState(null, "", `#/workloads/${this.id}/${at}`),
      closed: (at) => {
        this.lightbox = null;
        this.leaveImage();
        this.gallery.focus(at);
      },
    });
  }

  /** Closed by itself: the address follows. One that was opened here is behind the present one. */
  leaveImage() {
    const own = `#/workloads/${this.id}`;
    if (!location.hash.startsWith(`${own}/`)) return;
    if (this.opened) history.back();
    else location.replace(own);
    this.opened = false;
  }

  /** A new workload of the same filters, result and tags. */
  sameAgain() {
    handSpec(this.last);
    location.hash = "#/new";
  }

  async stop() {
    const detail = "What is done stays. What is not is recorded as failed, and can be tried again.";
    if (!(await confirmed("Cancel the rest?", detail, "Cancel the rest"))) return;
    await attempt(async () => {
      const asked = performance.now();
      uploads.get(this.id)?.stop();
      workloads.take([await request("POST", `/workloads/${this.id}/cancel`, { json: {} })], { asked });
    });
  }

  async remove() {
    const name = workloads.get(this.id)?.workload_name || "this workload";
    if (!(await confirmed(`Delete ${name}?`, "Its images and their results go too. This cannot be undone.", "Delete"))) return;
    await attempt(async () => {
      uploads.get(this.id)?.stop();
      await request("DELETE", `/workloads/${this.id}`);
      workloads.removeEventListener("change", this.update);
      workloads.drop(this.id);
      location.hash = "#/";
    });
  }

  close() {
    this.lightbox?.close();
    workloads.removeEventListener("change", this.update);
    this.unwatch();
    this.panel?.close();
    this.gallery.close();
    this.tools.close();
    this.facts.close();
  }
}
