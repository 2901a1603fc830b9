// The rows of the operator's tables: which plugins and functions there are, and what they have done. Names come from wherever
// a metric mentions them, so the tables are there with a server that tells only some of it.

import { mean, quantile, readHistogram } from "./histogram.js";

/** What happens once, when a plugin is loaded, says nothing of requests. */
const ONCE = new Set(["load", "routes"]);

/** One row per plugin: `{ plugin, role, version, digest, calls, mean, faults, faultKinds, phases }`; `phases` are `{ phase, calls, mean }`. */
export function plugins(metrics) {
  const names = namesOf(metrics, "plugin", ["host_plugin_info", "host_plugin_calls_total", "host_plugin_faults_total"]);
  return names.map((plugin) => {
    const info = metrics.all("host_plugin_info", { plugin })[0]?.labels ?? {};
    const phases = metrics
      .labelValues("host_plugin_calls_total", "phase", { plugin })
      .map((phase) => callsOf(metrics, { plugin, phase }))
      .sort((a, b) => b.seconds - a.seconds);
    const serving = phases.filter(({ phase }) => !ONCE.has(phase));
    const calls = total(serving, "calls");
    const faultKinds = countsBy(metrics, "host_plugin_faults_total", "fault", { plugin });
    return {
      plugin,
      role: info.role ?? null,
      version: info.version ?? null,
      digest: info.digest ?? null,
      calls,
      mean: calls > 0 ? total(serving, "seconds") / calls : null,
      faults: total(faultKinds, "count"),
      faultKinds,
      phases,
    };
  });
}

function callsOf(metrics, wanted) {
  const calls = metrics.sum("host_plugin_calls_total", wanted) ?? 0;
  const seconds = metrics.sum("host_plugin_time_seconds_total", wanted) ?? 0;
  return { phase: wanted.phase, calls, seconds, mean: calls > 0 ? seconds / calls : null };
}

/** One row per function and version: `{ function, route, version, digest, share, calls, outcomes, mean, p99, running, queued }`. */
export function functions(metrics) {
  const requests = "host_function_requests_total";
  const names = namesOf(metrics, "function", ["host_function_info", requests, "host_function_running", "host_function_queued"]);
  return names.flatMap((name) => {
    // The newest version first. Without any the function itself is still worth a row.
    const versions = namesOf(metrics, "version", ["host_function_info", requests], { function: name }).reverse();
    const rows = (versions.length > 0 ? versions : [undefined]).map((version) => functionRow(metrics, name, version));
    // These two are counted per function, whatever the version: they stand in its first row.
    rows[0].running = metrics.sum("host_function_running", { function: name });
    rows[0].queued = metrics.sum("host_function_queued", { function: name });
    return rows;
  });
}

function functionRow(metrics, name, version) {
  const wanted = version === undefined ? { function: name } : { function: name, version };
  const info = metrics.all("host_function_info", wanted)[0]?.labels ?? {};
  const durations = readHistogram(metrics, "host_function_request_duration_seconds", wanted);
  return {
    function: name,
    route: info.route ?? null,
    version: version ?? null,
    digest: info.digest ?? null,
    share: info.share === undefined ? null : Number(info.share) / 100,
    calls: metrics.sum("host_function_requests_total", wanted),
    outcomes: countsBy(metrics, "host_function_requests_total", "outcome", wanted),
    mean: mean(durations),
    p99: quantile(durations, 0.99),
    running: null,
    queued: null,
  };
}

function namesOf(metrics, label, sources, wanted) {
  const names = sources.flatMap((source) => metrics.labelValues(source, label, wanted));
  return [...new Set(names)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function countsBy(metrics, name, label, wanted) {
  return metrics
    .labelValues(name, label, wanted)
    .sort()
    .map((kind) => ({ kind, count: metrics.sum(name, { ...wanted, [label]: kind }) }));
}

function total(rows, field) {
  return rows.reduce((sum, row) => sum + row[field], 0);
}
