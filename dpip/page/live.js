// Keeps what is known of workloads up to date, and says whether the server is there.

import { get, query, session, sleep } from "./api.js";
import { say } from "./dom.js";
import { summaryPath, workloads } from "./workloads.js";

/** Hears `change` with a worker's name and load, when an admin looks. */
export const workers = new EventTarget();

const BUSY_SECONDS = 0.7;
const IDLE_SECONDS = 4;
const AWAY_SECONDS = 1.5;
const PAGE = 50;
const TICK_MS = 5000;

const watched = new Map(); // workload id → how many parts of the page look at it
let running = null;
let ticking = null;

/** From now on, until `stop`: by server-sent events, and by asking again and again while there are none. */
export function start() {
  stop();
  running = new AbortController();
  follow(running.signal);
  ticking = setInterval(() => workloads.tell(), TICK_MS); // “3 s ago” grows old
}

export function stop() {
  clearInterval(ticking);
  running?.abort();
  running = null;
  connected(true);
}

/** Looks at this workload, too, however old it is; returns what ends it. */
export function watch(id) {
  watched.set(id, (watched.get(id) || 0) + 1);
  return () => {
    watched.set(id, watched.get(id) - 1);
    if (!watched.get(id)) watched.delete(id);
  };
}

async function follow(signal) {
  try {
    for (;;) {
      await visible(signal);
      await streamed(signal);
      await sleep(await looked(signal), signal);
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

/**
 * Hears what changes for as long as the server tells it. Ends when it does not, or when the page is hidden: a
 * browser has six connections for all its pages of one server, and a stream keeps one.
 */
function streamed(signal) {
  return new Promise((resolve) => {
    const source = new EventSource("/events");
    const listening = new AbortController();
    const end = () => {
      source.close();
      listening.abort();
      resolve();
    };
    const hear = (name, heard) => source.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    hear("workload", (workload) => workloads.take([workload]));
    hear("deleted", ({ workload_id }) => workloads.drop(workload_id));
    hear("worker", (worker) => workers.dispatchEvent(new CustomEvent("change", { detail: worker })));
    source.addEventListener("snapshot", () => {
      // The stream tells what is unfinished: the rest is asked for. Where that fails, the look that follows says why.
      look(listening.signal).then(() => connected(true), end);
    });
    source.onerror = end;
    document.addEventListener("visibilitychange", end, { once: true, signal: listening.signal });
    signal.addEventListener("abort", end, { once: true });
  });
}

/** Looks once; the seconds until the next time. */
async function looked(signal) {
  try {
    await look(signal);
    connected(true);
    return workloads.list().some(({ status }) => status === "running") ? BUSY_SECONDS : IDLE_SECONDS;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.status === 401) throw new DOMException("nobody is logged in", "AbortError"); // the page knows
    connected(false);
    return error.retryAfter || AWAY_SECONDS;
  }
}

async function look(signal) {
  const asked = performance.now();
  const page = await get(`/workloads${query({ limit: PAGE })}`, { signal });
  const ids = new Set(page.map(({ workload_id }) => workload_id));
  const others = [...watched.keys()].filter((id) => !ids.has(id));
  const more = await Promise.all(others.map((id) => one(id, signal)));
  const oldest = page.length < PAGE ? "" : page.at(-1).workload_id;
  workloads.take([...page, ...more.filter(Boolean)], { asked, from: oldest });
}

async function one(id, signal) {
  try {
    return await get(summaryPath(id), { signal });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function connected(well) {
  const line = document.getElementById("connection");
  say(line, well ? "" : "The server does not answer. Trying again…");
}

function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
    signal.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")), { once: true });
  });
}

session.addEventListener("ended", stop);
