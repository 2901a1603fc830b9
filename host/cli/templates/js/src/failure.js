// Failures as clients see them. The host's functions fail with an exception whose `payload` is an `api-error`; so do ours.

/** A refusal of our own. `param` is the field at fault, or null. */
export class Refusal extends Error {
  constructor(status, param, message) {
    super(message);
    this.payload = { status, kind: "invalid_request_error", message, param, code: null, retryAfterMs: null };
  }
}

/** The response that tells a client of a failure. */
export function failure(error) {
  const { status, retryAfterMs } = payload(error);
  const headers = { "content-type": "application/json" };
  if (retryAfterMs !== null) headers["retry-after"] = String(Math.ceil(retryAfterMs / 1000));
  return { status, headers, body: errorJson(error) };
}

/** The JSON that tells a client of a failure, in OpenAI's form. */
export function errorJson(error) {
  const { message, kind, param, code } = payload(error);
  return JSON.stringify({ error: { message, type: kind, param, code } });
}

/** An exception without an `api-error` is a bug: it goes on, for the host to report. */
function payload(error) {
  if (error.payload === undefined) throw error;
  return error.payload;
}
