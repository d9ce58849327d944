// Many files into one workload, in their order.

import { newKey, patiently, Problem, Unreachable } from "./api.js";
import { pathOf } from "./files.js";
import { sendFiles } from "./pictures.js";

const GROUP_FILES = 20;
const GROUP_BYTES = 8_000_000;

/** What refuses one file; anything else says that the next will fare no better. */
const OF_THE_FILE = new Set([
  "too-large",
  "not-an-image",
  "bad-picture",
  "corrupt-picture",
  "unsupported-picture",
  "picture-too-large",
]);

/** Uploads under way, by workload: they go on while another part of the page is looked at. */
export const uploads = new Map();

/**
 * A place in a workload is given when an upload is committed. So that frames keep their order, requests follow each
 * other, each with several files, which fills a connection as well as several at once would. A group of which one
 * file is refused is sent again file by file. Fires `change`.
 */
export class Upload extends EventTarget {
  constructor(workloadId, files) {
    super();
    this.workloadId = workloadId;
    this.files = files;
    this.total = files.length;
    this.bytes = files.reduce((sum, file) => sum + file.size, 0);
    this.taken = 0;
    this.bytesGone = 0;
    this.refused = [];
    this.state = "sending"; // or "waiting", "done", "stopped"
    this.trouble = "";
    this.stopping = new AbortController();
  }

  get active() {
    return this.state === "sending" || this.state === "waiting";
  }

  async run() {
    uploads.set(this.workloadId, this);
    const warn = (event) => event.preventDefault();
    addEventListener("beforeunload", warn);
    try {
      for (const group of groups(this.files)) await this.send(group);
      this.tell({ state: "done" });
    } catch (error) {
      this.tell({ state: "stopped", trouble: error.name === "AbortError" ? "Stopped." : error.message });
    } finally {
      removeEventListener("beforeunload", warn);
      this.files = [];
    }
  }

  stop() {
    this.stopping.abort();
  }

  async send(group) {
    const before = this.bytesGone;
    try {
      await this.post(group);
      this.taken += group.length;
    } catch (error) {
      if (!ofTheFile(error)) throw error;
      this.bytesGone = before;
      if (group.length > 1) {
        for (const file of group) await this.send([file]);
        return;
      }
      this.refused.push({ name: pathOf(group[0]), reason: error.message });
    }
    this.tell({ bytesGone: before + size(group) });
  }

  post(group) {
    const key = newKey();
    const before = this.bytesGone;
    const signal = this.stopping.signal;
    const progress = (gone) => this.tell({ state: "sending", trouble: "", bytesGone: before + Math.min(gone, size(group)) });
    const once = async () => {
      try {
        return await sendFiles(this.workloadId, group, key, { signal, progress });
      } catch (error) {
        // A file that has gone from the disk looks as if the server were away.
        if (error instanceof Unreachable) await readable(group);
        throw error;
      }
    };
    const waiting = (seconds, error) => this.tell({ state: "waiting", trouble: error.message });
    return patiently(once, { signal, waiting });
  }

  tell(facts) {
    Object.assign(this, facts);
    this.dispatchEvent(new Event("change"));
  }
}

class Unreadable extends Error {}

function ofTheFile(error) {
  return error instanceof Unreadable || (error instanceof Problem && OF_THE_FILE.has(error.code));
}

async function readable(files) {
  for (const file of files) {
    try {
      await file.slice(0, 1).arrayBuffer();
    } catch {
      throw new Unreadable("The file cannot be read any more: it was moved or changed.");
    }
  }
}

function size(files) {
  return files.reduce((sum, file) => sum + file.size, 0);
}

function* groups(files) {
  let group = [];
  for (const file of files) {
    if (group.length && (group.length === GROUP_FILES || size(group) + file.size > GROUP_BYTES)) {
      yield group;
      group = [];
    }
    group.push(file);
  }
  if (group.length) yield group;
}
