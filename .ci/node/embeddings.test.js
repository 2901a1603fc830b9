// Vectors, by OpenAI's client and by the AI SDK.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { cosineSimilarity, embed, embedMany } from "ai";
import OpenAI from "openai";
import { serve } from "./server.js";

const TEXTS = ["The cat sat on the mat.", "Stocks fell sharply on Tuesday"];

let server;
let client;
let model;

before(async () => {
  server = await serve("--api-key", "right");
  client = new OpenAI({ baseURL: server.url, apiKey: "right", maxRetries: 0 });
  model = createOpenAICompatible({ name: "host", baseURL: server.url, apiKey: "right" }).embeddingModel("demo");
});

after(async () => assert.equal(await server.stop(), 0));

const same = (one, other) => assert.deepEqual([...Float32Array.from(one)], [...Float32Array.from(other)]);

test("the client's own choice of base64 gives the numbers that are sent as such", async () => {
  const usual = await client.embeddings.create({ model: "demo", input: TEXTS });
  const numbers = await client.embeddings.create({ model: "demo", input: TEXTS, encoding_format: "float" });
  assert.deepEqual(usual.data.map((item) => item.index), [0, 1]);
  usual.data.forEach((item, index) => same(item.embedding, numbers.data[index].embedding));
  assert.ok(usual.usage.prompt_tokens > 0 && usual.usage.total_tokens === usual.usage.prompt_tokens);
  const short = await client.embeddings.create({ model: "demo", input: TEXTS[0], dimensions: 8 });
  assert.equal(short.data[0].embedding.length, 8);
});

test("embed and embedMany give the vectors of OpenAI's client, and count their tokens", async () => {
  const { data, usage } = await client.embeddings.create({ model: "demo", input: TEXTS });
  const one = await embed({ model, value: TEXTS[0], maxRetries: 0 });
  const many = await embedMany({ model, values: TEXTS, maxRetries: 0 });
  many.embeddings.forEach((embedding, index) => same(embedding, data[index].embedding));
  assert.ok(cosineSimilarity(one.embedding, many.embeddings[0]) > 0.9999);
  assert.ok(cosineSimilarity(...many.embeddings) < 0.9999);
  assert.equal(many.usage.tokens, usage.prompt_tokens);
});

test("a text without tokens is refused", async () => {
  await assert.rejects(client.embeddings.create({ model: "demo", input: "" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
    assert.equal(error.param, "input");
    return true;
  });
});
