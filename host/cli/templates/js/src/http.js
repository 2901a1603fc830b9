// Between wasi:http 0.3 and plain objects, so that the rest of a function is ordinary JavaScript and runs under node too.

import { characters, decode, encode } from "./utf8.js";

/**
 * Makes the `handler` that a function exports. `http` is the module `wasi:http/types`; `answer` turns a request into a
 * response, and may be async.
 *
 * A request is `{ method, path, query, headers, text() }`: the method in upper case, the path undecoded, the query without
 * `?` or null, the headers a `Map` with lower-case names, one character for each byte of a value. `text()` reads the body, and
 * throws a `URIError` if that is not UTF-8.
 *
 * A response is `{ status, headers, body }`: 200 by default, an object, and a text or an iterable of texts, async or not.
 * Each text of an iterable is sent before the next one is asked for.
 */
export function serve(http, answer) {
  return {
    async handle(request) {
      try {
        return write(http, await answer(read(http, request)));
      } catch (error) {
        throw broken(error);
      }
    },
  };
}

/** What wasi:http calls a failure of the handler itself. The host logs the text, so it says where in the source that was. */
function broken(error) {
  return { tag: "internal-error", val: `${error}\n${error.stack}` };
}

function read(http, request) {
  const method = request.getMethod();
  const [path, ...query] = (request.getPathWithQuery() ?? "/").split("?");
  const fields = request.getHeaders().copyAll();
  return {
    method: (method.val ?? method.tag).toUpperCase(),
    path,
    query: query.length > 0 ? query.join("?") : null,
    headers: new Map(fields.map(([name, value]) => [name.toLowerCase(), characters(value)])),
    async text() {
      const received = wit.Future.from(DONE, wit.Future.RESULT_VOID_ERROR_CODE).readable;
      const [chunks] = http.Request.consumeBody(request, received);
      const pieces = [];
      for await (const piece of chunks) pieces.push(piece);
      return decode(pieces);
    },
  };
}

function write(http, { status = 200, headers = {}, body = "" }) {
  const fields = Object.entries(headers).map(([name, value]) => [name, encode(value)]);
  const { chunks, ending } = typeof body === "string" ? whole(body, fields) : streamed(body);
  const trailers = wit.Future.from(ending, wit.Future.RESULT_OPTION_OTHER_ERROR_CODE).readable;
  const [response] = http.Response.new(http.Fields.fromList(fields), chunks, trailers);
  response.setStatusCode(status);
  return response;
}

/** That a body ended as it should, without trailers. */
const DONE = { tag: "ok", val: null };

function whole(text, fields) {
  if (text === "") return { chunks: null, ending: DONE };
  const bytes = encode(text);
  fields.push(["content-length", encode(String(bytes.length))]);
  return { chunks: [bytes], ending: DONE };
}

function streamed(texts) {
  let end;
  const ending = new Promise((resolve) => (end = resolve));
  async function* chunks() {
    try {
      for await (const text of texts) yield encode(text);
    } catch (error) {
      // The client must not take a response that broke off for a whole one.
      end({ tag: "err", val: broken(error) });
    } finally {
      end(DONE);
    }
  }
  return { chunks: chunks(), ending };
}
