import assert from "node:assert/strict";
import { test } from "node:test";

import { functions, plugins } from "../page/inventory.js";
import { parse } from "../page/openmetrics.js";

const CALLS = `host_plugin_calls_total{plugin="shaper",phase="load"} 1
host_plugin_calls_total{plugin="shaper",phase="shape"} 4
host_plugin_calls_total{plugin="shaper",phase="start"} 4
host_plugin_time_seconds_total{plugin="shaper",phase="load"} 2
host_plugin_time_seconds_total{plugin="shaper",phase="shape"} 0.4
host_plugin_time_seconds_total{plugin="shaper",phase="start"} 0.04
`;

test("a plugin's calls are those of serving, not of loading", () => {
  const [row] = plugins(parse(CALLS));
  assert.deepEqual([row.plugin, row.calls, row.mean], ["shaper", 8, 0.055]);
  assert.deepEqual(row.phases.map(({ phase, calls, mean }) => [phase, calls, mean]), [["load", 1, 2], ["shape", 4, 0.1], ["start", 4, 0.01]]);
});

test("a server that does not describe its plugins still has them listed", () => {
  const [row] = plugins(parse(CALLS));
  assert.deepEqual([row.role, row.version, row.digest, row.faults], [null, null, null, 0]);
});

test("a plugin is listed before anybody has called it", () => {
  const [row] = plugins(parse('host_plugin_info{plugin="router",role="router",version="0.1.0",digest="sha256:ab"} 1'));
  assert.deepEqual([row.role, row.version, row.digest, row.calls, row.mean], ["router", "0.1.0", "sha256:ab", 0, null]);
});

test("faults are counted by kind", () => {
  const text = 'host_plugin_faults_total{plugin="a",fault="trap"} 2\nhost_plugin_faults_total{plugin="a",fault="fuel"} 1';
  const [row] = plugins(parse(text));
  assert.deepEqual([row.faults, row.faultKinds], [3, [{ kind: "fuel", count: 1 }, { kind: "trap", count: 2 }]]);
});

const FUNCTIONS = `host_function_info{function="sum",route="/fn/sum",version="9",digest="sha256:a",share="10"} 1
host_function_info{function="sum",route="/fn/sum",version="10",digest="sha256:b",share="90"} 1
host_function_requests_total{function="sum",version="8",outcome="answered"} 5
host_function_requests_total{function="sum",version="10",outcome="answered"} 7
host_function_requests_total{function="sum",version="10",outcome="failed"} 1
host_function_request_duration_seconds_bucket{function="sum",version="10",le="0.5"} 8
host_function_request_duration_seconds_bucket{function="sum",version="10",le="+Inf"} 8
host_function_request_duration_seconds_sum{function="sum",version="10"} 2
host_function_running{function="sum"} 3
host_function_queued{function="sum"} 0
host_function_running{function="idle"} 0
`;

test("each version of a function has a row, the newest first, those that serve no more included", () => {
  const rows = functions(parse(FUNCTIONS)).filter((row) => row.function === "sum");
  assert.deepEqual(rows.map(({ version, share, calls }) => [version, share, calls]), [["10", 0.9, 8], ["9", 0.1, null], ["8", null, 5]]);
  assert.deepEqual(rows[0].outcomes, [{ kind: "answered", count: 7 }, { kind: "failed", count: 1 }]);
  assert.deepEqual([rows[0].mean, rows[0].p99.upTo], [0.25, 0.5]);
});

test("what is counted per function stands in its first row alone", () => {
  const rows = functions(parse(FUNCTIONS)).filter((row) => row.function === "sum");
  assert.deepEqual(rows.map(({ running, queued }) => [running, queued]), [[3, 0], [null, null], [null, null]]);
});

test("a function without any version has a row", () => {
  const [row] = functions(parse(FUNCTIONS));
  assert.deepEqual([row.function, row.version, row.running, row.calls], ["idle", null, 0, null]);
});

test("a server without functions and plugins has empty tables", () => {
  assert.deepEqual([functions(parse("")), plugins(parse(""))], [[], []]);
});
