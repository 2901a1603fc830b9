"""The validation can fail: what follows is wrong in one place each, and is seen."""

import copy
import json

import httpx2
import pytest

import validation

CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "demo",
    "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}],
}
ERROR = {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}
DONE = b"data: [DONE]\n\n"


def faults_of(body, operation="POST /v1/chat/completions", status=200, content_type="text/event-stream"):
    """Those of an answer that comes a byte at a time."""
    answer = validation.Answer(operation, status, httpx2.Headers({"content-type": content_type}))
    return [fault for byte in body for fault in answer.take(bytes([byte]))] + answer.end()


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def changed(path, value):
    chunk = copy.deepcopy(CHUNK)
    *parents, last = path
    place = chunk
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return chunk


def test_a_stream_as_it_should_be_has_no_fault_whatever_we_add_to_a_delta():
    reasoning = changed(("choices", 0, "delta"), {"reasoning_content": "hm", "reasoning": "hm"})
    assert faults_of(event(CHUNK) + event(reasoning) + event({**CHUNK, "choices": [], "usage": None}) + DONE) == []
    assert faults_of(event(CHUNK) + event(ERROR) + DONE) == []


@pytest.mark.parametrize(
    "path, value",
    [
        (("id",), None),
        (("object",), "chat.completion"),
        (("created",), "now"),
        (("choices", 0, "finish_reason"), "end"),
        (("choices", 0, "delta"), None),
        (("choices", 0, "delta", "content"), 7),
        (("choices", 0, "delta", "tool_calls"), [{"id": "call-1"}]),
        (("usage",), {"prompt_tokens": 1}),
    ],
)
def test_a_broken_chunk_is_a_fault(path, value):
    assert len(faults_of(event(CHUNK) + event(changed(path, value)) + DONE)) == 1


@pytest.mark.parametrize(
    "body",
    [
        event(CHUNK),
        event(CHUNK) + DONE + event(CHUNK),
        event(CHUNK) + DONE + b"data: ",
        event(CHUNK) + b"data: {\n\n" + DONE,
        event(CHUNK) + b"event: x\ndata: {}\n\n" + DONE,
        event({"error": {"message": "no"}}) + DONE,
    ],
)
def test_a_broken_stream_is_a_fault(body):
    assert faults_of(body)


@pytest.mark.parametrize(
    "operation, status, body",
    [
        ("POST /v1/chat/completions", 200, CHUNK),
        ("POST /v1/completions", 200, {}),
        ("POST /v1/embeddings", 200, {"object": "list", "data": [], "model": "demo"}),
        ("POST /v1/responses", 200, {"id": "resp_1", "object": "response", "error": None}),
        ("GET /v1/models", 200, {"object": "list", "data": [{"id": "demo"}]}),
        ("GET /v1/models/demo", 200, {"id": "demo"}),
        ("GET /v1/nothing", 404, {"error": "not found"}),
        ("GET /v1/nothing", 404, {"message": "not found"}),
    ],
)
def test_a_broken_answer_is_a_fault(operation, status, body):
    assert faults_of(json.dumps(body).encode(), operation, status, "application/json")
