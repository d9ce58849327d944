// Small pictures, a few at a time: a browser has six connections for one server, and a worker that is busy may let
// each of them wait.

import { sleep } from "./api.js";
import { pictureUrl, thumbnailUrl } from "./pictures.js";

const AT_ONCE = 3;
const PAUSES = [2, 4, 8]; // seconds, while no worker has time to make it

let free = AT_ONCE;
const waiting = [];

/**
 * Shows the thumbnail of an image until `signal` says that nobody looks. Where there is none, the whole picture is
 * shown in the end; what the browser cannot show at all leaves no broken frame.
 */
export async function showThumbnail(image, id, signal) {
  try {
    for (const pause of PAUSES) {
      if (await inTurn(() => loaded(image, thumbnailUrl(id), signal), signal)) return;
      await sleep(pause, signal);
    }
    if (!(await inTurn(() => loaded(image, pictureUrl(id), signal), signal))) image.remove();
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

async function inTurn(work, signal) {
  if (free > 0) free -= 1;
  else await new Promise((resolve) => waiting.push(resolve));
  try {
    signal.throwIfAborted();
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  }
}

/** True when it is there; to abort it frees its connection. */
function loaded(image, path, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      image.removeAttribute("src");
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    const end = (well) => () => {
      signal.removeEventListener("abort", stop);
      image.classList.toggle("there", well);
      resolve(well);
    };
    image.onload = end(true);
    image.onerror = end(false);
    image.src = path;
  });
}
