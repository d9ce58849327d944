// Before and after in one frame, with a border that is moved by pointer or keys.

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
  });
  const move = () => {
    frame.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % before, ${100 - slider.value} % after`);
  };
  slider.addEventListener("input", move);
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
  frame.append(
    h("img", { class: "after", src: after, alt: `${name || "The picture"}, filtered`, onerror: failed("after the filter", small.after) }),
    h("img", { class: "before", src: before, alt: `${name || "The picture"}, original`, onload: shape, onerror: failed("before the filter", small.before) }),
    h("span", { class: "tag left", "aria-hidden": "true" }, "Before"),
    h("span", { class: "tag right", "aria-hidden": "true" }, "After"),
    h("span", { class: "border", "aria-hidden": "true" }),
    slider,
  );
  move();
  return frame;
}
