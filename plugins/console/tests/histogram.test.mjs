import assert from "node:assert/strict";
import { test } from "node:test";

import { difference, mean, quantile, readHistogram } from "../page/histogram.js";
import { parse } from "../page/openmetrics.js";

/** A histogram with bounds 1, 2, 4 and these cumulative counts. */
function histogram(counts, sum, label = "") {
  const bounds = ["1.0", "2.0", "4.0", "+Inf"];
  const lines = counts.map((count, index) => `h_bucket{${label}le="${bounds[index]}"} ${count}`);
  return readHistogram(parse([...lines, `h_sum{${label}} ${sum}`, `h_count{${label}} ${counts.at(-1)}`].join("\n")), "h");
}

test("a quantile lies between the bounds of its bucket, in proportion", () => {
  const h = histogram([0, 10, 20, 20], 50);
  assert.deepEqual(quantile(h, 0.5), { above: 1, upTo: 2, estimate: 2 });
  assert.deepEqual(quantile(h, 0.25), { above: 1, upTo: 2, estimate: 1.5 });
  assert.deepEqual(quantile(h, 0.75), { above: 2, upTo: 4, estimate: 3 });
});

test("in the first bucket it begins at zero, and beyond the last bound there is only that bound", () => {
  assert.deepEqual(quantile(histogram([4, 4, 4, 4], 2), 0.5), { above: 0, upTo: 1, estimate: 0.5 });
  assert.deepEqual(quantile(histogram([0, 0, 0, 4], 40), 0.5), { above: 4, upTo: Infinity, estimate: 4 });
});

test("an empty histogram has neither quantile nor mean", () => {
  for (const empty of [histogram([0, 0, 0, 0], 0), null]) {
    assert.equal(quantile(empty, 0.5), null);
    assert.equal(mean(empty), null);
  }
});

test("the difference of two moments is a histogram of what happened between them", () => {
  const between = difference(histogram([5, 12, 20, 21], 60), histogram([5, 6, 6, 6], 10));
  assert.deepEqual(between.cumulative, [0, 6, 14, 15]);
  assert.equal(between.count, 15);
  assert.equal(mean(between), 50 / 15);
  assert.deepEqual(quantile(between, 0.4), { above: 1, upTo: 2, estimate: 2 });
});

test("after a restart, with other bounds and without an earlier moment all of the later one is new", () => {
  const later = histogram([1, 2, 3, 3], 4);
  const others = readHistogram(parse('h_bucket{le="3"} 1\nh_bucket{le="+Inf"} 1'), "h");
  for (const earlier of [histogram([5, 6, 6, 6], 10), others, null]) {
    assert.deepEqual(difference(later, earlier), later);
  }
  assert.equal(difference(null, later), null);
});

test("series of one name are added up unless labels choose among them", () => {
  const text = 'h_bucket{f="a",le="1"} 1\nh_bucket{f="a",le="+Inf"} 2\nh_bucket{f="b",le="1"} 10\nh_bucket{f="b",le="+Inf"} 20\n';
  const metrics = parse(`${text}h_sum{f="a"} 3\nh_sum{f="b"} 30`);
  assert.deepEqual(readHistogram(metrics, "h"), { bounds: [1, Infinity], cumulative: [11, 22], sum: 33, count: 22 });
  assert.equal(readHistogram(metrics, "h", { f: "b" }).count, 20);
  assert.equal(readHistogram(metrics, "h", { f: "c" }), null);
});

test("bounds are sorted by size, whatever the order of the text", () => {
  const metrics = parse('h_bucket{le="+Inf"} 3\nh_bucket{le="10.0"} 2\nh_bucket{le="2.5"} 1');
  assert.deepEqual(readHistogram(metrics, "h").bounds, [2.5, 10, Infinity]);
});

test("without a sum there is no mean, and quantiles are there all the same", () => {
  const h = readHistogram(parse('h_bucket{le="2"} 3\nh_bucket{le="+Inf"} 3'), "h");
  assert.equal(mean(h), null);
  assert.equal(quantile(h, 0.5).upTo, 2);
});
