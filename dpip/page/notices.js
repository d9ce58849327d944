// What is told in passing, and what is asked before something is lost.

import { h } from "./dom.js";

const SHOWN_SECONDS = 8;

/** A sentence at the edge of the page, read aloud, for a while. */
export function notice(text, kind = "plain") {
  const close = h("button", { class: "quiet", type: "button", "aria-label": "Dismiss", onclick: () => line.remove() }, "×");
  const line = h("p", { class: `notice ${kind}` }, h("span", {}, text), close);
  document.getElementById("notices").append(line);
  setTimeout(() => line.remove(), SHOWN_SECONDS * 1000);
}

/** Does it, and tells what went wrong. True when nothing did. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message, "bad");
    return false;
  }
}

/** The same for what nobody has asked for: it will be tried again. */
export async function quietly(work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") console.warn(error.message);
  }
}

/** Asks; true when the answer is `action`. */
export function confirmed(question, detail, action) {
  return new Promise((resolve) => {
    const cancel = h("button", { type: "button", autofocus: true, onclick: () => box.close() }, "Go back");
    const agree = h("button", { type: "button", class: "danger", onclick: () => box.close(action) }, action);
    const box = h(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-detail" },
      h("h2", { id: "ask-title" }, question),
      h("p", { id: "ask-detail" }, detail),
      h("div", { class: "actions end" }, cancel, agree),
    );
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === action);
    });
    document.body.append(box);
    box.showModal();
  });
}
