import assert from "node:assert/strict";
import { test } from "node:test";

import { Answer } from "../page/answer.js";

const chunk = (delta, finish_reason = null) => ({ choices: [{ index: 0, delta, finish_reason }], usage: null });
const USAGE = { choices: [], usage: { prompt_tokens: 36, completion_tokens: 11, total_tokens: 47, prompt_tokens_details: { cached_tokens: 16 } } };

/** An answer asked at 1000 ms, whose chunks come every 100 ms from 1050 ms on. */
function answerOf(...chunks) {
  const answer = new Answer(1000);
  chunks.forEach((chunk, index) => answer.take(chunk, 1050 + index * 100));
  return answer;
}

test("content, reasoning and the finish reason are put together", () => {
  const answer = answerOf(chunk({ role: "assistant", content: "" }), chunk({ reasoning: "Hm" }), chunk({ reasoning_content: "m.", reasoning: "m." }), chunk({ content: "He" }), chunk({ content: "y" }), chunk({}, "stop"));
  assert.deepEqual([answer.reasoning, answer.content, answer.finishReason], ["Hmm.", "Hey", "stop"]);
});

test("the first token is the first that has something in it", () => {
  const answer = answerOf(chunk({ role: "assistant", content: "" }), chunk({ content: "a" }));
  assert.equal(answer.figures.firstTokenMs, 150);
  assert.equal(answerOf(chunk({ role: "assistant", content: "" })).isEmpty, true);
});

test("the speed is that of the tokens after the first, by the server's count", () => {
  const { tokensPerSecond, prompt, completion, cached, counted } = answerOf(chunk({ content: "a" }), chunk({ content: "b" }), chunk({ content: "c" }), chunk({}, "stop"), USAGE).figures;
  assert.equal(tokensPerSecond, 50);
  assert.deepEqual([prompt, completion, cached, counted], [36, 11, 16, "server"]);
});

test("an answer that ended early is counted by its pieces", () => {
  const { completion, counted, prompt } = answerOf(chunk({ content: "a" }), chunk({ content: "b" })).figures;
  assert.deepEqual([completion, counted, prompt], [2, "pieces", null]);
});

test("an answer of one token has no speed, and one of none has no figures", () => {
  assert.equal(answerOf(chunk({ content: "a" })).figures.tokensPerSecond, null);
  assert.deepEqual(answerOf().figures, { firstTokenMs: null, tokensPerSecond: null, prompt: null, completion: null, cached: null, counted: "pieces" });
});

test("tool calls are put together by their number", () => {
  const piece = (index, name, text) => chunk({ tool_calls: [{ index, function: { ...(name && { name }), arguments: text } }] });
  const answer = answerOf(piece(0, "weather", ""), piece(0, null, '{"city":'), piece(1, "time", "{}"), piece(0, null, '"Paris"}'), chunk({}, "tool_calls"));
  assert.deepEqual(answer.toolCalls, [{ name: "weather", arguments: '{"city":"Paris"}' }, { name: "time", arguments: "{}" }]);
  assert.equal(answer.figures.firstTokenMs, 50);
});
