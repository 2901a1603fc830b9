import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../page/history.js";
import { parse } from "../page/openmetrics.js";
import { readings } from "../page/readings.js";

function tilesOf(...texts) {
  const history = new History(61);
  texts.forEach((text, second) => history.add(second * 1000, parse(text)));
  return Object.fromEntries(readings(history).map((tile) => [tile.id, tile]));
}

const name = "vllm:time_to_first_token_seconds";
const firstTokens = (fast, slow, sum) => `${name}_bucket{le="0.01"} ${fast}\n${name}_bucket{le="0.02"} ${fast + slow}\n${name}_bucket{le="+Inf"} ${fast + slow}\n${name}_sum ${sum}\n${name}_count ${fast + slow}\n`;

test("a server that reports nothing gets tiles that say so", () => {
  for (const tile of Object.values(tilesOf("", ""))) {
    assert.deepEqual([tile.value, tile.detail, tile.known], ["–", "not reported", false], tile.id);
  }
});

test("tokens a second come from the counter's differences", () => {
  const { generated } = tilesOf("vllm:generation_tokens_total 100", "vllm:generation_tokens_total 400");
  assert.deepEqual([generated.value, generated.unit, generated.detail], ["300", "tokens/s", "400 in all"]);
  assert.deepEqual(generated.series, [null, 300]);
});

test("quantiles are of what happened lately, and a first bucket is told as its bound", () => {
  const tile = tilesOf(firstTokens(100, 0, 0.5), firstTokens(100, 10, 0.65))["first-token"];
  assert.equal(tile.value, "15\u202fms");
  assert.equal(tile.detail, "P99 19.9\u202fms · mean 15\u202fms");
  const fast = tilesOf(firstTokens(0, 0, 0), firstTokens(10, 0, 0.04))["first-token"];
  assert.equal(fast.value, "<\u202f10\u202fms");
});

test("after a quiet minute the figures are those since the start, and say so", () => {
  const tile = tilesOf(firstTokens(0, 10, 0.15), firstTokens(0, 10, 0.15))["first-token"];
  assert.match(tile.detail, /since start$/);
  const none = tilesOf(firstTokens(0, 0, 0), firstTokens(0, 0, 0))["first-token"];
  assert.deepEqual([none.value, none.detail], ["–", "nothing measured yet"]);
});

test("the share of cached prompt tokens is that of the last minute", () => {
  const at = (hits, queries) => `vllm:prefix_cache_hits_total ${hits}\nvllm:prefix_cache_queries_total ${queries}`;
  const tile = tilesOf(at(0, 1000), at(48, 1064))["prefix-cache"];
  assert.deepEqual([tile.value, tile.detail], ["75\u202f%", "48 of 64 prompt tokens"]);
  assert.equal(tilesOf(at(0, 0), at(0, 0))["prefix-cache"].detail, "nothing looked up yet");
});

test("responses are told by status", () => {
  const at = (good, bad) => `host_http_responses_total{status="200"} ${good}\nhost_http_responses_total{status="404"} ${bad}`;
  const { responses } = tilesOf(at(10, 1), at(14, 1));
  assert.deepEqual([responses.value, responses.detail], ["4", "200 × 14 · 404 × 1"]);
});

test("the first moment has gauges but no rates yet", () => {
  const tiles = tilesOf("vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:generation_tokens_total 5");
  assert.deepEqual([tiles.running.value, tiles.running.detail], ["2", "1 waiting"]);
  assert.deepEqual([tiles.generated.value, tiles.generated.known], ["–", false]);
});
