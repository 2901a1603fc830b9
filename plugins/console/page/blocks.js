// Cuts a text into paragraphs and code: as much of Markdown as an answer needs to be read.

const FENCE = /^\s*(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;

/**
 * `{ kind: "paragraph", text }` and `{ kind: "code", language, text }`, in order. A fence that is still open runs to the end, so
 * that code looks like code while it is being written.
 */
export function blocksOf(text) {
  const blocks = [];
  let paragraph = [];
  let code = null;
  const endParagraph = () => {
    if (paragraph.length > 0) blocks.push({ kind: "paragraph", text: paragraph.join("\n") });
    paragraph = [];
  };
  const endCode = () => {
    blocks.push({ kind: "code", language: code.language, text: code.lines.join("\n") });
    code = null;
  };
  for (const line of text.split("\n")) {
    const fence = FENCE.exec(line);
    if (code) {
      if (fence && closes(fence, code.fence)) endCode();
      else code.lines.push(line);
    } else if (fence) {
      endParagraph();
      code = { fence: fence[1], language: fence[2], lines: [] };
    } else if (line.trim() === "") {
      endParagraph();
    } else {
      paragraph.push(line);
    }
  }
  if (code) endCode();
  endParagraph();
  return blocks;
}

/** The same character, at least as many of them, and no language. */
function closes([, marks, language], opening) {
  return language === "" && marks[0] === opening[0] && marks.length >= opening.length;
}

/** A paragraph's own parts, `{ kind: "text" | "code", text }`: what stands between single backticks on one line is code. */
export function spansOf(paragraph) {
  return paragraph
    .split(/(`[^`\n]+`)/)
    .filter((part) => part !== "")
    .map((part) => (/^`[^`\n]+`$/.test(part) ? { kind: "code", text: part.slice(1, -1) } : { kind: "text", text: part }));
}
