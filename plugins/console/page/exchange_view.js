// One question and its answer on the page.

import { element, setText } from "./dom.js";
import { inWords, seconds } from "./failure.js";
import { count, duration, rate } from "./format.js";
import { TextView, copyButton } from "./text_view.js";

/** What the API's words for the end of an answer mean. */
const REASONS = {
  stop: "The model ended its answer, or a stop string came",
  length: "The limit of tokens or the end of the context was reached",
  tool_calls: "The model waits for the results of its calls",
  content_filter: "A filter withheld the rest",
};

export class ExchangeView {
  node;
  #exchange;
  #again;
  #text = new TextView("answer-text");
  #reasoning = new TextView("reasoning-text");
  #reasoningTitle = element("summary");
  #reasoningBox = element("details", { class: "reasoning", hidden: true }, this.#reasoningTitle, this.#reasoning.node);
  #calls = element("div", { class: "tool-calls" });
  #failure = element("div", { class: "failure", role: "alert", hidden: true });
  #foot = element("footer", { class: "answer-foot" });
  #waiting = element("p", { class: "waiting" }, "Waiting for the first token");
  #frame = null;

  /** `again` is called when the reader wants another answer to the same question. */
  constructor(exchange, again) {
    this.#exchange = exchange;
    this.#again = again;
    const answer = element("div", { class: "answer" }, this.#reasoningBox, this.#waiting, this.#text.node, this.#calls, this.#failure, this.#foot);
    this.node = element("article", { class: "exchange" }, element("p", { class: "question" }, exchange.question), answer);
  }

  /** Shows the answer as it is, at the browser's next frame: tokens come faster than anybody sees. `after` is called then. */
  grow(after) {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#show();
      after();
    });
  }

  /** Shows the answer as it ended. `hadKey` is told to `inWords`. */
  end(hadKey) {
    cancelAnimationFrame(this.#frame);
    this.#show();
    this.#showFailure(hadKey);
    this.#foot.replaceChildren(this.#figures(), this.#actions());
    this.node.dataset.state = this.#exchange.state;
  }

  #show() {
    const { answer, state } = this.#exchange;
    this.#waiting.hidden = state !== "running" || !answer.isEmpty;
    this.#text.update(answer.content);
    this.#reasoningBox.hidden = answer.reasoning === "";
    this.#reasoning.update(answer.reasoning);
    const isThinking = state === "running" && answer.content === "" && answer.toolCalls.length === 0;
    setText(this.#reasoningTitle, isThinking ? "Thinking…" : "Reasoning");
    answer.toolCalls.forEach((call, index) => this.#showCall(call, index));
  }

  #showCall(call, index) {
    const shown = this.#calls.children[index];
    if (shown) {
      setText(shown.querySelector("strong"), call.name);
      setText(shown.querySelector("code"), prettyJson(call.arguments));
      return;
    }
    const title = element("p", {}, "The model calls ", element("strong", {}, call.name));
    const text = element("pre", { tabindex: "0", "aria-label": `Arguments of ${call.name}` }, element("code", {}, prettyJson(call.arguments)));
    this.#calls.append(element("div", { class: "tool-call" }, title, text));
  }

  #showFailure(hadKey) {
    const { failure } = this.#exchange;
    if (!failure) return;
    const { title, advice } = inWords(failure, hadKey);
    this.#failure.hidden = false;
    this.#failure.replaceChildren(
      element("p", { class: "failure-title" }, title),
      element("p", {}, advice),
      ...(failure.message ? [element("p", { class: "failure-message" }, `The server says: ${failure.message}`)] : []),
    );
  }

  #figures() {
    const { answer, state } = this.#exchange;
    const { firstTokenMs, tokensPerSecond, prompt, completion, cached, counted } = answer.figures;
    const list = element("dl", { class: "figures" });
    const add = (id, label, value, title = null) => list.append(element("div", { title }, element("dt", {}, label), element("dd", { "data-figure": id }, value)));
    if (firstTokenMs !== null) add("first-token", "first token", duration(firstTokenMs / 1000), "From sending the question to the first piece of the answer, as this page saw it");
    if (tokensPerSecond !== null) add("speed", "speed", `${rate(tokensPerSecond)} tokens/s`, "Tokens after the first, by the time that they took");
    if (prompt !== null) add("prompt", "prompt", count(prompt), "Tokens of the whole prompt, earlier turns included");
    if (cached !== null) add("cached", "cached", count(cached), "Tokens of the prompt whose keys and values were found in the cache");
    if (completion !== null && counted === "server") add("completion", "answer", count(completion), "Tokens of the answer, reasoning included");
    if (completion !== null && counted === "pieces") add("completion", "answer", `about ${count(completion)}`, "Counted by the pieces that came: the server tells its count only at the end");
    if (state === "stopped") add("finish", "ended", "stopped by you");
    else if (answer.finishReason) add("finish", "ended", answer.finishReason, REASONS[answer.finishReason] ?? null);
    return list;
  }

  #actions() {
    const { state, failure, answer } = this.#exchange;
    const again = element("button", { type: "button", class: "quiet again" }, state === "failed" ? "Try again" : "Regenerate");
    again.addEventListener("click", this.#again);
    if (failure?.retryAfterMs > 0) waitOn(again, failure.retryAfterMs);
    const copy = answer.content === "" ? [] : copyButton(() => answer.content, "Copy answer");
    return element("div", { class: "answer-actions" }, ...copy, again);
  }
}

/** Counts down on a button and then lets it be pressed. */
function waitOn(button, ms) {
  const label = button.textContent;
  const until = performance.now() + ms;
  const show = () => {
    const left = until - performance.now();
    button.disabled = left > 0;
    button.textContent = left > 0 ? `${label} in ${seconds(left)}` : label;
    if (left > 0) setTimeout(show, Math.min(left, 250));
  };
  show();
}

function prettyJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // still being written, or not JSON at all
  }
}
