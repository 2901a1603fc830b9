import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";

import { listModels, streamChat } from "../page/api.js";

/** A real server; each test says how it answers. A page's paths are its server's, so they are completed as a browser does. */
let server;
let answer;
const fetchOfNode = globalThis.fetch;

beforeEach(async () => {
  server = createServer((request, response) => answer(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const root = `http://127.0.0.1:${server.address().port}`;
  globalThis.fetch = (path, options) => fetchOfNode(root + path, options);
});

afterEach(() => {
  globalThis.fetch = fetchOfNode;
  server.closeAllConnections();
  server.close();
});

const streamed = (...events) => (_, response) => response.writeHead(200, { "content-type": "text/event-stream" }).end(events.map((event) => `data: ${event}\n\n`).join(""));

async function chunksOf(key = "") {
  const chunks = [];
  for await (const chunk of streamChat({ model: "m" }, key, new AbortController().signal)) chunks.push(chunk);
  return chunks;
}

test("the chunks of a stream come until the server says that it is complete", async () => {
  answer = streamed('{"id":1}', '{"id":2}', "[DONE]");
  assert.deepEqual(await chunksOf(), [{ id: 1 }, { id: 2 }]);
});

test("a stream that ends before that is a failure, however it looks", async () => {
  const breakOff = (_, response) => {
    response.writeHead(200).write('data: {"id":1}\n\n');
    setImmediate(() => response.destroy());
  };
  for (const broken of [streamed('{"id":1}'), breakOff, streamed('{"id":1}', "{")]) {
    answer = broken;
    await assert.rejects(chunksOf(), { name: "Error", status: 200 });
  }
});

test("an error in the middle of a stream is the server's own", async () => {
  answer = streamed('{"id":1}', '{"error":{"message":"out of memory","code":null}}', "[DONE]");
  await assert.rejects(chunksOf(), { status: 200, message: "out of memory" });
});

test("a refusal has its status and the server's words", async () => {
  answer = (_, response) => response.writeHead(429, { "retry-after": "2" }).end('{"error":{"message":"the queue is full"}}');
  await assert.rejects(chunksOf(), { status: 429, message: "the queue is full", retryAfterMs: 2000 });
  await assert.rejects(listModels(""), { status: 429 });
});

test("a key is sent as a bearer token, and none where there is none", async () => {
  const seen = [];
  answer = (request, response) => {
    seen.push(request.headers.authorization);
    streamed("[DONE]")(request, response);
  };
  await chunksOf("secret");
  await chunksOf("");
  assert.deepEqual(seen, ["Bearer secret", undefined]);
});

test("a server that cannot be reached is told apart from one that refuses", async () => {
  server.close();
  await assert.rejects(chunksOf(), { status: 0 });
  await assert.rejects(listModels(""), { status: 0 });
});

test("a list of models that is none is a failure", async () => {
  for (const body of ["<html>", "{}", '{"data":7}', "null"]) {
    answer = (_, response) => response.end(body);
    await assert.rejects(listModels(""), { status: 200 }, body);
  }
});

test("stopping ends the connection, so that the server stops too", async () => {
  let left;
  answer = (_, response) => {
    left = once(response, "close");
    response.writeHead(200).write('data: {"id":1}\n\n');
  };
  const stop = new AbortController();
  const chunks = streamChat({ model: "m" }, "", stop.signal);
  await chunks.next();
  stop.abort();
  await assert.rejects(chunks.next(), { name: "AbortError" });
  await left;
});
