// The same workload for a shell: with curl, and with dpip.

import { get } from "./api.js";
import { h } from "./dom.js";
import { attempt, notice } from "./notices.js";

/** A dialog with both. `spec` is what POST /workloads takes. */
export function showCommands(spec) {
  return attempt(async () => {
    const short = { ...spec, steps: withoutDefaults(spec.steps, await get("/filters")) };
    const box = h(
      "dialog",
      { class: "ask wide", "aria-labelledby": "commands-title", onclose: () => box.remove() },
      h("h2", { id: "commands-title" }, "For a shell"),
      part("As dpip", dpipCommand(short)),
      part("As curl", curlCommand(short)),
      h("div", { class: "actions end" }, h("button", { type: "button", class: "primary", autofocus: true, onclick: () => box.close() }, "Close")),
    );
    document.body.append(box);
    box.showModal();
  });
}

function part(title, command) {
  const text = h("pre", { tabindex: 0 }, command);
  const copy = async () => {
    // There is no clipboard for a page without TLS, but on this machine: then one copies what is selected.
    if (navigator.clipboard) await navigator.clipboard.writeText(command);
    else getSelection().selectAllChildren(text);
    notice(navigator.clipboard ? "Copied." : "Selected: copy it with Ctrl+C.");
  };
  return h("section", { class: "command", "aria-label": title }, h("div", { class: "label-row" }, h("h3", {}, title), h("button", { type: "button", "aria-label": `Copy: ${title}`, onclick: () => attempt(copy) }, "Copy")), text);
}

/** What one would have to write: no parameter that is as it is by default. */
function withoutDefaults(steps, filters) {
  return steps.map(({ name, ...values }) => {
    const parameters = filters.find((filter) => filter.name === name)?.parameters || [];
    const preset = (key) => parameters.find((parameter) => parameter.name === key)?.default ?? null;
    return { name, ...Object.fromEntries(Object.entries(values).filter(([key, value]) => value !== null && value !== preset(key))) };
  });
}

export function curlCommand({ steps, output, tags }) {
  const body = { steps, ...(kept(output) && { output: kept(output) }), ...(tags?.length && { tags }) };
  const bearer = '-H "Authorization: Bearer $TOKEN"';
  return [
    `URL=${quoted(location.origin)}`,
    "TOKEN=$(dpip token)   # or one that you have created",
    `ID=$(curl -sS ${bearer} -H "Content-Type: application/json" -d ${quoted(JSON.stringify(body))} "$URL/workloads" | sed 's/.*"workload_id": *"\\([^"]*\\)".*/\\1/')`,
    `for image in photos/*; do curl -sS ${bearer} -F workload_id="$ID" -F data=@"$image" "$URL/images"; done`,
    `curl -sS ${bearer} -o results.zip "$URL/workloads/$ID/archive"   # when it is completed`,
  ].join("\n");
}

export function dpipCommand({ steps, output }) {
  const options = steps.length === 1 ? single(steps[0]) : steps.map(asStep);
  for (const [name, value] of Object.entries(kept(output) || {})) options.push(`${option(name)} ${quoted(name === "format" ? value.toLowerCase() : value)}`);
  return ["dpip run photos -o results", `--server ${quoted(location.origin)}`, ...options].join(" \\\n  ");
}

function single({ name, ...values }) {
  return [`--filter ${quoted(name)}`, ...Object.entries(values).map(([key, value]) => `${option(key)} ${quoted(named(value))}`)];
}

function asStep({ name, ...values }) {
  const given = Object.entries(values).map(([key, value]) => `${key}=${named(value)}`);
  return `--step ${quoted(given.length ? `${name}:${given.join(",")}` : name)}`;
}

/** A picture goes with the workload as text; the command takes a file. */
function named(value) {
  return String(value).length > 200 ? "PICTURE" : String(value);
}

function kept(output) {
  const given = Object.entries(output || {}).filter(([name, value]) => value !== null && value !== USUAL[name]);
  return given.length ? Object.fromEntries(given) : null;
}

const USUAL = { metadata: "keep", raw: "camera", colour: "keep" };

function option(name) {
  return `--${name.replaceAll("_", "-")}`;
}

/** For a POSIX shell. */
function quoted(value) {
  const text = String(value);
  return /^[\w.,:\/=+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
