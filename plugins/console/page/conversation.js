// Questions and their answers, and what of them the model is sent with the next question.

export class Conversation {
  /** `{ question, answer, failure, state }`; `state` is "running", "done", "stopped" or "failed". */
  exchanges = [];

  get last() {
    return this.exchanges.at(-1);
  }

  /** Opens an exchange; the caller gives it an answer. */
  ask(question) {
    const exchange = { question, answer: null, failure: null, state: "running" };
    this.exchanges.push(exchange);
    return exchange;
  }

  /** Opens the last exchange anew and forgets its answer. */
  askAgain() {
    return this.ask(this.exchanges.pop().question);
  }

  clear() {
    this.exchanges = [];
  }

  /**
   * The messages that go with the last question. An exchange without any text is left out, question and all: two questions in a
   * row are a form that models were not taught. Reasoning is not sent back, which is how models with reasoning were trained.
   */
  messages(system) {
    const answered = this.exchanges.slice(0, -1).filter(({ answer }) => answer?.content);
    return [
      ...(system.trim() === "" ? [] : [{ role: "system", content: system }]),
      ...answered.flatMap(({ question, answer }) => [
        { role: "user", content: question },
        { role: "assistant", content: answer.content },
      ]),
      { role: "user", content: this.last.question },
    ];
  }
}
