// What a filter does to one picture: a workload of that picture alone, done by the cluster and deleted again.

import { get, newKey, request, sleep } from "./api.js";
import { pictureUrl, sendFiles } from "./pictures.js";
import { hide } from "./workloads.js";

const LOOK_SECONDS = 0.15;
const LONG_SECONDS = 3;

/**
 * The filtered picture as a Blob. `waiting(sentence)` hears why it takes long. Throws what the server refuses,
 * and an Error with the reason when this picture cannot be filtered.
 */
export async function preview(file, spec, { signal, waiting }) {
  // Not given up with the rest: what the server has made must be deleted, and its answer names it.
  const workload = await request("POST", "/workloads", {
    json: { ...spec, workload_name: `Preview of ${file.name}`.slice(0, 200) },
    key: newKey(),
  });
  const path = `/workloads/${workload.workload_id}`;
  hide(workload.workload_id);
  try {
    signal.throwIfAborted();
    await sendFiles(workload.workload_id, [file], newKey(), { signal });
    const image = await result(path, { signal, waiting });
    return await request("GET", pictureUrl(image), { as: "blob", signal });
  } finally {
    // Also when it was given up, and when the page is being left.
    request("DELETE", path, { keepalive: true }).catch((error) => {
      console.warn(`A preview stays on the server: ${error.message}`);
    });
  }
}

async function result(path, { signal, waiting }) {
  const began = performance.now();
  for (;;) {
    const { filtered_images, failed_images } = await get(`${path}?fields=filtered_images,failed_images`, { signal });
    if (failed_images.length) throw new Error(failed_images[0].reason);
    if (filtered_images.length) return filtered_images[0];
    if (performance.now() - began > LONG_SECONDS * 1000) waiting(await why(path, signal));
    await sleep(LOOK_SECONDS, signal);
  }
}

async function why(path, signal) {
  const { waiting } = await get(`${path}/why`, { signal });
  return waiting.length ? `Waiting: ${waiting[0].why}.` : "It takes a while…";
}
