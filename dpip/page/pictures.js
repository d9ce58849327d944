// Pictures up and down: where they are, and how they get there.

import { PAGE, refused, Unreachable } from "./api.js";

export const pictureUrl = (id) => `/images/${id}`;
export const thumbnailUrl = (id) => `/images/${id}/thumbnail`;

const THUMBNAIL_TRIES = 3;
const AGAIN_MS = 2000;

/**
 * Shows a small picture. A worker makes it, when one has time: until then it is asked for again, and in the end the
 * whole picture does. What a browser cannot show leaves no broken frame.
 */
export function showThumbnail(image, id) {
  let tries = 0;
  image.addEventListener("load", () => image.classList.add("there"));
  image.addEventListener("error", () => {
    tries += 1;
    if (tries > THUMBNAIL_TRIES + 1) image.remove();
    else if (tries > THUMBNAIL_TRIES) image.src = pictureUrl(id);
    else setTimeout(() => image.isConnected && (image.src = thumbnailUrl(id)), AGAIN_MS * tries);
  });
  image.src = thumbnailUrl(id);
}

/**
 * One POST of one or several files, which the server takes all or none, in this order. `progress(bytes)` is told
 * how much of the body is gone: fetch cannot tell, so it is an XMLHttpRequest.
 */
export function sendFiles(workloadId, files, key, { signal, progress = () => {} } = {}) {
  const form = new FormData();
  form.append("workload_id", workloadId);
  for (const file of files) form.append("data", file, file.name);
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    const stop = () => sending.abort();
    sending.open("POST", "/images");
    for (const [name, value] of Object.entries({ ...PAGE, "Idempotency-Key": key })) {
      sending.setRequestHeader(name, value);
    }
    sending.upload.onprogress = (event) => progress(event.loaded);
    sending.onload = () => {
      if (sending.status === 201) resolve([JSON.parse(sending.responseText)].flat());
      else reject(refused(sending.status, sending.responseText, sending.getResponseHeader("Retry-After")));
    };
    sending.onerror = () => reject(new Unreachable());
    sending.onabort = () => reject(new DOMException("stopped", "AbortError"));
    sending.onloadend = () => signal?.removeEventListener("abort", stop);
    if (signal?.aborted) {
      reject(new DOMException("stopped", "AbortError"));
      return;
    }
    signal?.addEventListener("abort", stop);
    sending.send(form);
  });
}
