// One image large, before and after, with the ones beside it a key away.

import { get, query } from "./api.js";
import { compare } from "./compare.js";
import { h, put, say } from "./dom.js";
import { bytes, number } from "./format.js";
import { attempt } from "./notices.js";
import { pictureUrl, thumbnailUrl } from "./pictures.js";

/** Opens at a place; `look(place)` gives `{count, failure}` as of now. `closed(place)` hears where it ended. */
export function openLightbox(workloadId, start, look, closed) {
  let place = start;
  const title = h("h2", { id: "lightbox-title" });
  const counter = h("span", { class: "hint" });
  const stage = h("div", { class: "stage" });
  const facts = h("div", { class: "facts" });
  const previous = h("button", { type: "button", "aria-keyshortcuts": "p", title: "Key p", onclick: () => go(-1) }, "← Previous");
  const next = h("button", { type: "button", "aria-keyshortcuts": "n", title: "Key n", onclick: () => go(1) }, "Next →");
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
    closed(place);
  });

  function key(event) {
    const step = { PageDown: 1, n: 1, PageUp: -1, p: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(step);
  }

  function go(step) {
    const to = place + step;
    if (to < 0 || to >= look(place).count) return;
    place = to;
    attempt(show);
  }

  async function show() {
    const shown = place;
    const { count, failure } = look(place);
    previous.disabled = place === 0;
    next.disabled = place === count - 1;
    say(counter, `${number(place + 1)} of ${number(count)}`);
    const [original, result] = await Promise.all([imageAt("original"), imageAt("filtered")]);
    if (place !== shown) return;
    const name = original?.name || `Image ${number(place + 1)}`;
    say(title, name);
    if (result) put(stage, compared(original, result, name));
    else put(stage, h("p", { class: "stage-words" }, failure ? `It failed: ${failure.reason}` : "It is not done yet."));
    put(facts, original && download("Original", original, name), result && download("Result", result, name),
      ...(result?.notices ?? []).map((notice) => h("p", { class: "notice" }, notice)));
    if (result) stage.querySelector("input").focus({ preventScroll: true });
  }

  async function imageAt(type) {
    const [image] = await get(`/images${query({ workload_id: workloadId, type, after: place - 1, limit: 1 })}`);
    return image?.seq === place ? image : null;
  }

  document.body.append(box);
  box.showModal();
  attempt(show);
}

function compared({ image_id: before }, { image_id: after }, name) {
  const small = { before: thumbnailUrl(before), after: thumbnailUrl(after) };
  return compare({ before: pictureUrl(before), after: pictureUrl(after), name, small });
}

function download(label, image, name) {
  const what = `${label}, ${image.width} × ${image.height}, ${bytes(image.size)}`;
  return h("a", { class: "button", href: pictureUrl(image.image_id), download: true, "aria-label": `Download ${label.toLowerCase()} of ${name}` }, what);
}
