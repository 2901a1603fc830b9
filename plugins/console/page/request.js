// From the settings and the conversation to the body of a request.

/** A setting that cannot be sent; `field` is its name. */
export class SettingError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/** The fields that are numbers, by the name of their setting: what OpenAI calls them and what they may be. */
const NUMBERS = {
  temperature: { label: "Temperature", least: 0, most: 2 },
  top_p: { label: "Top p", least: 0, most: 1 },
  max_tokens: { label: "Max tokens", least: 1, whole: true },
  seed: { label: "Seed", whole: true },
};

/**
 * The body of a chat completion. `settings` holds texts as they were typed: `model`, `temperature`, `top_p`, `max_tokens`,
 * `seed`, `thinking` ("", "on" or "off") and `tools`. What is empty is not sent, so that the server's default holds. Throws a
 * `SettingError`.
 */
export function requestBody(settings, messages) {
  const body = { model: settings.model, messages, stream: true, stream_options: { include_usage: true } };
  for (const [field, rule] of Object.entries(NUMBERS)) {
    const value = readNumber(field, settings[field] ?? "", rule);
    if (value !== null) body[field] = value;
  }
  if (settings.thinking) body.chat_template_kwargs = { enable_thinking: settings.thinking === "on" };
  const tools = readTools(settings.tools ?? "");
  if (tools.length > 0) body.tools = tools;
  return body;
}

function readNumber(field, text, { label, least = -Infinity, most = Infinity, whole = false }) {
  if (text.trim() === "") return null;
  const value = Number(text);
  const kind = whole ? "a whole number" : "a number";
  if (Number.isNaN(value) || (whole && !Number.isSafeInteger(value))) {
    throw new SettingError(field, `${label} is “${text}”; it must be ${kind}, or empty for the server's default.`);
  }
  if (value < least || value > most) {
    const range = most === Infinity ? `at least ${least}` : `from ${least} to ${most}`;
    throw new SettingError(field, `${label} is ${text}; it must be ${range}.`);
  }
  return value;
}

function readTools(text) {
  if (text.trim() === "") return [];
  let tools;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new SettingError("tools", `The tools are not JSON: ${error.message}.`);
  }
  if (!Array.isArray(tools)) throw new SettingError("tools", "The tools must be a JSON array, as OpenAI's `tools` are.");
  return tools;
}
