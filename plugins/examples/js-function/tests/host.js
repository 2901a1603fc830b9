// The host's modules as these tests need them.

/** `lm:plugin/inference` with a model that writes these pieces; `{ fail }` among them fails there with that error. */
export function model(pieces, refusal = null) {
  const seen = { requests: [], asked: 0, dropped: false };
  const usage = () => ({ promptTokens: 11, completionTokens: seen.asked, cachedTokens: 0, reasoningTokens: 0 });
  const rest = [...pieces.map(event), { tag: "finished", val: { choice: 0, reason: "stop" } }];
  const generation = {
    next() {
      const happened = rest.shift();
      if (happened === undefined) return [];
      if (happened.fail) throw exception(happened.fail);
      seen.asked += 1;
      return [happened];
    },
    usage,
    [Symbol.dispose]() {
      seen.dropped = true;
    },
  };
  const generate = (request) => {
    seen.requests.push(request);
    if (refusal) throw exception(refusal);
    return generation;
  };
  return { inference: { models: () => ["first", "second"], generate }, seen };

  function event(piece) {
    return piece.fail ? piece : { tag: "delta", val: { choice: 0, delta: { tag: "content", val: piece }, usageSoFar: usage() } };
  }
}

/** How the host's functions fail. */
function exception(payload) {
  return Object.assign(new Error("see error.payload"), { payload });
}

/** `wasi:http/types` and the global `wit`: a response remembers what it was made of. */
export function wasi() {
  class Fields {
    static fromList(list) {
      return list;
    }
  }
  class Response {
    status = 200;
    static new(headers, contents, trailers) {
      return [Object.assign(new Response(), { headers, contents, trailers })];
    }
    setStatusCode(status) {
      this.status = status;
    }
  }
  const Request = { consumeBody: (request) => [request.pieces] };
  globalThis.wit = { Future: { from: (value) => ({ readable: value }) } };
  return { Fields, Request, Response };
}

/** A request as `wasi:http/types` has it. */
export function incoming({ method = { tag: "get" }, target = "/", headers = [], pieces = [] }) {
  return { getMethod: () => method, getPathWithQuery: () => target, getHeaders: () => ({ copyAll: () => headers }), pieces };
}
