import assert from "node:assert/strict";
import { test } from "node:test";

import { History, increase } from "../page/history.js";
import { parse } from "../page/openmetrics.js";

/** A history of a counter, one value per second. */
function historyOf(values, capacity = 100) {
  const history = new History(capacity);
  values.forEach((value, second) => history.add(second * 1000, parse(value === null ? "" : `c_total ${value}`)));
  return history;
}

test("a rate is the increase of the span by its length", () => {
  const span = historyOf([0, 10, 20, 50]).last(2);
  assert.equal(span.seconds, 2);
  assert.equal(span.increase("c_total"), 40);
  assert.equal(span.rate("c_total"), 20);
});

test("a span reaches back as far as there is anything", () => {
  assert.equal(historyOf([0, 10, 20]).last(60).increase("c_total"), 20);
});

test("one moment is no span", () => {
  assert.equal(historyOf([5]).last(1), null);
  assert.equal(new History(3).latest, null);
});

test("a poll that came a little late or early still counts as its second's", () => {
  const history = new History(10);
  [0, 980, 2010, 2990].forEach((time, index) => history.add(time, parse(`c_total ${index}`)));
  assert.equal(history.last(2).increase("c_total"), 2);
});

test("a counter that went down was started anew", () => {
  assert.equal(historyOf([100, 7]).last(1).increase("c_total"), 7);
  assert.equal(increase(3, null), 3);
});

test("a counter that nobody reports has no rate", () => {
  assert.equal(historyOf([1, null]).last(1).rate("c_total"), null);
  assert.equal(increase(null, 3), null);
});

test("only so many moments are kept", () => {
  const history = historyOf([1, 2, 3, 4, 5], 3);
  assert.deepEqual(history.values((metrics) => metrics.sum("c_total")), [3, 4, 5]);
});

test("spans of every moment begin where there is one before it", () => {
  assert.deepEqual(historyOf([0, 1, 3, 6]).spans(2, (span) => span.increase("c_total")), [null, 1, 3, 5]);
});
