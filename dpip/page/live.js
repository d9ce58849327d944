// Keeps what is known of workloads up to date, and says whether the server is there.

import { get, query, session, sleep } from "./api.js";
import { say } from "./dom.js";
import { summaryPath, workloads } from "./workloads.js";

const BUSY_SECONDS = 0.7;
const IDLE_SECONDS = 4;
const AWAY_SECONDS = 1.5;
const PAGE = 50;

const watched = new Map(); // workload id → how many parts of the page look at it
let running = null;

/** From now on, until `stop`. */
export function start() {
  stop();
  running = new AbortController();
  follow(running.signal);
}

export function stop() {
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

/** Something has just been changed here: look soon. */
export function hurry() {
  if (running) start();
}

async function follow(signal) {
  try {
    for (;;) {
      await visible(signal);
      await sleep(await looked(signal), signal);
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

/** Looks once; the seconds until the next time. */
async function looked(signal) {
  try {
    await look(signal);
    connected(true);
    return workloads.list().some(({ status }) => status === "running") ? BUSY_SECONDS : IDLE_SECONDS;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.status === 401) stop();
    connected(false);
    return error.retryAfter || AWAY_SECONDS;
  }
}

async function look(signal) {
  const page = await get(`/workloads${query({ limit: PAGE })}`, { signal });
  const ids = new Set(page.map(({ workload_id }) => workload_id));
  const others = [...watched.keys()].filter((id) => !ids.has(id));
  const more = await Promise.all(others.map((id) => one(id, signal)));
  const oldest = page.length < PAGE ? "" : page.at(-1).workload_id;
  workloads.take([...page, ...more.filter(Boolean)], oldest);
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
