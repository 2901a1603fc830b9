// OpenAI's client for JavaScript talks to the demo model.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { serve } from "./server.js";

const QUESTION = [{ role: "user", content: "Who wrote Romeo and Juliet?" }];
const SHORT = { model: "demo", messages: QUESTION, temperature: 0, max_tokens: 24 };
const LONG = { ...SHORT, max_tokens: 4000, ignore_eos: true, stream: true };
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a town",
    parameters: {
      type: "object",
      properties: { town: { type: "string", maxLength: 20 } },
      required: ["town"],
      additionalProperties: false,
    },
  },
};

let server;
let client;

const connect = (more = {}) => new OpenAI({ baseURL: server.url, apiKey: "right", maxRetries: 0, ...more });

before(async () => {
  server = await serve("--api-key", "right", "--max-num-seqs", "1", "--max-num-queued-reqs", "0");
  client = connect();
});

after(async () => assert.equal(await server.stop(), 0));

test("a text is answered", async () => {
  const answer = await client.chat.completions.create(SHORT);
  assert.match(answer.choices[0].message.content, /Shakespeare/);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(answer._request_id);
});

test("a stream is the same text in pieces, and ends with its usage", async () => {
  const whole = await client.chat.completions.create(SHORT);
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...SHORT, stream: true, stream_options: { include_usage: true } })) {
    chunks.push(chunk);
  }
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, whole.choices[0].message.content);
  assert.ok(chunks.length > 4);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
});

test("the client's own accumulation of a stream gives the whole answer", async () => {
  const whole = await client.chat.completions.create(SHORT);
  const gathered = await client.chat.completions.stream(SHORT).finalChatCompletion();
  assert.equal(gathered.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(gathered.choices[0].finish_reason, whole.choices[0].finish_reason);
});

test("a required call names its tool, and its result is read in the next turn", async () => {
  const asked = { ...SHORT, tools: [WEATHER], tool_choice: "required", parallel_tool_calls: false, max_tokens: 80 };
  const { message, finish_reason } = (await client.chat.completions.create(asked)).choices[0];
  assert.equal(finish_reason, "tool_calls");
  const [call] = message.tool_calls;
  assert.equal(call.type, "function");
  assert.equal(call.function.name, "get_weather");
  assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ["town"]);
  const messages = [...QUESTION, message, { role: "tool", tool_call_id: call.id, content: '{"sky":"clear"}' }];
  const answer = await client.chat.completions.create({ ...SHORT, messages, tools: [WEATHER], tool_choice: "none" });
  assert.ok(answer.choices[0].message.content);
});

test("a named call is streamed, and the client puts it together", async () => {
  const asked = { ...SHORT, tools: [WEATHER], tool_choice: { type: "function", function: { name: "get_weather" } }, max_tokens: 80 };
  const gathered = await client.chat.completions.stream(asked).finalChatCompletion();
  const [call] = gathered.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.equal(typeof JSON.parse(call.function.arguments).town, "string");
});

test("a structured answer is parsed by its Zod schema", async () => {
  const Play = z.object({ title: z.string().max(30), year: z.int() });
  const form = zodResponseFormat(Play, "play");
  const answer = await client.chat.completions.parse({ ...SHORT, response_format: form, max_tokens: 120 });
  const play = answer.choices[0].message.parsed;
  assert.deepEqual(Object.keys(play).sort(), ["title", "year"]);
});

test("a stream that its reader leaves is given up by the server", async () => {
  const stream = await client.chat.completions.create(LONG);
  for await (const chunk of stream) {
    if (!chunk.choices[0].delta.content) continue;
    await server.reaches("vllm:num_requests_running", 1);
    break;
  }
  await server.reaches("vllm:num_requests_running", 0);
});

test("an aborted stream is given up by the server", async () => {
  const abort = new AbortController();
  const stream = await client.chat.completions.create(LONG, { signal: abort.signal });
  for await (const chunk of stream) {
    if (!chunk.choices[0].delta.content) continue;
    await server.reaches("vllm:num_requests_running", 1);
    abort.abort();
    break;
  }
  await server.reaches("vllm:num_requests_running", 0);
});

test("each refusal is an error of the client's class for it", async () => {
  const refused = (request, kind, facts) =>
    assert.rejects(request, (error) => {
      assert.ok(error instanceof kind, `${error}`);
      for (const [key, value] of Object.entries(facts)) assert.equal(error[key], value);
      assert.ok(error.requestID);
      return true;
    });
  const create = (change) => client.chat.completions.create({ ...SHORT, ...change });
  await refused(create({ temperature: 3 }), OpenAI.BadRequestError, { status: 400, param: "temperature" });
  await refused(create({ model: "gpt-0" }), OpenAI.NotFoundError, { status: 404, code: "model_not_found" });
  await refused(connect({ apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
});

test("a request that finds no room is a rate limit, and the one that runs goes on", async () => {
  const stream = await client.chat.completions.create(LONG);
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();
  await assert.rejects(client.chat.completions.create(SHORT), (error) => error instanceof OpenAI.RateLimitError && error.status === 429);
  assert.ok((await chunks.next()).value.id);
  stream.controller.abort();
  await server.reaches("vllm:num_requests_running", 0);
});

test("models are listed, and one is retrieved by its name", async () => {
  const { data } = await client.models.list();
  assert.deepEqual(data.map((model) => model.id), ["demo"]);
  assert.deepEqual(await client.models.retrieve("demo"), data[0]);
  await assert.rejects(client.models.retrieve("gpt-0"), OpenAI.NotFoundError);
});
