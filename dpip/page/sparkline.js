// A short history as a picture without axes; its words say what it shows.

import { svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 40;

/** `values` oldest first; `max` is the top edge, by default the largest of them. */
export function sparkline(values, label, max = Math.max(...values, 0)) {
  const picture = svg("svg", {
    class: "sparkline",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
  if (values.length < 2) return picture;
  const across = WIDTH / (values.length - 1);
  const points = values.map((value, place) => {
    const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
    return `${(place * across).toFixed(1)},${(HEIGHT - 2 - share * (HEIGHT - 4)).toFixed(1)}`;
  });
  picture.append(
    svg("path", { class: "area", d: `M0,${HEIGHT} L${points.join(" L")} L${WIDTH},${HEIGHT} Z` }),
    svg("path", { class: "line", d: `M${points.join(" L")}`, "vector-effect": "non-scaling-stroke" }),
  );
  return picture;
}
