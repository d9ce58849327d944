// Begins: who is there, and which part of the page the address names.

import { get, patiently, request, session } from "./api.js";
import { hideBar, markPlace, showBar } from "./bar.js";
import { h, put, say } from "./dom.js";
import * as live from "./live.js";
import { loginForm } from "./login.js";
import { attempt } from "./notices.js";
import { uploads } from "./upload.js";
import * as newView from "./view-new.js";
import * as tokensView from "./view-tokens.js";
import * as usersView from "./view-users.js";
import * as workersView from "./view-workers.js";
import * as workloadView from "./view-workload.js";
import * as workloadsView from "./view-workloads.js";
import { workloads } from "./workloads.js";

const main = document.getElementById("main");
let who = null;
let shown = null;

const PARTS = [
  [/^#\/workloads\/([0-9a-z]+)$/, workloadView],
  [/^#\/new$/, newView],
  [/^#\/workers$/, workersView, "admin"],
  [/^#\/tokens$/, tokensView],
  [/^#\/users$/, usersView, "admin"],
  [/^/, workloadsView],
];

function show(focus = true) {
  shown?.close();
  const hash = location.hash || "#/";
  const [pattern, part] = PARTS.find(([regex, , role]) => regex.test(hash) && (!role || who.admin));
  shown = part.view(who, ...hash.match(pattern).slice(1));
  put(main, shown.element);
  document.title = `${shown.title} · DPIP`;
  markPlace(hash);
  scrollTo(0, 0);
  if (focus) main.querySelector("h1")?.focus({ preventScroll: true });
}

function leave(reason) {
  who = null;
  shown?.close();
  shown = null;
  live.stop();
  for (const upload of uploads.values()) upload.stop();
  workloads.forget();
  hideBar();
  document.title = "Log in · DPIP";
  put(main, loginForm(enter, reason));
  document.getElementById("user").focus();
}

async function enter() {
  const status = await get("/status");
  who = { user: status.user, admin: status.role === "admin" };
  showBar(who, () => attempt(logOut));
  live.start();
  show();
}

async function logOut() {
  await request("DELETE", "/logout");
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
  if (who) leave("Your session has ended. Log in again.");
});
addEventListener("hashchange", () => who && show());
document.getElementById("skip").addEventListener("click", () => main.focus());
begin();
