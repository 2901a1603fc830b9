import assert from "node:assert/strict";
import { test } from "node:test";

import { blocksOf, spansOf } from "../page/blocks.js";
import { count, duration, quantileText, rate, share, shortDigest } from "../page/format.js";
import { sparkPaths } from "../page/sparkline.js";

const paragraph = (text) => ({ kind: "paragraph", text });
const code = (text, language = "") => ({ kind: "code", language, text });

test("empty lines part paragraphs, and line breaks inside them stay", () => {
  assert.deepEqual(blocksOf("one\ntwo\n\n\nthree\n"), [paragraph("one\ntwo"), paragraph("three")]);
  assert.deepEqual(blocksOf(""), []);
});

test("fences make code of what is between them, empty lines included", () => {
  assert.deepEqual(blocksOf("Look:\n```python\na = 1\n\nb = 2\n```\nDone."), [paragraph("Look:"), code("a = 1\n\nb = 2", "python"), paragraph("Done.")]);
});

test("a fence that is still open runs to the end", () => {
  assert.deepEqual(blocksOf("```js\nlet a"), [code("let a", "js")]);
  assert.deepEqual(blocksOf("```"), [code("")]);
});

test("a fence is closed by its own kind alone", () => {
  assert.deepEqual(blocksOf("````md\n```js\nx\n```\n````\nend"), [code("```js\nx\n```", "md"), paragraph("end")]);
  assert.deepEqual(blocksOf("~~~\n```\n~~~"), [code("```")]);
});

test("markup is text like any other", () => {
  assert.deepEqual(blocksOf("<img src=x onerror=alert(1)>"), [paragraph("<img src=x onerror=alert(1)>")]);
});

test("single backticks on one line make code of what is between them", () => {
  const text = (part) => ({ kind: "text", text: part });
  assert.deepEqual(spansOf("Use `a` or `b`."), [text("Use "), { kind: "code", text: "a" }, text(" or "), { kind: "code", text: "b" }, text(".")]);
  assert.deepEqual(spansOf("one `two\nthree` four"), [text("one `two\nthree` four")]);
});

test("figures have three digits and the unit that fits", () => {
  assert.deepEqual([count(12345), rate(0), rate(3.2149), rate(48.26), rate(1234.5)], ["12,345", "0", "3.21", "48.3", "1,235"]);
  assert.deepEqual([duration(0.0000852), duration(0.0123), duration(1.254), duration(0)], ["85.2\u202fµs", "12.3\u202fms", "1.25\u202fs", "0\u202fs"]);
  assert.deepEqual([share(0.5), share(0.0012)], ["50\u202f%", "0.12\u202f%"]);
  assert.equal(shortDigest("sha256:0123456789abcdef"), "0123456789ab");
});

test("a figure that is not known is a dash", () => {
  assert.deepEqual([count(null), rate(NaN), share(undefined), duration(null), quantileText(null), shortDigest(null)], Array(6).fill("–"));
});

test("a quantile is told no more precisely than its bucket allows", () => {
  assert.equal(quantileText({ above: 0, upTo: 0.01, estimate: 0.005 }), "<\u202f10\u202fms");
  assert.equal(quantileText({ above: 80, upTo: Infinity, estimate: 80 }), ">\u202f80\u202fs");
  assert.equal(quantileText({ above: 0.02, upTo: 0.04, estimate: 0.03 }), "30\u202fms");
});

test("a sparkline ends at the right, starts from zero and leaves gaps open", () => {
  assert.equal(sparkPaths([0, 10], 3).line, "M60.0 26.0L120.0 2.0");
  assert.equal((sparkPaths([1, null, 1, 1], 4).line.match(/M/g) ?? []).length, 2);
  assert.equal(sparkPaths([null, null], 4).line, "");
  assert.equal(sparkPaths([0, 0], 2).line, "M0.0 26.0L120.0 26.0");
});
