"""The same of /v1/responses, whose streams have another form."""

import json

import pytest

from test_validation import faults_of

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "demo",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
DELTA = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "a", "logprobs": []}


def event(kind, number, name=None, **fields):
    value = {"type": kind, "sequence_number": number, **fields}
    return f"event: {name or kind}\ndata: {json.dumps(value)}\n\n".encode()


CREATED = event("response.created", 0, response={**RESPONSE, "status": "in_progress"})
TEXT = event("response.output_text.delta", 1, **DELTA)
COMPLETED = event("response.completed", 2, response=RESPONSE)


def faults_of_stream(body):
    return faults_of(body, "POST /v1/responses")


def test_a_stream_of_events_as_it_should_be_has_no_fault():
    assert faults_of_stream(CREATED + TEXT + COMPLETED) == []
    assert faults_of_stream(CREATED + b": still here\n\n" + TEXT + COMPLETED) == []
    error = event("error", 1, code=None, message="no", param=None)
    assert faults_of_stream(CREATED + error + event("response.failed", 2, response={**RESPONSE, "status": "failed"})) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(CREATED + TEXT, id="no end"),
        pytest.param(TEXT.replace(b": 1", b": 0") + COMPLETED.replace(b": 2", b": 1"), id="no beginning"),
        pytest.param(CREATED + COMPLETED, id="a number is left out"),
        pytest.param(CREATED + TEXT + COMPLETED + event("response.completed", 3, response=RESPONSE), id="two ends"),
        pytest.param(CREATED + TEXT + COMPLETED + b"data: [DONE]\n\n", id="an end as chat has it"),
        pytest.param(CREATED + event("response.output_text.delta", 1, "response.text", **DELTA) + COMPLETED, id="another name"),
        pytest.param(CREATED + event("response.thought", 1, **DELTA) + COMPLETED, id="a type that there is not"),
        pytest.param(CREATED + event("response.output_text.delta", 1, **{**DELTA, "delta": None}) + COMPLETED, id="no text"),
        pytest.param(CREATED + TEXT + event("response.completed", 2, response={**RESPONSE, "status": "done"}), id="a status that there is not"),
        pytest.param(CREATED + TEXT + event("response.completed", 2, response={**RESPONSE, "output": [{"type": "message"}]}), id="half an item"),
        pytest.param(CREATED + event("error", 1, message="no") + event("response.failed", 2, response=RESPONSE), id="half an error"),
        pytest.param(CREATED + b"event: response.completed\ndata: {\n\n", id="no JSON"),
    ],
)
def test_a_broken_stream_of_events_is_a_fault(body):
    assert faults_of_stream(body)
