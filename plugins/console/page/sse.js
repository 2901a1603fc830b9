// Server-sent events out of a response's body. The browser's EventSource cannot send a POST, so the frames are read here, by
// the rules of the HTML standard: lines end in LF, CR or CRLF, an empty line ends an event, several `data` lines are joined.

/** The data of each event, in order. Ends where the stream ends; an event without its empty line was cut off and is dropped. */
export async function* readEvents(stream) {
  let data = [];
  for await (const line of readLines(stream)) {
    if (line === "") {
      if (data.length > 0) yield data.join("\n");
      data = [];
    } else if (line === "data") {
      data.push("");
    } else if (line.startsWith("data:")) {
      data.push(line.slice(line[5] === " " ? 6 : 5));
    }
    // Comments and the fields `event`, `id` and `retry` carry nothing that a chat completion needs.
  }
}

async function* readLines(stream) {
  const reader = stream.getReader();
  // Decodes as a stream: a character may be split between two pieces. Also drops a byte order mark.
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A CR at the very end may be the first half of a CRLF, so it waits for what follows.
      const whole = !done && rest.endsWith("\r") ? rest.length - 1 : rest.length;
      const lines = rest.slice(0, whole).split(/\r\n|\n|\r/);
      rest = lines.pop() + rest.slice(whole);
      yield* lines;
      if (done) return;
    }
  } finally {
    // Whoever stops reading early also stops the server.
    reader.cancel().catch(() => {});
  }
}
