import assert from "node:assert/strict";
import test from "node:test";

import { answer } from "../src/function.js";
import { model } from "./host.js";

const post = (question) => ({ method: "POST", path: "/{{name}}", text: async () => question });

test("a question is answered piece by piece", async () => {
  const { inference, seen } = model(["Forty", "-two."]);
  const { body } = await answer(post("How many?"), inference);
  assert.deepEqual([...body], ["Forty", "-two."]);
  assert.equal(seen.requests[0].inputs[0].val.messages[0].content, "How many?");
});

test("without a question the model is not asked", async () => {
  const { inference, seen } = model([]);
  const { status, body } = await answer(post(" "), inference);
  assert.equal(status, 400);
  assert.match(JSON.parse(body).error.message, /send a question/);
  assert.equal(seen.requests.length, 0);
});

test("a body that is no text is refused", async () => {
  const request = { method: "POST", path: "/{{name}}", text: async () => decodeURIComponent("%ff") };
  const { inference, seen } = model([]);
  const { status, body } = await answer(request, inference);
  assert.equal(status, 400);
  assert.match(JSON.parse(body).error.message, /not UTF-8/);
  assert.equal(seen.requests.length, 0);
});

test("a refusal of the model keeps its status", async () => {
  const full = { status: 429, kind: "server_error", message: "full", param: null, code: "queue_full", retryAfterMs: 1200 };
  const { status, headers } = await answer(post("How many?"), model([], full).inference);
  assert.deepEqual([status, headers["retry-after"]], [429, "2"]);
});
