import assert from "node:assert/strict";
import test from "node:test";

import { summarize } from "../src/summarize.js";
import { model } from "./host.js";

const call = (inference, body, { method = "POST", path = "/fn/summarize" } = {}) =>
  summarize({ method, path, text: async () => (typeof body === "string" ? body : JSON.stringify(body)) }, inference);
const queueFull = { status: 429, kind: "server_error", message: "full", param: null, code: "queue_full", retryAfterMs: 1200 };

test("a summary comes whole, with its usage", async () => {
  const { inference, seen } = model(["A short", " text."]);
  const answer = await call(inference, { text: "A long text." });
  assert.equal(answer.headers["content-type"], "application/json");
  const usage = { prompt_tokens: 11, completion_tokens: 3 };
  assert.deepEqual(JSON.parse(answer.body), { summary: "A short text.", finish: "stop", usage });
  assert.ok(seen.dropped);
});

test("the model is asked for its first name, with the text as the user's turn", async () => {
  const { inference, seen } = model(["x"]);
  await call(inference, { text: "A long text.", max_tokens: 7 });
  const [{ model: name, inputs, sampling, stream }] = seen.requests;
  assert.deepEqual([name, sampling.maxTokens, stream], ["first", 7, false]);
  assert.deepEqual(inputs[0].val.messages.map(({ role }) => role), ["system", "user"]);
  assert.equal(inputs[0].val.messages[1].content, "A long text.");
});

test("a streamed piece is sent before the next one is asked for", async () => {
  const { inference, seen } = model(["one", "two"]);
  const { headers, body } = await call(inference, { text: "t", stream: true });
  assert.equal(headers["content-type"], "text/event-stream");
  assert.equal(seen.asked, 0);
  assert.equal(body.next().value, 'data: {"text":"one"}\n\n');
  assert.equal(seen.asked, 1);
  const rest = [...body];
  assert.equal(rest[0], 'data: {"text":"two"}\n\n');
  assert.deepEqual(JSON.parse(rest[1].slice(6)), { finish: "stop", usage: { prompt_tokens: 11, completion_tokens: 3 } });
  assert.deepEqual(rest.slice(2), ["data: [DONE]\n\n"]);
});

test("a client that leaves cancels the generation", async () => {
  const { inference, seen } = model(["one", "two"]);
  const { body } = await call(inference, { text: "t", stream: true });
  body.next();
  body.return();
  assert.ok(seen.dropped);
});

test("a refusal of the model keeps its status and says when to come back", async () => {
  for (const stream of [false, true]) {
    const answer = await call(model([], queueFull).inference, { text: "t", stream });
    assert.deepEqual([answer.status, answer.headers["retry-after"]], [429, "2"]);
    assert.deepEqual(JSON.parse(answer.body).error, { message: "full", type: "server_error", param: null, code: "queue_full" });
  }
});

test("a failure in the middle of a stream is an event before the end", async () => {
  const fail = { status: 500, kind: "server_error", message: "stopped", param: null, code: null, retryAfterMs: null };
  const { inference, seen } = model(["one", { fail }]);
  const { body } = await call(inference, { text: "t", stream: true });
  const [, error, ...rest] = [...body];
  assert.equal(JSON.parse(error.slice(6)).error.message, "stopped");
  assert.deepEqual(rest, ["data: [DONE]\n\n"]);
  assert.ok(seen.dropped);
});

test("a body that makes no sense is refused by the name of its field", async () => {
  const refused = [
    ["no json", null],
    ["null", "text"],
    [{ text: " " }, "text"],
    [{ text: "t", max_tokens: 0 }, "max_tokens"],
    [{ text: "t", max_tokens: "9" }, "max_tokens"],
    [{ text: "t", stream: 1 }, "stream"],
  ];
  for (const [body, param] of refused) {
    const { inference, seen } = model(["x"]);
    const answer = await call(inference, body);
    assert.deepEqual([answer.status, JSON.parse(answer.body).error.param], [400, param], JSON.stringify(body));
    assert.equal(seen.requests.length, 0);
  }
});

test("GET explains, and nothing else is there", async () => {
  const { inference } = model([]);
  assert.match((await call(inference, "", { method: "GET", path: "/fn" })).body, /^Summarises a text/);
  assert.equal((await call(inference, "{}", { path: "/fn" })).status, 404);
  assert.equal((await call(inference, "{}", { method: "PUT" })).status, 404);
});

test("a bug is not taken for a refusal", async () => {
  const inference = { models: () => null[0] };
  await assert.rejects(call(inference, { text: "t" }), TypeError);
});
