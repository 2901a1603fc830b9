import assert from "node:assert/strict";
import test from "node:test";

import { decode, encode } from "../src/utf8.js";

test("text becomes the bytes of UTF-8 and comes back", () => {
  const all = "a é 漢 😀 ".repeat(5000);
  assert.deepEqual(encode(all), new TextEncoder().encode(all));
  assert.equal(decode([encode(all)]), all);
});

test("half a surrogate pair becomes the replacement character", () => {
  assert.equal(decode([encode("a\ud83d")]), "a\ufffd");
});

test("bytes that are not UTF-8 are refused", () => {
  for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80]]) assert.throws(() => decode([Uint8Array.from(bad)]), URIError);
});
