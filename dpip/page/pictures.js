// Pictures up and down: where they are, and how they get there.

import { PAGE, refused, Unreachable } from "./api.js";
import { pathOf } from "./files.js";

export const pictureUrl = (id) => `/images/${id}`;
export const thumbnailUrl = (id) => `/images/${id}/thumbnail`;

/**
 * One POST of one or several files, which the server takes all or none, in this order. `progress(bytes)` is told
 * how much of the body is gone: fetch cannot tell, so it is an XMLHttpRequest.
 */
export function sendFiles(workloadId, files, key, { signal, progress = () => {} } = {}) {
  const form = new FormData();
  form.append("workload_id", workloadId);
  for (const file of files) form.append("data", file, pathOf(file));
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
