// The chat: reads the controls, runs one answer at a time, shows what comes.

import { Answer } from "./answer.js";
import { streamChat } from "./api.js";
import { Conversation } from "./conversation.js";
import { ExchangeView } from "./exchange_view.js";
import { count, rate } from "./format.js";
import { requestBody, SettingError } from "./request.js";

/** How near to its end a conversation must be scrolled for it to stay there while an answer grows, in pixels. */
const NEAR_END = 60;

export class Chat {
  #settings;
  #conversation = new Conversation();
  #running = null;
  #lastView = null;
  #page = {
    form: document.querySelector("#composer"),
    question: document.querySelector("#question"),
    send: document.querySelector("#send"),
    stop: document.querySelector("#stop"),
    clear: document.querySelector("#clear"),
    exchanges: document.querySelector("#exchanges"),
    empty: document.querySelector("#empty"),
    status: document.querySelector("#chat-status"),
    scroller: document.querySelector("#conversation"),
  };

  /** `settings` is the panel beside the conversation. */
  constructor(settings) {
    this.#settings = settings;
    const { form, question, stop, clear, empty } = this.#page;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask(question.value);
    });
    question.addEventListener("keydown", (event) => this.#key(event));
    stop.addEventListener("click", () => this.#stop());
    clear.addEventListener("click", () => this.#clear());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stop();
    });
    empty.addEventListener("click", ({ target }) => {
      if (target instanceof HTMLButtonElement) this.#ask(target.textContent);
    });
  }

  #key(event) {
    // While an input method is composing, Enter takes its suggestion.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#ask(this.#page.question.value);
  }

  #ask(question) {
    if (this.#running || question.trim() === "") return;
    if (!this.#run(() => this.#conversation.ask(question.trim()))) return;
    this.#page.question.value = "";
  }

  #regenerate() {
    if (this.#running) return;
    const view = this.#lastView;
    if (this.#run(() => this.#conversation.askAgain())) view.node.remove();
  }

  #stop() {
    this.#running?.abort();
  }

  #clear() {
    this.#stop();
    this.#conversation.clear();
    this.#lastView = null;
    this.#page.exchanges.replaceChildren();
    this.#page.empty.hidden = false;
    this.#page.clear.hidden = true;
    this.#say("");
    this.#page.question.focus();
  }

  /** Opens an exchange and starts its answer; false where the settings cannot be sent, and nothing was opened. */
  #run(open) {
    const settings = this.#settings.read();
    try {
      requestBody(settings, []);
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      this.#settings.complain(error);
      this.#say(error.message);
      return false;
    }
    this.#settings.complain(null);
    const exchange = open();
    const body = requestBody(settings, this.#conversation.messages(settings.system));
    this.#answer(exchange, body, settings.key);
    return true;
  }

  async #answer(exchange, body, key) {
    const hadKey = key ? "with key" : "without key";
    const running = new AbortController();
    exchange.answer = new Answer(performance.now());
    const view = new ExchangeView(exchange, () => this.#regenerate());
    this.#begin(running, view);
    try {
      for await (const chunk of streamChat(body, key, running.signal)) {
        exchange.answer.take(chunk, performance.now());
        const follows = this.#isAtEnd();
        view.grow(() => follows && this.#scrollToEnd());
      }
      exchange.state = "done";
    } catch (error) {
      exchange.state = running.signal.aborted ? "stopped" : "failed";
      exchange.failure = running.signal.aborted ? null : error;
    }
    const follows = this.#isAtEnd();
    view.end(hadKey);
    if (follows) this.#scrollToEnd();
    // A cleared conversation may have begun another answer since.
    if (this.#running === running) this.#finish(exchange);
  }

  #begin(running, view) {
    this.#running = running;
    this.#lastView?.node.classList.remove("is-last");
    this.#lastView = view;
    view.node.classList.add("is-last");
    this.#page.exchanges.append(view.node);
    this.#page.empty.hidden = true;
    this.#page.clear.hidden = false;
    this.#page.send.hidden = true;
    this.#page.stop.hidden = false;
    this.#say("Answering…");
    this.#scrollToEnd();
  }

  #finish(exchange) {
    this.#running = null;
    // The button that has the focus is about to vanish.
    const hadFocus = document.activeElement === this.#page.stop;
    this.#page.stop.hidden = true;
    this.#page.send.hidden = false;
    if (hadFocus) this.#page.question.focus();
    this.#say(this.#conversation.last === exchange ? ending(exchange) : "");
    if (exchange.failure?.status === 401) this.#settings.askForKey();
  }

  #say(text) {
    this.#page.status.textContent = text;
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#page.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  #scrollToEnd() {
    this.#page.scroller.scrollTop = this.#page.scroller.scrollHeight;
  }
}

/** What is said of an answer once it is over; the alert of a failure says the rest itself. */
function ending({ state, answer }) {
  const { completion, tokensPerSecond } = answer.figures;
  if (state === "failed") return answer.isEmpty ? "No answer." : "The answer broke off.";
  if (state === "stopped") return "Stopped.";
  const speed = tokensPerSecond === null ? "" : ` at ${rate(tokensPerSecond)} tokens a second`;
  return `Answered: ${count(completion)} tokens${speed}.`;
}
