// How fast something goes, from counts seen at times.

const KEPT_SECONDS = 300;
const RECENT_SECONDS = 12;
const POINTS = 60;

export class Pace {
  constructor() {
    this.seen = []; // [seconds, count], oldest first
  }

  add(seconds, count) {
    const last = this.seen.at(-1);
    if (last && seconds - last[0] < 0.25) this.seen.pop(); // of one moment the newest is enough
    this.seen.push([seconds, count]);
    while (this.seen[0][0] < seconds - KEPT_SECONDS) this.seen.shift();
  }

  /** Of late; null when it has not been watched for long enough to tell. */
  perSecond(now) {
    const recent = this.seen.filter(([seconds]) => seconds >= now - RECENT_SECONDS);
    if (recent.length < 2) return null;
    const [from, to] = [recent[0], recent.at(-1)];
    return to[0] - from[0] < 0.5 ? null : Math.max(0, to[1] - from[1]) / (to[0] - from[0]);
  }

  /** Rates over stretches of a second or a few, oldest first, from the first time seen on. */
  series() {
    if (this.seen.length < 2) return [];
    const start = this.seen[0][0];
    const stretch = Math.max(1, Math.round((this.seen.at(-1)[0] - start) / POINTS));
    const rates = [];
    let at = 0;
    for (let edge = start + stretch; edge <= this.seen.at(-1)[0]; edge += stretch) {
      const from = at;
      while (at + 1 < this.seen.length && this.seen[at + 1][0] <= edge) at += 1;
      const took = this.seen[at][0] - this.seen[from][0];
      rates.push(took > 0 ? (this.seen[at][1] - this.seen[from][1]) / took : 0);
    }
    return rates;
  }
}
