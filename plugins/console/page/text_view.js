// Shows a growing text as paragraphs and code blocks.

import { blocksOf, spansOf } from "./blocks.js";
import { element, setText } from "./dom.js";

export class TextView {
  node;
  #blocks = [];

  constructor(className) {
    this.node = element("div", { class: className });
  }

  /** Shows `text`. Only blocks that changed are touched: while an answer grows, that is the last one. */
  update(text) {
    const blocks = blocksOf(text);
    blocks.forEach((block, index) => this.#show(block, index));
    for (const { node } of this.#blocks.splice(blocks.length)) node.remove();
  }

  #show(block, index) {
    const shown = this.#blocks[index];
    if (shown?.kind === block.kind && shown.language === block.language) {
      shown.show(block.text);
      return;
    }
    const made = block.kind === "code" ? codeBlock(block.language) : paragraph();
    made.show(block.text);
    if (shown) shown.node.replaceWith(made.node);
    else this.node.append(made.node);
    this.#blocks[index] = { ...made, kind: block.kind, language: block.language };
  }
}

function paragraph() {
  const node = element("p");
  let shown = null;
  const show = (text) => {
    if (text === shown) return;
    shown = text;
    node.replaceChildren(...spansOf(text).map(({ kind, text: part }) => (kind === "code" ? element("code", {}, part) : part)));
  };
  return { node, show };
}

function codeBlock(language) {
  const text = element("code");
  // Focusable, because it scrolls sideways and a keyboard has to be able to do that too.
  const pre = element("pre", { tabindex: "0", "aria-label": language ? `Code, ${language}` : "Code" }, text);
  const copy = copyButton(() => text.textContent, "Copy code");
  const head = element("div", { class: "code-head" }, element("span", {}, language || "code"), ...copy);
  return { node: element("div", { class: "code-block" }, head, pre), show: (content) => setText(text, content) };
}

/** A button that copies, in a list; an empty list where the browser lets no page copy, as without TLS on another machine. */
export function copyButton(read, label) {
  if (!navigator.clipboard) return [];
  const button = element("button", { type: "button", class: "quiet", "aria-label": label }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(read()).then(() => "Copied", () => "Not allowed");
    button.textContent = copied;
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return [button];
}
