// One answer as its chunks make it, and the figures that its reader is shown. Knows nothing of the page and of clocks: whoever
// calls says what time it is, in milliseconds.

/** What a chunk's delta may carry reasoning in; servers differ in the name, and some send both. */
const reasoningOf = (delta) => delta.reasoning_content ?? delta.reasoning ?? "";

export class Answer {
  content = "";
  reasoning = "";
  /** `{ name, arguments }`, in the order in which the model made them. */
  toolCalls = [];
  finishReason = null;
  #usage = null;
  #asked;
  #first = null;
  #last = null;
  #pieces = 0;

  constructor(asked) {
    this.#asked = asked;
  }

  /** Takes the next chunk of the stream. */
  take(chunk, now) {
    if (chunk.usage) this.#usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    if (choice.finish_reason) this.finishReason = choice.finish_reason;
    const delta = choice.delta ?? {};
    const grown = Boolean(delta.content || reasoningOf(delta) || delta.tool_calls?.length);
    if (!grown) return;
    this.#first ??= now;
    this.#last = now;
    this.#pieces += 1;
    this.content += delta.content ?? "";
    this.reasoning += reasoningOf(delta);
    for (const call of delta.tool_calls ?? []) this.#takeCall(call);
  }

  #takeCall({ index = 0, function: piece = {} }) {
    this.toolCalls[index] ??= { name: "", arguments: "" };
    const call = this.toolCalls[index];
    call.name += piece.name ?? "";
    call.arguments += piece.arguments ?? "";
  }

  get isEmpty() {
    return this.#pieces === 0;
  }

  /**
   * `firstTokenMs`, `tokensPerSecond`, `prompt`, `completion`, `cached`: null where unknown. `counted` says who counted the
   * completion's tokens: "server", or "pieces" of the stream where an answer ended before the server told its usage.
   */
  get figures() {
    const usage = this.#usage;
    const completion = usage?.completion_tokens ?? (this.isEmpty ? null : this.#pieces);
    return {
      firstTokenMs: this.#first === null ? null : this.#first - this.#asked,
      tokensPerSecond: this.#speed(completion),
      prompt: usage?.prompt_tokens ?? null,
      completion,
      cached: usage?.prompt_tokens_details?.cached_tokens ?? null,
      counted: usage ? "server" : "pieces",
    };
  }

  /** Of the tokens after the first: how long that one took is the time to the first token. */
  #speed(completion) {
    const seconds = (this.#last - this.#first) / 1000;
    return completion > 1 && seconds > 0 ? (completion - 1) / seconds : null;
  }
}
