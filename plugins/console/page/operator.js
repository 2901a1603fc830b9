// The operator's view: tiles, tables and the engine's counters, out of `/metrics`.

import { element, setText } from "./dom.js";
import { count, duration, quantileText, rate, share, shortDigest } from "./format.js";
import { quantile, readHistogram } from "./histogram.js";
import { History } from "./history.js";
import { functions, plugins } from "./inventory.js";
import { pollMetrics } from "./poll.js";
import { readings } from "./readings.js";
import { Sparkline } from "./sparkline.js";
import { Table } from "./table.js";

/** Moments that are kept, one a second: the minute that the quantiles are of. */
const CAPACITY = 61;

export class Operator {
  #history = new History(CAPACITY);
  #tiles = new Map();
  #tileList = document.querySelector("#tiles");
  #engine = document.querySelector("#engine");
  #live = document.querySelector("#live");
  #pulse = document.querySelector("#pulse");
  #plugins = new Table(document.querySelector("#plugins"), PLUGIN_COLUMNS, "This server names no plugins in its metrics.");
  #phases = document.querySelector("#phases");
  #functions = new Table(document.querySelector("#functions"), FUNCTION_COLUMNS, "No functions are deployed, or this server does not name them in its metrics.");

  /** Starts asking. */
  start() {
    this.#phases.addEventListener("click", () => this.#togglePhases());
    pollMetrics(
      (metrics, now) => this.#take(metrics, now),
      (message) => this.#fail(message),
    );
  }

  #take(metrics, now) {
    this.#history.add(now, metrics);
    const shown = readings(this.#history);
    for (const reading of shown) this.#showTile(reading);
    this.#showPlugins(metrics);
    this.#functions.update(functions(metrics).map((row) => ({ ...row, key: `${row.function} ${row.version}` })));
    this.#showEngine(metrics);
    this.#say("live", "Live, once a second");
    const [running, generated] = shown;
    setText(this.#pulse, running.known && generated.known ? `${running.value} running · ${generated.value} tokens/s` : "live");
  }

  #togglePhases() {
    const wanted = this.#phases.getAttribute("aria-expanded") !== "true";
    this.#phases.setAttribute("aria-expanded", String(wanted));
    setText(this.#phases, wanted ? "Hide phases" : "Show phases");
    if (this.#history.latest) this.#showPlugins(this.#history.latest);
  }

  #showPlugins(metrics) {
    const rows = plugins(metrics);
    const withPhases = this.#phases.getAttribute("aria-expanded") === "true";
    this.#phases.hidden = rows.every(({ phases }) => phases.length === 0);
    this.#plugins.update(rows.flatMap((row) => (withPhases ? [pluginRow(row), ...phaseRows(row)] : [pluginRow(row)])));
  }

  #fail(message) {
    this.#say("lost", `Not live: ${message}`);
    setText(this.#pulse, "no metrics");
  }

  #say(state, text) {
    this.#live.dataset.state = state;
    this.#pulse.dataset.state = state;
    setText(this.#live, text);
  }

  #showTile({ id, label, value, unit, detail, series, known }) {
    const { node, parts } = this.#tiles.get(id) ?? this.#makeTile(id, label);
    node.classList.toggle("is-unknown", !known);
    setText(parts.value, value);
    setText(parts.unit, unit);
    setText(parts.detail, detail);
    parts.spark.update(series, CAPACITY);
  }

  #makeTile(id, label) {
    const parts = { value: element("b"), unit: element("span", { class: "unit" }), detail: element("p", { class: "detail" }), spark: new Sparkline() };
    const figure = element("p", { class: "value" }, parts.value, " ", parts.unit);
    const node = element("li", { class: "tile", "data-tile": id }, element("h3", {}, label), figure, parts.spark.node, parts.detail);
    this.#tileList.append(node);
    this.#tiles.set(id, { node, parts });
    return { node, parts };
  }

  #showEngine(metrics) {
    const figures = engineFigures(this.#history, metrics).filter(([, value]) => value !== null);
    this.#engine.parentElement.hidden = figures.length === 0;
    if (this.#engine.children.length !== figures.length) {
      this.#engine.replaceChildren(...figures.map(() => element("div", {}, element("dt"), element("dd"))));
    }
    figures.forEach(([label, value], index) => {
      const [term, description] = this.#engine.children[index].children;
      setText(term, label);
      setText(description, value);
    });
  }
}

const PLUGIN_COLUMNS = [
  { label: "Plugin", text: ({ name }) => name },
  { label: "Role", text: ({ role }) => role },
  { label: "Version", text: ({ version }) => version },
  { label: "Digest", kind: "code", text: ({ digest, isPart }) => (isPart ? "" : shortDigest(digest)), title: ({ digest }) => digest },
  { label: "Calls", kind: "number", text: ({ calls }) => count(calls) },
  { label: "Mean per call", kind: "number", text: ({ mean }) => duration(mean) },
  { label: "Faults", kind: "number", text: ({ faultKinds, isPart }) => (isPart ? "" : faultText(faultKinds)) },
];

function pluginRow(row) {
  return { ...row, key: row.plugin, name: row.plugin, role: row.role ?? "–", version: row.version ?? "–" };
}

/** Each phase in which the plugin is called, the one that took most time first. */
function phaseRows(row) {
  return row.phases.map((phase) => ({ ...phase, key: `${row.plugin} ${phase.phase}`, isPart: true, name: phase.phase, role: "", version: "" }));
}

function faultText(kinds) {
  return kinds.length === 0 ? "0" : kinds.map(({ kind, count: many }) => `${kind} × ${count(many)}`).join(", ");
}

const FUNCTION_COLUMNS = [
  { label: "Function", text: (row) => row.function },
  { label: "Route", kind: "code", text: ({ route }) => route ?? "–" },
  // The host counts its own functions under version 0.
  { label: "Version", text: ({ version }) => (version === "0" ? "built in" : (version ?? "–")) },
  { label: "Digest", kind: "code", text: ({ digest }) => shortDigest(digest), title: ({ digest }) => digest },
  { label: "Share", kind: "number", text: (row) => share(row.share) },
  { label: "Calls", kind: "number", text: ({ calls }) => count(calls) },
  { label: "Outcomes", text: ({ outcomes }) => outcomes.map(({ kind, count: many }) => `${kind} × ${count(many)}`).join(", ") || "–" },
  { label: "Mean per call", kind: "number", text: ({ mean }) => duration(mean) },
  { label: "P99", kind: "number", text: ({ p99 }) => quantileText(p99) },
  { label: "Running", kind: "number", text: ({ running }) => (running === null ? "" : count(running)) },
  { label: "Queued", kind: "number", text: ({ queued }) => (queued === null ? "" : count(queued)) },
];

/** What is worth a line and not a tile: `[label, text]`, text null where the server does not tell. */
function engineFigures(history, metrics) {
  const span = history.last(3);
  const perSecond = (name) => (span === null || metrics.sum(name) === null ? null : `${rate(span.rate(name))}/s`);
  const total = (name) => (metrics.sum(name) === null ? null : count(metrics.sum(name)));
  const whole = readHistogram(metrics, "vllm:e2e_request_latency_seconds");
  const guesses = metrics.sum("vllm:spec_decode_num_draft_tokens_total");
  const right = metrics.sum("vllm:spec_decode_num_accepted_tokens_total");
  const reasons = metrics
    .labelValues("vllm:request_success_total", "finished_reason")
    .map((reason) => `${reason} × ${count(metrics.sum("vllm:request_success_total", { finished_reason: reason }))}`);
  return [
    ["Steps", perSecond("host_engine_steps_total")],
    ["Tokens computed", perSecond("host_engine_computed_tokens_total")],
    ["Whole request, P50 since start", whole && quantileText(quantile(whole, 0.5))],
    ["Whole request, P99 since start", whole && quantileText(quantile(whole, 0.99))],
    ["Answers ended", reasons.length > 0 ? reasons.join(", ") : null],
    ["Guessed tokens accepted", guesses > 0 ? share(right / guesses) : null],
    ["Cached blocks given away", total("host_kv_block_evictions_total")],
    ["Rows of failed steps", total("host_engine_failed_rows_total")],
    ["Rows computed in vain", total("host_engine_late_masks_total")],
  ];
}
