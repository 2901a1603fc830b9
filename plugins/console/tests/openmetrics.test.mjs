import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../page/openmetrics.js";

const TEXT = `# HELP vllm:num_requests_running Sequences that take part in steps.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="demo"} 3
host_plugin_calls_total{model_name="demo",plugin="openai-router",phase="parse"} 2
host_plugin_calls_total{model_name="demo",plugin="openai-router",phase="reply.push"} 200
host_plugin_calls_total{model_name="demo",plugin="chat-template",phase="render"} 1
up 1 1700000000.5
latency_bucket{le="+Inf"} 4 # {trace_id="a b"} 0.5 1700000000
ratio NaN
least -Inf
spaced { a = "x" } 1
spaced{a="x", b="y",} 2.5e3
odd{text="a \\"quoted\\" back\\\\slash, new\\nline, } brace"} 7
empty{} 8
# EOF
`;

test("a sample has its name, labels and value", () => {
  const [sample] = parse(TEXT).all("vllm:num_requests_running");
  assert.deepEqual(sample, { name: "vllm:num_requests_running", labels: { model_name: "demo" }, value: 3 });
});

test("labels choose samples, and those are summed", () => {
  const metrics = parse(TEXT);
  assert.equal(metrics.sum("host_plugin_calls_total"), 203);
  assert.equal(metrics.sum("host_plugin_calls_total", { plugin: "openai-router" }), 202);
  assert.equal(metrics.sum("host_plugin_calls_total", { plugin: "openai-router", phase: "parse" }), 2);
});

test("what nobody measured is null and not zero", () => {
  const metrics = parse(TEXT);
  assert.equal(metrics.sum("nothing"), null);
  assert.equal(metrics.sum("host_plugin_calls_total", { plugin: "other" }), null);
  assert.deepEqual(metrics.all("nothing"), []);
});

test("the values of a label come once each, in the order of the text", () => {
  assert.deepEqual(parse(TEXT).labelValues("host_plugin_calls_total", "plugin"), ["openai-router", "chat-template"]);
  assert.deepEqual(parse(TEXT).labelValues("host_plugin_calls_total", "other"), []);
});

test("times and exemplars behind the value are not part of it", () => {
  const metrics = parse(TEXT);
  assert.equal(metrics.sum("up"), 1);
  assert.equal(metrics.sum("latency_bucket", { le: "+Inf" }), 4);
});

test("values may be no finite numbers", () => {
  const metrics = parse(TEXT);
  assert.equal(Number.isNaN(metrics.sum("ratio")), true);
  assert.equal(metrics.sum("least"), -Infinity);
  assert.equal(metrics.sum("spaced", { b: "y" }), 2500);
  assert.equal(metrics.sum("empty"), 8);
});

test("escapes in a label are undone, and a brace in it ends nothing", () => {
  const [{ labels }] = parse(TEXT).all("odd");
  assert.equal(labels.text, 'a "quoted" back\\slash, new\nline, } brace');
});

test("a line that makes no sense costs only itself", () => {
  const metrics = parse('good 1\nbad{ 2\nbad{a="1" 3\nbad\nbad x\n{} 4\n\r\ngood 5\n');
  assert.equal(metrics.sum("good"), 6);
  assert.equal(metrics.sum("bad"), null);
});

test("an empty text has nothing", () => {
  assert.equal(parse("").sum("good"), null);
});
