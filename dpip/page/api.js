// Requests to the API, and what they are refused with.

/** Says that it is the page that asks: without it the session's cookie opens nothing but pictures. */
export const PAGE = { "X-DPIP-Page": "1" };

/** `ended` is heard when a request was refused since nobody is logged in any more. */
export const session = new EventTarget();

const SLOWEST_SECONDS = 10;

/** What the server refused, in its own words. */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `The server answered ${status}.`);
    this.status = status;
    this.code = (document.type || "").split(":").pop();
    this.members = document;
    this.retryAfter = retryAfter;
  }
}

/** No answer at all. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

/** The answer's JSON, or its blob with `as: "blob"`. Throws Problem, Unreachable; AbortError by `signal`. */
export async function request(method, path, { json, headers, key, signal, keepalive, as = "json" } = {}) {
  const named = { ...PAGE, ...headers };
  if (json !== undefined) named["Content-Type"] = "application/json";
  if (key) named["Idempotency-Key"] = key;
  const body = json === undefined ? undefined : JSON.stringify(json);
  let answer;
  try {
    answer = await fetch(path, { method, headers: named, body, signal, keepalive, cache: "no-cache" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Unreachable();
  }
  if (!answer.ok) throw refused(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return as === "blob" ? answer.blob() : answer.json();
}

/** What an answer that is no success means. */
export function refused(status, text, retryAfter) {
  const problem = new Problem(status, parsed(text), Number(retryAfter) || null);
  if (problem.code === "not-logged-in") session.dispatchEvent(new Event("ended"));
  return problem;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // of a proxy in between
  }
}

export const get = (path, options) => request("GET", path, options);

/**
 * Does it again for as long as the server is away or busy; `waiting(seconds, error)` is told of each pause.
 * For what may be repeated: it has an Idempotency-Key, or changes nothing.
 */
export async function patiently(attempt, { signal, waiting = () => {} } = {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const seconds = pause(error, tries);
      if (seconds === null) throw error;
      waiting(seconds, error);
      await sleep(seconds, signal);
    }
  }
}

function pause(error, tries) {
  const growing = Math.min(SLOWEST_SECONDS, 0.5 * 2 ** tries);
  if (error instanceof Unreachable) return growing;
  if (error instanceof Problem && [429, 502, 503, 504].includes(error.status)) return error.retryAfter || growing;
  return null;
}

export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A key for a request that may have to be repeated. `randomUUID` is missing where there is no TLS. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A query string of what is given. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
