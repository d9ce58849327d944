// Before and after in one frame, with a border that is moved by pointer or keys, fitted or pixel by pixel.

import { h } from "./dom.js";

/**
 * `before` and `after` are addresses of pictures. The slider lies over both: it is an ordinary range input, so
 * that arrow keys, Home, End and screen readers work as they do everywhere. `small` has addresses `before` and `after`
 * of what to show where the browser cannot read the format.
 */
export function compare({ before, after, name, small = {} }) {
  const frame = h("div", { class: "compare" });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    value: 50,
    "aria-label": `Border between before and after${name ? ` of ${name}` : ""}`,
    oninput: () => move(),
  });
  const failed = (which, instead) => (event) => {
    if (instead && event.target.getAttribute("src") !== instead) {
      event.target.src = instead;
      return;
    }
    frame.classList.add("unseen");
    frame.append(h("p", { class: "unseen-reason" }, `This browser cannot show the picture ${which}.`));
  };
  const shape = (event) => {
    const { naturalWidth, naturalHeight } = event.target;
    if (naturalHeight) frame.style.setProperty("--ratio", naturalWidth / naturalHeight);
  };
  const filtered = h("img", { class: "after", src: after, alt: `${name || "The picture"}, filtered`, draggable: "false", onload: () => zoom.hidden = false, onerror: failed("after the filter", small.after) });
  const original = h("img", { class: "before", src: before, alt: `${name || "The picture"}, original`, draggable: "false", onload: shape, onerror: failed("before the filter", small.before) });
  const sheet = h("div", { class: "sheet" }, filtered, original);
  const view = h("div", { class: "sheet-view", onscroll: () => move(), onpointerdown: pan }, sheet);
  const border = h("span", { class: "border", "aria-hidden": "true", onpointerdown: drag });
  const zoom = h("button", { type: "button", class: "zoom", hidden: true, "aria-pressed": "false", title: "Each pixel of the result as a pixel of the screen", onclick: () => enlarge() }, "100 %");
  frame.append(
    view,
    h("span", { class: "tag left", "aria-hidden": "true" }, "Before"),
    h("span", { class: "tag right", "aria-hidden": "true" }, "After"),
    border,
    slider,
    zoom,
  );

  function move() {
    const at = Number(slider.value);
    frame.style.setProperty("--at", `${at}%`);
    const cut = view.scrollLeft + (at / 100) * view.clientWidth - sheet.offsetLeft;
    frame.style.setProperty("--cut", frame.classList.contains("zoomed") ? `${cut}px` : `${at}%`);
    slider.setAttribute("aria-valuetext", `${at} % before, ${100 - at} % after`);
  }

  /** Every pixel, around the middle; or all of it again. */
  function enlarge() {
    const zoomed = frame.classList.toggle("zoomed");
    zoom.setAttribute("aria-pressed", String(zoomed));
    sheet.style.width = zoomed ? `${filtered.naturalWidth / devicePixelRatio}px` : "";
    sheet.style.height = zoomed ? `${filtered.naturalHeight / devicePixelRatio}px` : "";
    view.tabIndex = zoomed ? 0 : -1; // a part that scrolls is scrolled by keys, too
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, (view.scrollHeight - view.clientHeight) / 2);
    move();
  }

  /** The mouse moves what is under it; a finger scrolls by itself. */
  function pan(event) {
    if (event.pointerType !== "mouse" || !frame.classList.contains("zoomed")) return;
    event.preventDefault();
    follow(view, event, (moved) => view.scrollBy(-moved.movementX, -moved.movementY));
  }

  function drag(event) {
    event.preventDefault();
    follow(border, event, ({ clientX }) => {
      const { left, width } = frame.getBoundingClientRect();
      slider.value = (100 * (clientX - left)) / width;
      move();
    });
  }

  move();
  return frame;
}

/** Calls `moved` for each move until the pointer is released. */
function follow(element, { pointerId }, moved) {
  const ending = new AbortController();
  element.setPointerCapture(pointerId);
  element.addEventListener("pointermove", moved, { signal: ending.signal });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => ending.abort(), { signal: ending.signal });
}
