// OpenAI's client talks to /v1/responses.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { serve } from "./server.js";

const SHORT = { model: "demo", input: "Who wrote Romeo and Juliet?", temperature: 0, max_output_tokens: 24 };
const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "The weather of a town",
  parameters: {
    type: "object",
    properties: { town: { type: "string", maxLength: 20 } },
    required: ["town"],
    additionalProperties: false,
  },
  strict: true,
};

let server;
let responses;

before(async () => {
  server = await serve("--api-key", "right");
  responses = new OpenAI({ baseURL: server.url, apiKey: "right", maxRetries: 0 }).responses;
});

after(async () => assert.equal(await server.stop(), 0));

test("a text is answered", async () => {
  const response = await responses.create(SHORT);
  assert.match(response.output_text, /Shakespeare/);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
  assert.ok(response._request_id);
});

test("a stream is the same text in pieces, and its events are numbered", async () => {
  const whole = await responses.create(SHORT);
  const events = [];
  for await (const event of await responses.create({ ...SHORT, stream: true })) events.push(event);
  const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.ok(deltas.length > 4);
  assert.equal(deltas.join(""), whole.output_text);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).response.status, whole.status);
});

test("the client's own accumulation of a stream gives the whole response", async () => {
  const whole = await responses.create(SHORT);
  const final = await responses.stream(SHORT).finalResponse();
  assert.equal(final.output_text, whole.output_text);
  assert.equal(final.status, whole.status);
});

test("a structured answer is parsed by its Zod schema", async () => {
  const Play = z.object({ title: z.string().max(30), year: z.int() });
  const response = await responses.parse({ ...SHORT, max_output_tokens: 120, text: { format: zodTextFormat(Play, "play") } });
  assert.deepEqual(Object.keys(response.output_parsed).sort(), ["title", "year"]);
});

test("a forced call is streamed, and its result is read in the next turn", async () => {
  const forced = { ...SHORT, tools: [WEATHER], tool_choice: { type: "function", name: "get_weather" }, max_output_tokens: 80 };
  const { output } = await responses.stream(forced).finalResponse();
  const [call] = output;
  assert.equal(call.type, "function_call");
  assert.equal(call.name, "get_weather");
  assert.deepEqual(Object.keys(JSON.parse(call.arguments)), ["town"]);
  const result = { type: "function_call_output", call_id: call.call_id, output: '{"sky":"clear"}' };
  const input = [{ role: "user", content: SHORT.input }, call, result];
  const answer = await responses.create({ ...SHORT, input, tools: [WEATHER], tool_choice: "none" });
  assert.ok(answer.output_text);
});

test("what needs a memory is refused by the name of its field", async () => {
  await assert.rejects(responses.create({ ...SHORT, previous_response_id: "resp_1" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
    assert.equal(error.param, "previous_response_id");
    return true;
  });
});

test("an aborted stream is given up by the server", async () => {
  const stream = await responses.create({ ...SHORT, max_output_tokens: 4000, ignore_eos: true, stream: true });
  for await (const event of stream) {
    if (event.type !== "response.output_text.delta") continue;
    await server.reaches("vllm:num_requests_running", 1);
    stream.controller.abort();
    break;
  }
  await server.reaches("vllm:num_requests_running", 0);
});
