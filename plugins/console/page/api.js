// The two calls of OpenAI's API that the page makes, to the server that served the page.

import { Failure } from "./failure.js";
import { readEvents } from "./sse.js";

/** The served models, the default one first. Throws a `Failure`. */
export async function listModels(key) {
  const response = await call("/v1/models", { headers: authorization(key) });
  const list = await response.json().catch(() => null);
  const models = list?.data;
  if (!Array.isArray(models)) throw Failure.ofEvent({ message: "the server's list of models is none" });
  return models;
}

/** The chunks of a streamed chat completion, as they come. Throws a `Failure`, or an `AbortError` once `signal` was raised. */
export async function* streamChat(body, key, signal) {
  const response = await call("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(key) },
    body: JSON.stringify(body),
    signal,
  });
  try {
    for await (const data of readEvents(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw Failure.ofEvent(chunk.error);
      yield chunk;
    }
  } catch (error) {
    throw error instanceof Failure || signal.aborted ? error : Failure.ofEvent({ message: `the stream failed: ${error.message}` });
  }
  // A server that dies closes its connections; without the last event nothing says that the answer is whole.
  throw Failure.ofEvent({ message: "the stream ended before the server said that it was complete" });
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw options.signal?.aborted ? error : Failure.ofNetwork(error);
  }
  if (!response.ok) throw await Failure.ofResponse(response);
  return response;
}

function authorization(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}
