"""What of OpenAI's description holds for the requests of a server as this one: as it is served, and what of it is supported."""

import openai_slice

# Request fields that this server refuses on purpose, with a 400 that names them (plugins/openai-router/README.md).
REFUSED = {
    "CreateChatCompletionRequest": "audio functions function_call modalities moderation prediction verbosity web_search_options",
    "CreateCompletionRequest": "best_of suffix",
    "ChatCompletionRequestAssistantMessage": "audio function_call",
}

# What the description says in words only, or takes for granted. A rule that ties two fields leaves one of them out, or fixed.
_TOKEN_ID = {"type": "integer", "minimum": 0, "maximum": 40_000}  # the demo model has 49152
_LOGIT_BIAS = {
    "type": "object",
    "propertyNames": {"pattern": "^[1-9][0-9]{0,3}$"},
    "additionalProperties": {"type": "integer", "minimum": -100, "maximum": 100},
}
_STOP = {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "string", "minLength": 1}}
_TEXT = {"type": "string", "pattern": "^[a-z]"}  # the demo model's vocabulary lacks some control characters, alone they are no prompt
_PROMPTS = [
    _TEXT,
    {"type": "array", "minItems": 1, "maxItems": 3, "items": _TEXT},
    {"type": "array", "minItems": 1, "items": _TOKEN_ID},
    {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "array", "minItems": 1, "items": _TOKEN_ID}},
]
_COMMON = {
    "logit_bias": _LOGIT_BIAS,
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "n": {"type": "integer", "minimum": 1, "maximum": 3},
    "seed": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},  # the description rounds them to 4 digits less
    "stop": _STOP,
    "stream_options": None,  # with `stream` only
}
SAID_IN_WORDS = {
    "CreateChatCompletionRequest": {
        **_COMMON,
        "max_completion_tokens": _COMMON["max_tokens"],
        "tool_choice": None,  # with `tools` only
        "top_logprobs": None,  # with `logprobs` only
    },
    "CreateModelResponseProperties": {"top_logprobs": None},
    "ModelResponseProperties": {"top_logprobs": None},
    "CreateCompletionRequest": {
        **_COMMON,
        "max_tokens": {**_COMMON["max_tokens"], "minimum": 0},  # the prompt alone
        "prompt": {"oneOf": _PROMPTS},
    },
    "CreateEmbeddingRequest": {
        "dimensions": {"type": "integer", "minimum": 1, "maximum": 576},  # as many as the demo model's vectors have
        "input": {"oneOf": _PROMPTS},
    },
    "FunctionObject": {"name": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}},
}

# Alternatives that it refuses likewise: images and sound, custom tools, and tool calling's old message.
REFUSED_ALTERNATIVES = {
    "ChatCompletionMessageCustomToolCall",
    "ChatCompletionNamedToolChoiceCustom",
    "ChatCompletionRequestFunctionMessage",
    "ChatCompletionRequestMessageContentPartAudio",
    "ChatCompletionRequestMessageContentPartFile",
    "ChatCompletionRequestMessageContentPartImage",
    "CustomToolChatCompletions",
}


def served(model):
    """The description as it holds for a server: requests ask for a model that it serves, and failures, which the description
    leaves out though it has their schema, are 4xx with an error object."""
    description = openai_slice.published()
    schemas = description["components"]["schemas"]
    for models in ("ModelIdsShared", "ModelIdsResponses"):
        schemas[models] = {"type": "string", "enum": [model]}
    for request in ("CreateCompletionRequest", "CreateEmbeddingRequest"):
        schemas[request]["properties"]["model"] = {"type": "string", "enum": [model]}
    del schemas["CreateEmbeddingRequest"]["additionalProperties"]  # unknown fields are ignored, as everywhere here
    refused = {"description": "Refused", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}}
    for operations in description["paths"].values():
        for operation in operations.values():
            operation["responses"] = {"200": operation["responses"]["200"], "4XX": refused}
    _answers(description, "/chat/completions")["text/event-stream"] = _events("CreateChatCompletionStreamResponse")
    _answers(description, "/completions")["text/event-stream"] = _events("CompletionChunk")
    _answers(description, "/responses")["text/event-stream"] = _events("ResponseStreamEvent")
    return description


def _answers(description, path):
    return description["paths"][path]["post"]["responses"]["200"]["content"]


def _events(chunk):
    """What the description says in words: a chunk is the data of an event, and the last event says that it is the last."""
    json_text = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"$ref": f"#/components/schemas/{chunk}"}}
    data = {"anyOf": [{"const": "[DONE]"}, json_text]}
    return {"schema": {"type": "object", "properties": {"data": data}, "required": ["data"]}}


def supported(model):
    """What is left of it without the fields that are refused, and with the rules in words: such a request has to be answered."""
    description = _without_refused_alternatives(served(model))
    del description["paths"]["/responses"]  # most of what it allows is for tools that are OpenAI's own, and for what it stores
    schemas = description["components"]["schemas"]
    changes = {name: dict.fromkeys(fields.split()) for name, fields in REFUSED.items()}
    for name, fields in SAID_IN_WORDS.items():
        changes[name] = {**changes.get(name, {}), **fields}
    for name, fields in changes.items():
        for field, schema in fields.items():
            _change(schemas[name], field, schema)
    schemas["ResponseFormatJsonSchema"]["properties"]["json_schema"]["required"] = ["name", "schema"]
    return description


def _change(schema, field, replacement):
    """Replaces a property's schema, or takes the property out."""
    for part in [schema, *schema.get("allOf", [])]:
        if field in part.get("properties", {}):
            del part["properties"][field]
            if replacement:
                part["properties"][field] = replacement


def _without_refused_alternatives(node):
    if isinstance(node, list):
        names = [item.get("$ref", "").rsplit("/", 1)[-1] if isinstance(item, dict) else "" for item in node]
        return [_without_refused_alternatives(item) for item, name in zip(node, names) if name not in REFUSED_ALTERNATIVES]
    if isinstance(node, dict):
        return {key: _without_refused_alternatives(value) for key, value in node.items() if key != "discriminator"}
    return node
