// The panel of settings: which model, with what parameters, under which key.
//
// The key lives in its input field and nowhere else: not in localStorage, sessionStorage, a cookie or the address. Every function
// of one host shares this page's origin, and with it all that the browser stores for the origin; what is only in this page's
// memory is gone with the page. That is no wall between the two: functions that their operator does not trust belong to a host
// name of their own.

import { listModels } from "./api.js";
import { element } from "./dom.js";
import { inWords } from "./failure.js";
import { count } from "./format.js";

/** How long after a server could not be reached it is tried again, in milliseconds. */
const RETRY_AFTER = 3000;

const FIELDS = ["model", "system", "temperature", "top_p", "max_tokens", "seed", "thinking", "tools"];

export class Settings {
  #panel = document.querySelector("#settings");
  #fields = Object.fromEntries([...FIELDS, "key"].map((name) => [name, document.querySelector(`#setting-${name}`)]));
  #modelNote = document.querySelector("#model-note");
  #complaint = document.querySelector("#settings-complaint");
  #models = [];
  #loads = 0;

  constructor() {
    // Beside the conversation there is room for all of it; above it, it is folded.
    const wide = matchMedia("(min-width: 60rem)");
    const unfold = () => (this.#panel.open = wide.matches);
    wide.addEventListener("change", unfold);
    unfold();
    this.#fields.key.addEventListener("change", () => this.load());
    this.#fields.model.addEventListener("change", () => this.#describe());
  }

  /** Asks the server for its models. */
  async load() {
    const { key, model } = this.#fields;
    this.#loads += 1;
    const load = this.#loads;
    const isLatest = () => load === this.#loads;
    const chosen = model.value;
    const found = await listModels(key.value.trim()).catch((failure) => failure);
    // The key was changed meanwhile, and what counts is the answer to the new one.
    if (!isLatest()) return;
    this.#models = Array.isArray(found) ? found : [];
    if (!Array.isArray(found)) {
      this.#describeFailure(found);
      if (found.status === 0 || found.status === 503) setTimeout(() => isLatest() && this.load(), RETRY_AFTER);
    }
    model.replaceChildren(...this.#models.map(({ id }) => element("option", { value: id }, id)));
    model.disabled = this.#models.length === 0;
    if (this.#models.some(({ id }) => id === chosen)) model.value = chosen;
    if (this.#models.length > 0) this.#describe();
  }

  #describe() {
    const model = this.#models.find(({ id }) => id === this.#fields.model.value);
    this.#modelNote.classList.remove("is-failure");
    this.#modelNote.textContent = model?.max_model_len ? `Prompt and answer up to ${count(model.max_model_len)} tokens` : "";
  }

  #describeFailure(failure) {
    const { title } = inWords(failure, this.#fields.key.value ? "with key" : "without key");
    this.#modelNote.classList.add("is-failure");
    this.#modelNote.textContent = `No models: ${title[0].toLowerCase()}${title.slice(1)}.`;
  }

  /** All of them, as they were typed. */
  read() {
    const values = Object.fromEntries(FIELDS.map((name) => [name, this.#fields[name].value]));
    return { ...values, key: this.#fields.key.value.trim() };
  }

  /** Shows a `SettingError` at its field; null takes it away. */
  complain(error) {
    for (const field of Object.values(this.#fields)) field.removeAttribute("aria-invalid");
    this.#complaint.hidden = error === null;
    this.#complaint.textContent = error?.message ?? "";
    if (error === null) return;
    const field = this.#fields[error.field];
    this.#panel.open = true;
    field.closest("details").open = true;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  /** Leads to the key. */
  askForKey() {
    this.#panel.open = true;
    this.#fields.key.focus();
    this.#fields.key.select();
  }
}
