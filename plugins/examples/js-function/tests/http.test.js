import assert from "node:assert/strict";
import test from "node:test";

import { serve } from "../src/http.js";
import { incoming, wasi } from "./host.js";

const bytes = (text) => new TextEncoder().encode(text);
const text = (pieces) => Buffer.concat(pieces).toString();
const handle = (answer, request = {}) => serve(wasi(), answer).handle(incoming(request));

test("a request comes as a plain object", async () => {
  let seen;
  const headers = [["X-Name", bytes("value")]];
  await handle((request) => (seen = request) && {}, { method: { tag: "other", val: "brew" }, target: "/tea?a=1?&b", headers });
  assert.deepEqual([seen.method, seen.path, seen.query, seen.headers.get("x-name")], ["BREW", "/tea", "a=1?&b", "value"]);
});

test("a character may be split between two pieces of a body", async () => {
  const [first, second] = bytes("é");
  const pieces = [Uint8Array.of(first), Uint8Array.of(second)];
  const response = await handle(async (request) => ({ body: await request.text() }), { method: { tag: "post" }, pieces });
  assert.equal(text(response.contents), "é");
});

test("a text is sent whole and says its length in bytes", async () => {
  const response = await handle(() => ({ status: 201, headers: { "x-a": "b" }, body: "né" }));
  assert.equal(response.status, 201);
  assert.deepEqual(response.headers, [["x-a", bytes("b")], ["content-length", bytes("3")]]);
  assert.equal(text(response.contents), "né");
});

test("a response without a body has neither bytes nor a length", async () => {
  const response = await handle(() => ({ status: 204 }));
  assert.deepEqual([response.contents, response.headers], [null, []]);
});

test("each text of an iterable is a piece of its own", async () => {
  const response = await handle(() => ({ body: ["one", "two"] }));
  const pieces = await collect(response.contents);
  assert.deepEqual(pieces, [bytes("one"), bytes("two")]);
  assert.deepEqual(await response.trailers, { tag: "ok", val: null });
});

test("a body that fails is broken off, not ended", async () => {
  function* body() {
    yield "half";
    throw new Error("no more");
  }
  const response = await handle(() => ({ body: body() }));
  assert.deepEqual(await collect(response.contents), [bytes("half")]);
  const { tag, val } = await response.trailers;
  assert.deepEqual([tag, val.tag], ["err", "internal-error"]);
  assert.match(val.val, /^Error: no more\n.*http\.test\.js/s);
});

test("an exception is a failure of the handler that names its place", async () => {
  const fails = handle(() => null.nothing);
  await assert.rejects(fails, ({ tag, val }) => tag === "internal-error" && /^TypeError: .*http\.test\.js/s.test(val));
});

async function collect(chunks) {
  const pieces = [];
  for await (const piece of chunks) pieces.push(piece);
  return pieces;
}
