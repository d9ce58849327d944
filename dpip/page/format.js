// Numbers, sizes and times as people read them.

const integers = new Intl.NumberFormat("en");
const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function number(value) {
  return integers.format(value);
}

/** `1 image`, `2 images`. */
export function counted(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function bytes(value) {
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Seconds, to what matters at that length. */
export function duration(seconds) {
  if (seconds < 0.95) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

export function rate(perSecond) {
  if (perSecond >= 10) return `${Math.round(perSecond)}/s`;
  if (perSecond >= 0.1) return `${perSecond.toFixed(1)}/s`;
  return `${(perSecond * 60).toFixed(1)}/min`;
}

/** How long ago an RFC 3339 time is, or the day. */
export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 10) return "just now";
  return seconds < 36 * 3600 ? `${duration(seconds)} ago` : day(time);
}

export function day(time) {
  return new Date(time).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

/** In full, for a tooltip. */
export function moment(time) {
  return new Date(time).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
}

/** `blur` with its parameters: `blur · sigma 8`, `grayscale → blur · sigma 3`. */
export function steps(chain) {
  return chain
    .map(({ name, ...parameters }) => {
      const values = Object.entries(parameters).filter(([, value]) => value !== null);
      return [words(name), ...values.map(([key, value]) => `${words(key)} ${shortened(value)}`)].join(" · ");
    })
    .join(" → ");
}

/** A value that fits a line: one may be a whole picture. */
function shortened(value) {
  const text = String(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/** `box_blur` as it is said. */
export function words(name) {
  return name.replaceAll("_", " ");
}
