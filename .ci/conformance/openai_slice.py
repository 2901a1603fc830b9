"""OpenAI's published description, with what has to be added to it before a machine can hold answers to it."""

import copy
import json
import pathlib

FILE = pathlib.Path(__file__).with_name("openai-slice.json")


def published():
    """The description, with `nullable`, which its version of OpenAPI does not know, written as a schema, and with what it does
    not say of answers."""
    description = _without_nullable(json.loads(FILE.read_text()))
    schemas = description["components"]["schemas"]
    _echoed_prompts_begin_with_null(schemas["CreateCompletionResponse"])
    schemas["CompletionChunk"] = _completion_chunk(schemas["CreateCompletionResponse"])
    # Only the request's `encoding_format` tells of base64.
    _also(schemas["Embedding"]["properties"], "embedding", {"type": "string", "format": "byte"})
    _let_what_a_response_lacks_be_null(schemas)
    return description


def _let_what_a_response_lacks_be_null(schemas):
    """In the description's own examples `user` is null, and in a stream `usage` is until the end."""
    parts = schemas["Response"]["allOf"]
    parts[0] = copy.deepcopy(schemas["ModelResponseProperties"])  # not that of requests
    _also(parts[0]["properties"], "user", {"type": "null"})
    _also(parts[-1]["properties"], "usage", {"type": "null"})


def _echoed_prompts_begin_with_null(completion):
    """With `echo` the first token has no probability, since nothing comes before it: it is null, as OpenAI's is."""
    logprobs = completion["properties"]["choices"]["items"]["properties"]["logprobs"]["anyOf"][0]["properties"]
    for field in ("token_logprobs", "top_logprobs"):
        logprobs[field]["prefixItems"] = [{"anyOf": [logprobs[field]["items"], {"type": "null"}]}]


def _completion_chunk(completion):
    """Of a chunk of a completion's stream the description says only that it has the shape of a whole answer."""
    chunk = copy.deepcopy(completion)
    choice = chunk["properties"]["choices"]["items"]["properties"]
    _also(choice, "finish_reason", {"type": "null"})
    _also(chunk["properties"], "usage", {"type": "null"})
    return chunk


def _also(properties, field, alternative):
    properties[field] = {"anyOf": [properties[field], alternative]}


def _without_nullable(node):
    if isinstance(node, list):
        return [_without_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _without_nullable(value) for key, value in node.items()}
    if node.pop("nullable", False) is not True:
        return node
    return {"anyOf": [node, {"type": "null"}]}
