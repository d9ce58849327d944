// One image large, before and after, with the ones beside it a key away.

import { get, query } from "./api.js";
import { compare } from "./compare.js";
import { h, put, say } from "./dom.js";
import { bytes, number } from "./format.js";
import { attempt } from "./notices.js";
import { pictureUrl, thumbnailUrl } from "./pictures.js";

/**
 * Opens at the image `start`. `about(seq)` is what is known of one as of now: `{position, count, previous, next,
 * failure}`, where `previous` and `next` are of those beside it, undefined at an end. `moved(seq)` and `closed(seq)`
 * hear where one is, and where it ended. Returns `{close(), turn(seq)}`.
 */
export function openLightbox(workloadId, start, { about, moved, closed }) {
  let seq = start;
  const title = h("h2", { id: "lightbox-title" });
  const counter = h("span", { class: "hint" });
  const stage = h("div", { class: "stage" });
  const facts = h("div", { class: "facts" });
  const previous = h("button", { type: "button", "aria-keyshortcuts": "p", title: "Key p", onclick: () => go("previous") }, "← Previous");
  const next = h("button", { type: "button", "aria-keyshortcuts": "n", title: "Key n", onclick: () => go("next") }, "Next →");
  const box = h(
    "dialog",
    { class: "lightbox", "aria-labelledby": "lightbox-title", onkeydown: key },
    h("div", { class: "lightbox-head" }, h("div", {}, title, counter), h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => box.close() }, "×")),
    stage,
    h("div", { class: "lightbox-foot" }, h("div", { class: "actions" }, previous, next), facts),
  );
  box.addEventListener("click", (event) => event.target === box && box.close());
  box.addEventListener("close", () => {
    box.remove();
    closed(seq);
  });

  function key(event) {
    const step = { PageDown: "next", n: "next", PageUp: "previous", p: "previous" }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(step);
  }

  function go(step) {
    const to = about(seq)[step];
    if (to === undefined) return;
    moved(to);
    turn(to);
  }

  function turn(to) {
    seq = to;
    attempt(show);
  }

  async function show() {
    const shown = seq;
    const { position, count, failure, ...beside } = about(seq);
    previous.disabled = beside.previous === undefined;
    next.disabled = beside.next === undefined;
    say(counter, position < 0 ? "" : `${number(position + 1)} of ${number(count)}`);
    const [original, result] = await Promise.all([imageAt("original"), imageAt("filtered")]);
    if (seq !== shown) return;
    const name = original?.name || `Image ${number(seq + 1)}`;
    say(title, name);
    if (result) put(stage, compared(original, result, name));
    else put(stage, h("p", { class: "stage-words" }, without(original, failure)));
    put(facts, original && download("Original", original, name), result && download("Result", result, name),
      ...(result?.notices ?? []).map((notice) => h("p", { class: "notice" }, notice)));
    if (result) stage.querySelector("input").focus({ preventScroll: true });
  }

  async function imageAt(type) {
    const [image] = await get(`/images${query({ workload_id: workloadId, type, after: seq - 1, limit: 1 })}`);
    return image?.seq === seq ? image : null;
  }

  document.body.append(box);
  box.showModal();
  attempt(show);
  return { close: () => box.close(), turn };
}

/** Why there is no result to be seen. */
function without(original, failure) {
  if (!original) return "The workload has no such image.";
  return failure ? `It failed: ${failure.reason}` : "It is not done yet.";
}

function compared({ image_id: before }, { image_id: after }, name) {
  const small = { before: thumbnailUrl(before), after: thumbnailUrl(after) };
  return compare({ before: pictureUrl(before), after: pictureUrl(after), name, small });
}

function download(label, image, name) {
  const what = `${label}, ${image.width} × ${image.height}, ${bytes(image.size)}`;
  return h("a", { class: "button", href: pictureUrl(image.image_id), download: true, title: `Download ${label.toLowerCase()} of ${name}` }, what);
}
