"""Holds what a server answers to OpenAI's published schemas: whole answers, every chunk of a stream, and errors.

`transport()` is for a client; it hands on every byte as it came, and notes in `VIOLATIONS` what does not fit. It raises
nothing, since clients make connection errors of what their transport raises, and tests expect errors."""

import functools
import json
import pathlib
import re
import sys

import httpx2
import jsonschema

sys.path.append(str(pathlib.Path(__file__).parent))
import openai_slice
import streams

DESCRIPTION = openai_slice.published()
VIOLATIONS = []

# Of each operation: the schema of an answer as a whole, and the form of a stream with the schema of its parts.
SCHEMAS = [
    (r"POST /v1/chat/completions", "CreateChatCompletionResponse", (streams.Chunks, "CreateChatCompletionStreamResponse")),
    (r"POST /v1/completions", "CreateCompletionResponse", (streams.Chunks, "CompletionChunk")),
    (r"POST /v1/embeddings", "CreateEmbeddingResponse", None),
    (r"POST /v1/responses", "Response", (streams.Events, "ResponseStreamEvent")),
    (r"GET /v1/models", "ListModelsResponse", None),
    (r"GET /v1/models/.+", "Model", None),
]


@functools.cache
def _validator(schema):
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": DESCRIPTION["components"]})


def faults(schema, value):
    """What of the value the named schema does not allow, as lines of text."""
    return [f"{schema}{error.json_path[1:]}: {error.message}" for error in _validator(schema).iter_errors(value)]


@functools.cache
def _event_schemas():
    """Of each type of event its own schema, whose faults say more than that none of all of them fits."""
    schemas = DESCRIPTION["components"]["schemas"]
    names = [event["$ref"].rsplit("/", 1)[-1] for event in schemas["ResponseStreamEvent"]["anyOf"]]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


def _faults_of_text(schema, text):
    try:
        value = json.loads(text)
    except ValueError as error:
        return [f"no JSON ({error}): {text}"]
    if not isinstance(value, dict):
        return faults(schema, value)
    if schema == "ResponseStreamEvent":
        return faults(_event_schemas().get(value.get("type"), schema), value)
    # A chunk may be an error; a response has a field of that name, which tells why it failed.
    return faults("ErrorResponse" if "error" in value and schema != "Response" else schema, value)


class Answer:
    """Takes an answer's bytes as they come, and tells what is wrong with them."""

    def __init__(self, operation, status, headers):
        whole, stream = next(((whole, stream) for pattern, whole, stream in SCHEMAS if re.fullmatch(pattern, operation)), (None, None))
        self.schema = "ErrorResponse" if status >= 400 else whole
        self.stream = None
        self.rest = b""
        if headers.get("content-type", "").startswith("text/event-stream") and stream:
            form, part = stream
            self.stream = form(functools.partial(_faults_of_text, part))

    def take(self, data):
        """Adds bytes; the faults of the events that they complete."""
        self.rest += data
        if not self.stream:
            return []
        *events, self.rest = self.rest.split(b"\n\n")
        return [fault for event in events for fault in self.stream.take(event.decode())]

    def end(self):
        """The faults that only show when nothing more comes."""
        if not self.stream:
            return _faults_of_text(self.schema, self.rest.decode()) if self.schema else []
        return [f"the stream ends within an event: {self.rest!r}"] if self.rest else self.stream.end()


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
