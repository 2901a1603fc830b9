// Vercel's AI SDK talks to the demo model as to any server that is compatible with OpenAI's.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { serve } from "./server.js";

const SHORT = { prompt: "Who wrote Romeo and Juliet?", temperature: 0, maxOutputTokens: 24, maxRetries: 0 };
// A weak model that has to call, and may call again, goes on until it has no tokens left.
const ONE_CALL = { maxOutputTokens: 80, providerOptions: { host: { parallel_tool_calls: false } } };
const Play = z.object({ title: z.string().max(30), year: z.int() });

let server;
let model;

before(async () => {
  server = await serve("--api-key", "right");
  const provider = createOpenAICompatible({ name: "host", baseURL: server.url, apiKey: "right", includeUsage: true, supportsStructuredOutputs: true });
  model = provider("demo");
});

after(async () => assert.equal(await server.stop(), 0));

test("generateText answers, and counts its tokens", async () => {
  const { text, usage, finishReason } = await generateText({ model, ...SHORT });
  assert.match(text, /Shakespeare/);
  assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0 && usage.outputTokens <= 24);
  assert.ok(["stop", "length"].includes(finishReason));
});

test("streamText streams the same text, and its usage", async () => {
  const { text } = await generateText({ model, ...SHORT });
  const stream = streamText({ model, ...SHORT });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.length > 4);
  assert.ok((await stream.usage).outputTokens > 0);
});

const towns = [];
const get_weather = tool({
  description: "The weather of a town",
  inputSchema: z.object({ town: z.string().max(20) }),
  execute: ({ town }) => {
    towns.push(town);
    return { sky: "clear" };
  },
});

test("a required call runs its tool with arguments that its schema takes", async () => {
  towns.length = 0;
  const asked = { model, ...SHORT, ...ONE_CALL, tools: { get_weather }, toolChoice: "required", stopWhen: isStepCount(1) };
  const { toolCalls, toolResults } = await generateText(asked);
  assert.deepEqual(toolCalls.map((call) => call.toolName), ["get_weather"]);
  assert.deepEqual(toolResults[0].output, { sky: "clear" });
  assert.equal(typeof towns[0], "string");
});

test("the tool's result goes back to the model, which goes on", async () => {
  const asked = { model, ...SHORT, ...ONE_CALL, tools: { get_weather }, stopWhen: isStepCount(2) };
  const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" });
  const { steps, text } = await generateText({ ...asked, prepareStep });
  assert.equal(steps.length, 2);
  assert.ok(text);
});

test("an object has the shape of its schema, whole and streamed", async () => {
  const asked = { model, ...SHORT, maxOutputTokens: 120, output: Output.object({ schema: Play }) };
  const { output } = await generateText(asked);
  assert.deepEqual(Object.keys(output).sort(), ["title", "year"]);
  assert.deepEqual(await streamText(asked).output, output);
});

test("an AbortSignal ends the answer, and the server gives it up", async () => {
  const abort = new AbortController();
  const stream = streamText({ model, ...SHORT, prompt: "Tell me a long story.", maxOutputTokens: 4000, abortSignal: abort.signal });
  let aborted = false;
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta" && !abort.signal.aborted) {
      await server.reaches("vllm:num_requests_running", 1);
      abort.abort();
    }
    aborted ||= part.type === "abort";
  }
  assert.ok(aborted);
  await server.reaches("vllm:num_requests_running", 0);
});

test("a refusal is an APICallError with the server's message", async () => {
  await assert.rejects(generateText({ model, ...SHORT, temperature: 3 }), (error) => {
    assert.ok(APICallError.isInstance(error), `${error}`);
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /temperature/);
    return true;
  });
});
