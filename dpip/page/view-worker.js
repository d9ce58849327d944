// One worker, for admins: what it does now, what waits there, how it has fared.

import { get, query, request, sleep } from "./api.js";
import { h, put, say } from "./dom.js";
import { ago, counted, moment, number, rate } from "./format.js";
import { attempt, confirmed, quietly } from "./notices.js";
import { Pace } from "./pace.js";
import { facts } from "./view-activity.js";
import { Card } from "./view-workers.js";

const LOOK_SECONDS = 2;
const HISTORY_EVERY = 5; // looks
const EVENTS = 30;
const QUEUE = 20;

export function view(_session, encoded) {
  const shown = new Shown(decodeURIComponent(encoded));
  return { title: shown.name, element: shown.element, close: () => shown.stopping.abort() };
}

class Shown {
  constructor(name) {
    this.name = name;
    this.stopping = new AbortController();
    this.pace = new Pace();
    this.card = new Card(name, this.stopping.signal, "div");
    this.speed = h("p", { class: "hint", role: "status" });
    this.now = h("ul", { class: "jobs" });
    this.waiting = h("ul", { class: "jobs" });
    this.waitingTitle = h("h2", {}, "Its queue");
    this.events = h("ul", { class: "events" });
    this.forget = h("button", { type: "button", class: "danger quiet", hidden: true, onclick: () => this.remove() }, "Forget it");
    this.parts = h(
      "div",
      { class: "worker-parts" },
      this.card.element,
      h("section", { class: "card", "aria-labelledby": "now-title" }, h("h2", { id: "now-title" }, "What it does now"), this.now, this.speed),
      h("section", { class: "card" }, this.waitingTitle, this.waiting),
      h("section", { class: "card", "aria-labelledby": "events-title" }, h("h2", { id: "events-title" }, "History"), this.events),
    );
    this.element = h(
      "section",
      { class: "page" },
      h("p", { class: "crumb" }, h("a", { href: "#/workers" }, "Workers")),
      h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, name), this.forget),
      this.parts,
    );
    this.follow().catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }

  async follow() {
    for (let looks = 0; ; looks += 1) {
      if (!document.hidden) await quietly(() => this.look(looks % HISTORY_EVERY === 0));
      await sleep(LOOK_SECONDS, this.stopping.signal);
    }
  }

  async look(withHistory) {
    const { signal } = this.stopping;
    const path = `/workers/${encodeURIComponent(this.name)}`;
    const [worker, jobs] = await Promise.all([this.known(), get(`${path}/jobs`, { signal })]);
    if (!worker) {
      put(this.parts, h("div", { class: "empty" }, h("h2", {}, "There is no such worker"), h("p", {}, "It never joined, or it has been forgotten.")));
      this.forget.hidden = true;
      return;
    }
    this.card.update(worker);
    this.forget.hidden = worker.joined;
    this.showJobs(worker, jobs);
    if (withHistory) {
      const entries = await get(`/activity${query({ subject: this.name, limit: EVENTS })}`, { signal });
      put(this.events, entries.length ? entries.map(event) : h("li", { class: "hint" }, "Nothing is recorded."));
    }
  }

  /** Its record: lists begin behind a name. */
  async known() {
    const before = this.name.slice(0, -1);
    const found = await get(`/workers${query({ after: before || null, limit: 1000 })}`, { signal: this.stopping.signal });
    return found.find(({ worker }) => worker === this.name);
  }

  showJobs({ joined, done, failed }, jobs) {
    const now = performance.now() / 1000;
    this.pace.add(now, done + failed);
    const perSecond = this.pace.perSecond(now);
    say(this.speed, perSecond ? `${rate(perSecond)} of late, ${number(done)} done since it is known` : `${number(done)} done since it is known`);
    const computing = jobs.filter((one) => one.computing);
    const waiting = jobs.filter((one) => !one.computing);
    put(this.now, computing.length ? computing.map(job) : h("li", { class: "hint" }, joined ? "Nothing." : "It is not here."));
    say(this.waitingTitle, waiting.length ? `Its queue: ${counted(waiting.length, "image")}` : "Its queue");
    put(this.waiting, waiting.length ? waiting.slice(0, QUEUE).map(job) : h("li", { class: "hint" }, "Empty."), waiting.length > QUEUE && h("li", { class: "hint" }, `and ${waiting.length - QUEUE} more`));
  }

  async remove() {
    const detail = "Its record goes: counts and load. It may join again, as a new one.";
    if (!(await confirmed(`Forget ${this.name}?`, detail, "Forget"))) return;
    const gone = await attempt(() => request("DELETE", `/workers/${encodeURIComponent(this.name)}`));
    if (gone) location.hash = "#/workers";
  }
}

function job({ workload_id: workload, seq, name, filter }) {
  return h("li", {}, h("a", { href: `#/workloads/${workload}/${seq}` }, name || `Image ${seq + 1}`), h("span", { class: "hint" }, filter));
}

function event({ at, actor, action, detail }) {
  const more = [actor === "dpip" ? "" : `by ${actor}`, facts(detail)].filter(Boolean).join(", ");
  return h("li", {}, h("time", { datetime: at, title: moment(at) }, ago(at)), h("span", {}, h("strong", {}, WORDS[action] || action.replaceAll("-", " ")), more && h("span", { class: "hint" }, ` ${more}`)));
}

const WORDS = { "worker-joined": "joined", "worker-left": "left", "worker-lost": "was lost", "drain-worker": "drained", "resume-worker": "resumed", "revoke-worker": "revoked", "forget-worker": "forgotten" };
