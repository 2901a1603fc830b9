import assert from "node:assert/strict";
import { test } from "node:test";

import { readEvents } from "../page/sse.js";

async function eventsOf(pieces) {
  const stream = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
      controller.close();
    },
  });
  return collect(readEvents(stream));
}

async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

const TRANSCRIPT = ': hello\r\ndata: {"a":1}\n\nevent: x\ndata:two\ndata:  lines\n\ndata: größer 😀\r\rid: 7\n\ndata\n\ndata: [DONE]\n\n';
const EVENTS = ['{"a":1}', "two\n lines", "größer 😀", "", "[DONE]"];

test("an event is its data lines, whatever ends them and whatever else stands between", async () => {
  assert.deepEqual(await eventsOf([TRANSCRIPT]), EVENTS);
});

test("where a stream is cut into pieces makes no difference, not even inside a character or a line end", async () => {
  const bytes = new TextEncoder().encode(TRANSCRIPT);
  for (let at = 0; at <= bytes.length; at += 1) {
    assert.deepEqual(await eventsOf([bytes.slice(0, at), bytes.slice(at)]), EVENTS, `cut at ${at}`);
  }
  assert.deepEqual(await eventsOf([...bytes].map((byte) => Uint8Array.of(byte))), EVENTS);
});

test("a byte order mark is no part of the first event", async () => {
  assert.deepEqual(await eventsOf(["\ufeffdata: a\n\n"]), ["a"]);
});

test("an event that was cut off is not an event", async () => {
  assert.deepEqual(await eventsOf(["data: a\n\ndata: b\n"]), ["a"]);
  assert.deepEqual(await eventsOf(["data: a\n\ndata: b"]), ["a"]);
});

test("an event is there as soon as its empty line is", async () => {
  let push;
  const stream = new ReadableStream({ start: (controller) => (push = (text) => controller.enqueue(new TextEncoder().encode(text))) });
  const events = readEvents(stream);
  push("data: first\n\ndata: sec");
  assert.deepEqual(await events.next(), { value: "first", done: false });
  push("ond\n\n");
  assert.deepEqual(await events.next(), { value: "second", done: false });
});

test("who stops reading cancels the stream", async () => {
  let cancelled = false;
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: a\n\ndata: b\n\n")),
    cancel: () => (cancelled = true),
  });
  for await (const _ of readEvents(stream)) break;
  assert.equal(cancelled, true);
});
