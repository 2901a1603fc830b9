// The model as `lm:plugin/inference` has it, with less to write. `inference` is that module.

/**
 * Starts an answer to a conversation of `{ role, content }`. Throws what `failure` makes a response of.
 *
 * `model` is a served name, the default one if absent; `maxTokens` and `temperature` are the server's own choice if absent;
 * `stream` says that the client reads the answer as it is made; `variables` go to the model's chat template.
 */
export function chat(inference, messages, { model, maxTokens = null, temperature = null, stream = false, variables = {} } = {}) {
  const conversation = {
    messages: messages.map((message) => ({ ...BARE_MESSAGE, ...message })),
    tools: [],
    toolChoice: { tag: "auto" },
    parallelToolCalls: true,
    addGenerationPrompt: true,
    continueFinalMessage: false,
    templateVariables: JSON.stringify(variables),
  };
  return inference.generate({
    model: model ?? inference.models()[0],
    inputs: [{ tag: "chat", val: conversation }],
    n: 1,
    sampling: { ...BARE_SAMPLING, maxTokens, temperature },
    stream,
    echo: false,
    priority: 0,
    cacheSalt: null,
  });
}

/** The pieces `{ text }` of the answer as they come, then `{ finish, usage }`. Whoever stops reading cancels the generation. */
export function* read(generation) {
  let finish = null;
  try {
    for (;;) {
      const happened = generation.next(); // waits; nothing else of this instance runs meanwhile
      if (happened.length === 0) break;
      for (const { tag, val } of happened) {
        if (tag === "delta" && val.delta.tag === "content") yield { text: val.delta.val };
        if (tag === "finished") finish = val.reason;
      }
    }
    const { promptTokens, completionTokens } = generation.usage();
    yield { finish, usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens } };
  } finally {
    generation[Symbol.dispose]();
  }
}

// Every field of a record has to be there; null is what WIT calls absent.
const BARE_MESSAGE = { content: null, reasoning: null, name: null, toolCalls: [], toolCallId: null };
const BARE_SAMPLING = {
  maxTokens: null,
  minTokens: 0,
  temperature: null,
  topP: null,
  topK: null,
  minP: null,
  repetitionPenalty: null,
  presencePenalty: null,
  frequencyPenalty: null,
  logitBias: [],
  seed: null,
  stop: [],
  stopTokenIds: [],
  ignoreEos: false,
  logprobs: null,
  constraint: null,
};
