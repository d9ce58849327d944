// Begins: who is there, and which part of the page the address names.

import { get, patiently, request, session } from "./api.js";
import { hideBar, markPlace, showBar } from "./bar.js";
import { h, put, say } from "./dom.js";
import * as live from "./live.js";
import { loginForm } from "./login.js";
import { attempt } from "./notices.js";
import { uploads } from "./upload.js";
import * as activityView from "./view-activity.js";
import * as newView from "./view-new.js";
import * as tokensView from "./view-tokens.js";
import * as usersView from "./view-users.js";
import * as workerView from "./view-worker.js";
import * as workersView from "./view-workers.js";
import * as workloadView from "./view-workload.js";
import * as workloadsView from "./view-workloads.js";
import { workloads } from "./workloads.js";

const tabs = new BroadcastChannel("session"); // the other tabs of this browser have the same user
const main = document.getElementById("main");
let who = null;
let ended = false; // the session has, and nobody has logged in since
let shown = null;

const PARTS = [
  [/^#\/workloads\/([0-9a-z]+)(?:\/(\d+))?$/, workloadView],
  [/^#\/new$/, newView],
  [/^#\/workers$/, workersView, "admin"],
  [/^#\/workers\/(.+)$/, workerView, "admin"],
  [/^#\/activity$/, activityView, "admin"],
  [/^#\/tokens$/, tokensView],
  [/^#\/users$/, usersView, "admin"],
  [/^/, workloadsView],
];

function show(focus = true) {
  closeDialogs();
  const hash = location.hash || "#/";
  const [pattern, part] = PARTS.find(([regex, , role]) => regex.test(hash) && (!role || who.admin));
  const named = hash.match(pattern).slice(1);
  if (shown?.part === part && shown.goes?.(...named)) return;
  shown?.close();
  shown = { part, ...part.view(who, ...named) };
  put(main, shown.element);
  document.title = `${shown.title} · DPIP`;
  markPlace(hash);
  scrollTo(0, 0);
  if (focus) main.querySelector("h1")?.focus({ preventScroll: true });
}

/** What was asked on the part that one has left is not answered. The large picture has an address of its own. */
function closeDialogs() {
  for (const box of document.querySelectorAll("dialog[open]:not(.lightbox)")) box.close();
}

function leave(reason) {
  closeDialogs();
  who = null;
  shown?.close();
  shown = null;
  live.stop();
  for (const upload of uploads.values()) upload.stop();
  workloads.forget();
  hideBar();
  document.title = "Log in · DPIP";
  put(main, loginForm(logIn, reason));
  document.getElementById("user").focus();
}

async function logIn() {
  await enter();
  tabs.postMessage("in");
}

async function enter() {
  const status = await get("/status");
  who = { user: status.user, admin: status.role === "admin" };
  ended = false;
  showBar(who, () => attempt(logOut));
  live.start();
  show();
}

async function logOut() {
  await request("DELETE", "/logout");
  tabs.postMessage("out");
  leave("");
}

async function begin() {
  put(main, h("p", { class: "plain", role: "status" }, "One moment…"));
  const waiting = () => say(document.getElementById("connection"), "The server does not answer. Trying again…");
  try {
    await patiently(enter, { waiting });
    say(document.getElementById("connection"), "");
  } catch (error) {
    leave(error.status === 401 ? "" : error.message);
  }
}

session.addEventListener("ended", () => {
  if (!who) return;
  ended = true;
  leave("Your session has ended. Log in again.");
});
tabs.addEventListener("message", ({ data }) => {
  if (who || ended) leave(data === "out" ? "You have logged out in another tab." : ""); // it may come after the end
  if (data === "in") begin();
});
addEventListener("hashchange", () => who && show());
document.getElementById("skip").addEventListener("click", () => main.focus());
begin();
