import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, inWords } from "../page/failure.js";

const response = (status, body, headers = {}) => new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
const refusal = (status, error, headers) => Failure.ofResponse(response(status, { error }, headers));

test("the server's message, field and code are kept", async () => {
  const failure = await refusal(400, { message: "`temperature` is 3", type: "invalid_request_error", param: "temperature", code: null });
  assert.deepEqual([failure.status, failure.message, failure.param, failure.code], [400, "`temperature` is 3", "temperature", null]);
  assert.match(inWords(failure, "without key").advice, /temperature/);
});

test("a body that is no error object is shown as it is, but not at any length", async () => {
  const failure = await Failure.ofResponse(response(502, `Bad gateway ${"x".repeat(1000)}`));
  assert.match(failure.message, /^Bad gateway x+$/);
  assert.equal(failure.message.length, 300);
  for (const body of ["", "null", "[]", '{"error":"text"}', '{"error":{"message":7}}']) {
    assert.equal(typeof (await Failure.ofResponse(response(500, body))).message, "string", body);
  }
});

test("401 asks for a key, or says that the key is wrong", async () => {
  const failure = await refusal(401, { message: "no valid API key" });
  assert.match(inWords(failure, "without key").title, /asks for an API key/);
  assert.match(inWords(failure, "with key").title, /does not accept this API key/);
});

test("429 says when to try again, to the millisecond, the second or the date", async () => {
  const advice = async (headers) => inWords(await refusal(429, { message: "busy" }, headers), "without key").advice;
  assert.match(await advice({ "retry-after-ms": "1500" }), /2 seconds/);
  assert.match(await advice({ "retry-after": "1" }), /1 second before/);
  assert.match(await advice({ "retry-after": "30", "retry-after-ms": "9000" }), /9 seconds/);
  assert.match(await advice({ "retry-after": new Date(Date.now() + 60_000).toUTCString() }), /\d+ seconds/);
  assert.match(await advice({}), /in a moment/);
  assert.match(await advice({ "retry-after": "soon" }), /in a moment/);
});

test("every failure has a title and an advice", async () => {
  const failures = [Failure.ofNetwork(new TypeError("Failed to fetch")), Failure.ofEvent({ message: "out of memory" }), Failure.ofEvent("text"), await refusal(500, { message: "m", code: "plugin_failed" })];
  for (const status of [400, 403, 404, 408, 413, 500, 502, 503, 504]) failures.push(await refusal(status, { message: "m" }));
  for (const failure of failures) {
    const { title, advice } = inWords(failure, "without key");
    assert.ok(title && advice, `${failure.status}`);
  }
});
