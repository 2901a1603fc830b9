// What the function answers. Begin here.

import { Refusal, failure } from "./failure.js";
import { chat, read } from "./model.js";

const TEXT = { "content-type": "text/plain; charset=utf-8" };

/** Answers a request. `inference` is the host's `lm:plugin/inference`; `http.js` says what a request and a response are. */
export async function answer(request, inference) {
  if (request.method !== "POST") return { headers: TEXT, body: "POST a question, and the model answers it.\n" };
  try {
    const question = await text(request);
    if (question.trim() === "") throw new Refusal(400, null, "the body is empty: send a question");
    const generation = chat(inference, [{ role: "user", content: question }], { maxTokens: 500, stream: true });
    return { headers: TEXT, body: texts(generation) };
  } catch (error) {
    return failure(error);
  }
}

/** The body as text: a client may send anything. */
async function text(request) {
  try {
    return await request.text();
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new Refusal(400, null, "the body is not UTF-8: send text");
  }
}

/** The answer's text, piece by piece as the model writes it. */
function* texts(generation) {
  for (const { text } of read(generation)) {
    if (text !== undefined) yield text;
  }
}
