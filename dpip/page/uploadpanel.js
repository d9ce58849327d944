// What becomes of an upload under way.

import { h, put, say } from "./dom.js";
import { bytes, counted, number } from "./format.js";
import { confirmed } from "./notices.js";

export class UploadPanel {
  constructor(upload, place, changed) {
    this.upload = upload;
    this.place = place;
    this.changed = changed;
    this.bar = h("progress", { max: 100, "aria-label": "Uploaded" });
    this.words = h("span");
    this.trouble = h("p", { class: "hint", role: "status" });
    this.stop = h("button", { type: "button", class: "quiet", onclick: () => this.ask() }, "Stop uploading");
    this.refused = h("ul", { class: "reasons" });
    put(place, h("section", { class: "card upload", "aria-label": "Upload" }, h("div", { class: "label-row" }, this.words, this.stop), this.bar, this.trouble, this.refused));
    this.show = this.show.bind(this);
    upload.addEventListener("change", this.show);
    this.show();
  }

  show() {
    const { upload } = this;
    const troubled = upload.state === "stopped" || upload.refused.length > 0;
    this.place.hidden = !upload.active && !troubled;
    this.bar.hidden = this.stop.hidden = !upload.active;
    this.bar.value = upload.bytes ? (100 * upload.bytesGone) / upload.bytes : 100;
    const gone = `${number(upload.taken)} of ${counted(upload.total, "image")} uploaded`;
    say(this.words, upload.active ? `${gone}, ${bytes(upload.bytesGone)} of ${bytes(upload.bytes)}` : gone);
    say(this.trouble, upload.state === "waiting" ? `${upload.trouble} Trying again…` : upload.trouble);
    if (this.refused.children.length !== upload.refused.length) {
      put(this.refused, upload.refused.map(({ name, reason }) => h("li", {}, h("strong", {}, name), h("span", {}, reason))));
    }
    this.changed();
  }

  async ask() {
    if (await confirmed("Stop uploading?", "What has been uploaded is filtered; the rest stays here.", "Stop")) this.upload.stop();
  }

  close() {
    this.upload.removeEventListener("change", this.show);
  }
}
