"""Holds what a server answers to OpenAI's published schemas: whole answers, every chunk of a stream, and errors.

`transport()` is for a client; it hands on every byte as it came, and notes in `VIOLATIONS` what does not fit. It raises
nothing, since clients make connection errors of what their transport raises, and tests expect errors."""

import json
import pathlib
import re
import sys

import httpx2
import jsonschema

sys.path.append(str(pathlib.Path(__file__).parent))
import openai_slice

DESCRIPTION = openai_slice.published()
VIOLATIONS = []

# Of each operation: the schema of an answer as a whole, and of a stream's chunk.
SCHEMAS = [
    (r"POST /v1/chat/completions", "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"),
    (r"POST /v1/completions", "CreateCompletionResponse", "CompletionChunk"),
    (r"GET /v1/models", "ListModelsResponse", None),
    (r"GET /v1/models/.+", "Model", None),
]


def faults(schema, value):
    """What of the value the named schema does not allow, as lines of text."""
    validator = jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": DESCRIPTION["components"]})
    return [f"{schema}{error.json_path[1:]}: {error.message}" for error in validator.iter_errors(value)]


class Answer:
    """Takes an answer's bytes as they come, and tells what is wrong with them."""

    def __init__(self, operation, status, headers):
        whole, chunk = next(((whole, chunk) for pattern, whole, chunk in SCHEMAS if re.fullmatch(pattern, operation)), (None, None))
        self.streamed = headers.get("content-type", "").startswith("text/event-stream")
        self.schema = "ErrorResponse" if status >= 400 else chunk if self.streamed else whole
        self.done = False
        self.rest = b""

    def take(self, data):
        """Adds bytes; the faults of the events that they complete."""
        self.rest += data
        if not self.schema or not self.streamed:
            return []
        *events, self.rest = self.rest.split(b"\n\n")
        return [fault for event in events for fault in self.event(event.decode())]

    def event(self, event):
        if self.done:
            return [f"an event after [DONE]: {event}"]
        if not event.startswith("data: ") or "\n" in event:
            return [] if event.startswith(":") else [f"not an event of one line of data: {event}"]
        data = event.removeprefix("data: ")
        if data == "[DONE]":
            self.done = True
            return []
        return self.json(data, self.schema)

    def end(self):
        """The faults that only show when nothing more comes."""
        if not self.schema:
            return []
        if not self.streamed:
            return self.json(self.rest.decode(), self.schema)
        if self.rest:
            return [f"the stream ends within an event: {self.rest!r}"]
        return [] if self.done else ["the stream ends without [DONE]"]

    @staticmethod
    def json(text, schema):
        try:
            value = json.loads(text)
        except ValueError as error:
            return [f"no JSON ({error}): {text}"]
        if isinstance(value, dict) and "error" in value:
            schema = "ErrorResponse"
        return faults(schema, value)


class _Checked(httpx2.SyncByteStream):
    def __init__(self, stream, operation, answer):
        self.stream = stream
        self.operation = operation
        self.answer = answer

    def __iter__(self):
        for data in self.stream:
            self.note(self.answer.take(data))
            yield data
        self.note(self.answer.end())  # not where the client hangs up in the middle

    def note(self, found):
        VIOLATIONS.extend(f"{self.operation}: {fault}" for fault in found)

    def close(self):
        self.stream.close()


class _Transport(httpx2.HTTPTransport):
    def handle_request(self, request):
        request.headers["accept-encoding"] = "identity"
        response = super().handle_request(request)
        operation = f"{request.method} {request.url.path}"
        response.stream = _Checked(response.stream, operation, Answer(operation, response.status_code, response.headers))
        return response


def transport():
    return _Transport()
