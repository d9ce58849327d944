// The machines that do the work, for admins.

import { get, query, request, sleep } from "./api.js";
import { h, put, say } from "./dom.js";
import { ago, bytes, counted, duration, number } from "./format.js";
import { workers as live } from "./live.js";
import { attempt, confirmed, quietly } from "./notices.js";
import { sparkline } from "./sparkline.js";

const LOOK_SECONDS = 5;
const PAGE = 1000;
const HISTORY_SECONDS = 15;
const HISTORY_MINUTES = 15;
const POINTS = 90;
const EMBEDDED = /-embedded$/; // as the service names the worker in its own process

export function view() {
  const totals = h("p", { class: "lead" });
  const list = h("ul", { class: "workers" });
  const empty = h("div", { class: "empty", hidden: true }, h("h2", {}, "No worker has joined"), h("p", {}, "Start one with ", h("code", {}, "twistd -n dpip-worker --controller host:8787"), "."));
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, "Workers")), totals, empty, list);
  const cards = new Map();
  const stopping = new AbortController();

  async function look() {
    const joined = await all("joined", stopping.signal);
    const workers = [...joined, ...(await get(`/workers${query({ state: "gone" })}`, { signal: stopping.signal }))];
    const sum = (value) => joined.reduce((total, worker) => total + value(worker), 0);
    say(totals, workers.length ? `${counted(joined.length, "worker")} joined, ${sum((w) => w.load?.running_jobs || 0)} of ${sum((w) => w.slots)} slots busy` : "");
    empty.hidden = workers.length > 0;
    for (const worker of workers) {
      if (!cards.has(worker.worker)) cards.set(worker.worker, new Card(worker.worker, stopping.signal));
      cards.get(worker.worker).update(worker);
    }
    const wanted = workers.map(({ worker }) => cards.get(worker).element);
    if (wanted.some((card, place) => list.children[place] !== card) || list.children.length !== wanted.length) put(list, wanted);
  }

  async function follow() {
    for (;;) {
      if (!document.hidden) await quietly(look);
      await sleep(LOOK_SECONDS, stopping.signal);
    }
  }

  live.addEventListener("change", ({ detail }) => cards.get(detail.worker)?.hear(detail), { signal: stopping.signal });
  follow().catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
  return { title: "Workers", element, close: () => stopping.abort() };
}

/** All workers in this state, page by page. */
async function all(state, signal) {
  const found = [];
  for (let after; ; after = found.at(-1).worker) {
    const page = await get(`/workers${query({ state, after, limit: PAGE })}`, { signal });
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

/** Why it is not here. */
function away(worker) {
  if (worker.revoked_at) return `Revoked ${ago(worker.revoked_at)}`;
  if (Date.parse(worker.suspended_until) > Date.now()) return `Kept out until ${new Date(worker.suspended_until).toLocaleTimeString()}`;
  return `Away for ${duration((Date.now() - Date.parse(worker.last_seen)) / 1000)}`;
}

/** What is known of one worker; an `li`, or another element where it stands alone. */
export class Card {
  constructor(name, signal, tag = "li") {
    this.name = name;
    this.signal = signal;
    this.asked = -Infinity;
    this.state = h("span", { class: "status" });
    this.tags = h("span", { class: "tags" });
    this.where = h("p", { class: "hint" });
    this.meters = h("dl", { class: "meters" });
    this.history = h("div", { class: "histories" });
    this.resume = h("button", { type: "button", class: "quiet", hidden: true, "aria-label": `Resume ${name}`, onclick: () => this.again() }, "Resume");
    this.drain = h("button", { type: "button", class: "quiet", "aria-label": `Drain ${name}`, onclick: () => this.send() }, "Drain");
    const heading = tag === "li" ? h("a", { href: `#/workers/${encodeURIComponent(name)}` }, name) : "State";
    this.element = h(tag, { class: "card worker" }, h("div", { class: "line" }, h("h2", { class: "name" }, heading), this.state), this.tags, this.where, this.meters, this.history, h("div", { class: "actions end" }, this.resume, this.drain));
  }

  /** The newest of what changes; the rest is as it was told before. */
  hear({ joined, load }) {
    this.update({ ...this.known, joined, load: load || this.known.load });
  }

  update(worker) {
    this.known = worker;
    const { load, joined } = worker;
    this.element.classList.toggle("away", !joined);
    this.drain.hidden = !joined;
    this.resume.hidden = joined || !EMBEDDED.test(this.name);
    this.state.dataset.status = joined ? "completed" : "scheduling";
    say(this.state, joined ? "Joined" : away(worker));
    put(this.tags, worker.tags.map((tag) => h("span", { class: "chip" }, tag)));
    say(this.where, `${worker.address} · ${number(worker.done)} done${worker.failed ? `, ${number(worker.failed)} failed` : ""}`);
    put(this.meters, joined && load ? meters(worker, load) : null);
    if (joined && performance.now() - this.asked > HISTORY_SECONDS * 1000) quietly(() => this.look());
  }

  async send() {
    const detail = "It gets no more jobs, finishes what it computes, hands back the rest, and ends.";
    if (!(await confirmed(`Drain ${this.name}?`, detail, "Drain"))) return;
    await attempt(() => request("POST", `/workers/${encodeURIComponent(this.name)}/drain`, { json: {} }));
  }

  /** The service's own worker is started by the service; others are started on their machines. */
  async again() {
    await attempt(() => request("POST", `/workers/${encodeURIComponent(this.name)}/resume`, { json: {} }));
  }

  async look() {
    this.asked = performance.now();
    const since = new Date(Date.now() - HISTORY_MINUTES * 60_000).toISOString();
    const samples = await get(`/workers/${encodeURIComponent(this.name)}/history${query({ since })}`, { signal: this.signal });
    if (samples.length < 3) return;
    const thinned = thin(samples, POINTS);
    const cpu = thinned.map((sample) => sample.cpu_percent);
    const memory = thinned.map((sample) => 1 - sample.memory_available / sample.memory_total);
    const minutes = Math.max(1, Math.round((Date.parse(samples.at(-1).at) - Date.parse(samples[0].at)) / 60_000));
    put(
      this.history,
      h("figure", {}, sparkline(cpu, `CPU over the last ${minutes} min, at most ${Math.round(Math.max(...cpu))} %`, 100), h("figcaption", {}, `CPU, last ${minutes} min`)),
      h("figure", {}, sparkline(memory, `Memory over the last ${minutes} min`, 1), h("figcaption", {}, `Memory, last ${minutes} min`)),
    );
  }
}

function meters(worker, load) {
  const used = load.memory_total - load.memory_available;
  return [
    meter("Slots", worker.slots ? load.running_jobs / worker.slots : 0, `${load.running_jobs} of ${worker.slots}`),
    meter("CPU", load.cpu_percent / 100, `${Math.round(load.cpu_percent)} %`),
    meter("Memory", load.memory_total ? used / load.memory_total : 0, `${bytes(used)} of ${bytes(load.memory_total)}`),
    load.gpus.map((gpu) => meter(gpu.name, gpu.load_percent / 100, `${Math.round(gpu.load_percent)} %, ${bytes(gpu.memory_used)}`)),
  ];
}

function meter(label, share, words) {
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
  bar.style.setProperty("--share", `${Math.min(100, 100 * share)}%`);
  return h("div", {}, h("dt", {}, label), h("dd", {}, words), bar);
}

/** Means of so many stretches. */
function thin(samples, points) {
  if (samples.length <= points) return samples;
  const size = samples.length / points;
  return Array.from({ length: points }, (_, place) => {
    const some = samples.slice(Math.floor(place * size), Math.floor((place + 1) * size));
    const mean = (key) => some.reduce((sum, sample) => sum + sample[key], 0) / some.length;
    return Object.fromEntries(["cpu_percent", "memory_available", "memory_total"].map((key) => [key, mean(key)]));
  });
}
