// Failures of the API, and how they are told to the person who asked.

/** An answer that did not come, or broke off. */
export class Failure extends Error {
  /** `status` is HTTP's, 0 where there was no response; `retryAfterMs` is null where the server named no time. */
  constructor({ status, message, param = null, code = null, retryAfterMs = null }) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** From a response that is not 2xx. Whatever stands in front of the server may have written it, so the body may be anything. */
  static async ofResponse(response) {
    const text = await response.text().catch(() => "");
    return new Failure({
      ...ofErrorObject(parseObject(text)?.error, text),
      status: response.status,
      retryAfterMs: retryAfterMs(response.headers),
    });
  }

  /** From the error object in the middle of a stream, whose status was 200 already. */
  static ofEvent(error) {
    return new Failure({ ...ofErrorObject(error, ""), status: 200 });
  }

  /** From a fetch or a read that failed: the network's own message is seldom of use to anybody. */
  static ofNetwork(error) {
    return new Failure({ status: 0, message: String(error?.message ?? error) });
  }
}

function ofErrorObject(error, text) {
  if (error === null || typeof error !== "object") return { message: text.trim().slice(0, 300) };
  const { message, param, code } = error;
  return { message: typeof message === "string" ? message : "", param: param ?? null, code: code ?? null };
}

function parseObject(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function retryAfterMs(headers) {
  const exact = Number.parseFloat(headers.get("retry-after-ms"));
  if (exact >= 0) return exact;
  const after = headers.get("retry-after");
  if (after === null) return null;
  if (/^\d+$/.test(after.trim())) return Number(after) * 1000;
  const date = Date.parse(after);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** A title and what to do, as `{ title, advice }`. `hadKey`: "with key" or "without key", whichever the request was sent. */
export function inWords(failure, hadKey) {
  const { status, param, code } = failure;
  if (status === 0) return { title: "The server cannot be reached", advice: "It may have been stopped, or the network is down." };
  if (status === 200) return { title: "The answer broke off", advice: "What had come until then stands above." };
  if (status === 401) return ofKey(hadKey);
  if (status === 429) return { title: "The server is busy", advice: retryAdvice(failure.retryAfterMs) };
  if (code === "plugin_failed") return { title: "A plugin of the server failed", advice: "The server's log says more." };
  if (status === 404) return { title: "The server does not know this", advice: "The model may have another name by now." };
  if (status === 413) return { title: "The request is too large", advice: "Clear the conversation or shorten the question." };
  if (status === 503) return { title: "The server takes no requests now", advice: "It is starting or stopping." };
  if (status === 504) return { title: "The answer took too long", advice: "The server gave it up." };
  if (status >= 500) return { title: "The server failed", advice: `Status ${status}. The server's log says more.` };
  return { title: "The server refused the request", advice: param ? `What it refused is \`${param}\`.` : `Status ${status}.` };
}

function ofKey(hadKey) {
  return hadKey === "with key"
    ? { title: "The server does not accept this API key", advice: "Check the key in the settings." }
    : { title: "The server asks for an API key", advice: "Enter one in the settings." };
}

function retryAdvice(ms) {
  return ms === null ? "Try again in a moment." : `It asks you to wait ${seconds(ms)} before you try again.`;
}

/** Whole seconds, as a person waits them. */
export function seconds(ms) {
  const whole = Math.max(1, Math.ceil(ms / 1000));
  return whole === 1 ? "1 second" : `${whole} seconds`;
}
