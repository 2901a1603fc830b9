import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../page/conversation.js";
import { requestBody, SettingError } from "../page/request.js";

const EMPTY = { model: "m", temperature: "", top_p: "", max_tokens: "", seed: "", thinking: "", tools: "" };

test("what is left empty is not sent", () => {
  assert.deepEqual(requestBody(EMPTY, []), { model: "m", messages: [], stream: true, stream_options: { include_usage: true } });
});

test("every setting goes under OpenAI's name", () => {
  const settings = { model: "m", temperature: "0", top_p: "0.9", max_tokens: "64", seed: "-7", thinking: "off", tools: '[{"type":"function"}]' };
  const { temperature, top_p, max_tokens, seed, chat_template_kwargs, tools } = requestBody(settings, []);
  assert.deepEqual([temperature, top_p, max_tokens, seed], [0, 0.9, 64, -7]);
  assert.deepEqual([chat_template_kwargs, tools], [{ enable_thinking: false }, [{ type: "function" }]]);
});

test("a setting that makes no sense is refused by its name", () => {
  const bad = [["temperature", "hot"], ["temperature", "2.5"], ["top_p", "-1"], ["max_tokens", "0"], ["max_tokens", "1.5"], ["seed", "1e99"], ["tools", "{"], ["tools", "{}"]];
  for (const [field, value] of bad) {
    assert.throws(() => requestBody({ ...EMPTY, [field]: value }, []), (error) => error instanceof SettingError && error.field === field && error.message !== "", `${field}: ${value}`);
  }
});

function conversationOf(...exchanges) {
  const conversation = new Conversation();
  for (const [question, content] of exchanges) conversation.ask(question).answer = { content };
  return conversation;
}

test("earlier questions go with their answers, the system prompt first", () => {
  const conversation = conversationOf(["a", "A"], ["b", ""]);
  assert.deepEqual(conversation.messages("Be brief."), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "a" },
    { role: "assistant", content: "A" },
    { role: "user", content: "b" },
  ]);
});

test("a question that got no text is not sent again, and neither is an empty system prompt", () => {
  const conversation = conversationOf(["a", ""], ["b", "B"], ["c", ""]);
  assert.deepEqual(conversation.messages("  ").map(({ content }) => content), ["b", "B", "c"]);
});

test("asking again forgets the last answer and no other", () => {
  const conversation = conversationOf(["a", "A"], ["b", "B"]);
  conversation.askAgain();
  assert.deepEqual(conversation.messages("").map(({ content }) => content), ["a", "A", "b"]);
  assert.equal(conversation.last.state, "running");
});
