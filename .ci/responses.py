"""OpenAI's client talks to /v1/responses. It is strict here: it takes nothing that its own types do not allow."""

import json
import typing

import openai
import pydantic
import pytest

from server import wait_until

QUESTION = "Who wrote Romeo and Juliet?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a town",
    "parameters": {
        "type": "object",
        "properties": {"town": {"type": "string", "maxLength": 20}},
        "required": ["town"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Play(pydantic.BaseModel):
    title: typing.Annotated[str, pydantic.Field(max_length=30)]
    year: int


@pytest.fixture(scope="session")
def responses(server):
    return server.client(_strict_response_validation=True).responses


def asked(**more):
    return {"model": "demo", "input": QUESTION, "temperature": 0, "max_output_tokens": 24, **more}


def call_of(response):
    [call] = response.output
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert len(call.call_id) >= 9
    assert set(json.loads(call.arguments)) == {"town"}
    return call


def without_ids(response):
    """What two answers to one question have in common: not ids, times, and what was found in the cache."""
    fields = response.to_dict(mode="json")
    fields["usage"].pop("input_tokens_details")
    for item in fields["output"]:
        item.pop("id"), item.pop("call_id", None)
    return {key: value for key, value in fields.items() if key not in ("id", "created_at")}


def test_a_text_is_answered_and_its_tokens_are_counted(responses):
    response = responses.create(**asked())
    assert "Shakespeare" in response.output_text
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 24 and response._request_id


def test_instructions_are_the_first_system_message(responses, server):
    response = responses.create(**asked(instructions="Answer in one word."))
    messages = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": QUESTION}]
    same = server.client().chat.completions.create(model="demo", messages=messages, temperature=0, max_tokens=24)
    assert response.output_text == same.choices[0].message.content
    assert response.usage.input_tokens == same.usage.prompt_tokens


def test_the_events_of_a_text_come_in_their_order_and_add_up_to_the_answer(responses):
    events = list(responses.create(**asked(), stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert [event.type for event in events if event.type != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert len(deltas) > 4
    *_, text, part, item, last = events
    assert "".join(deltas) == text.text == part.part.text == item.item.content[0].text == last.response.output_text
    assert without_ids(last.response) == without_ids(responses.create(**asked()))


def test_the_clients_own_accumulation_of_a_stream_is_the_final_response(responses):
    with responses.stream(**asked(max_output_tokens=200, text_format=Play)) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text
    assert type(final.output_parsed) is Play and final.status == "completed"


def test_an_answer_is_parsed_by_its_type(responses):
    response = responses.parse(**asked(max_output_tokens=200, text_format=Play))
    assert type(response.output_parsed) is Play
    assert Play.model_validate_json(response.output_text) == response.output_parsed


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}], ids=["required", "named"])
def test_a_forced_call_is_made_and_its_result_is_read(responses, choice):
    tools = {"tools": [WEATHER], "parallel_tool_calls": False}
    unasked = responses.create(**asked(tool_choice="none", **tools))
    first = responses.create(**asked(max_output_tokens=80, tool_choice=choice, **tools))
    call = call_of(first)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "clear"}'}
    history = [{"role": "user", "content": QUESTION}, *first.output, result]
    second = responses.create(**asked(input=history, tool_choice="none", **tools))
    assert second.output_text and second.usage.input_tokens > unasked.usage.input_tokens


def test_a_forced_call_is_streamed_as_it_is_answered_whole(responses):
    forced = asked(max_output_tokens=80, tools=[WEATHER], tool_choice={"type": "function", "name": "get_weather"})
    events = list(responses.create(**forced, stream=True))
    added, *deltas, done, item, last = events[2:]
    assert (added.type, added.item.name, added.item.arguments) == ("response.output_item.added", "get_weather", "")
    assert {delta.type for delta in deltas} == {"response.function_call_arguments.delta"}
    assert done.type == "response.function_call_arguments.done" and item.item == call_of(last.response)
    assert "".join(delta.delta for delta in deltas) == done.arguments == item.item.arguments
    assert added.item.id == done.item_id == item.item.id and added.item.call_id == item.item.call_id
    assert without_ids(last.response) == without_ids(responses.create(**forced))


def test_every_token_has_its_probability_where_they_are_included(responses):
    response = responses.create(**asked(include=["message.output_text.logprobs"], top_logprobs=2))
    [text] = response.output[0].content
    assert "".join(token.token for token in text.logprobs) == text.text
    assert all(len(token.top_logprobs) == 2 and token.logprob == token.top_logprobs[0].logprob for token in text.logprobs)


def test_a_model_that_does_not_reason_answers_without_reasoning(responses):
    response = responses.create(**asked(reasoning={"effort": "high"}))
    assert [item.type for item in response.output] == ["message"]
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    assert response.reasoning.effort == "high"


@pytest.mark.parametrize(
    "change, param",
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"max_tokens": 3}}, "max_tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_cannot_be_done_is_refused_by_the_name_of_its_field(responses, change, param, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        responses.create(**asked(**change), stream=stream)
    assert caught.value.param.startswith(param) and caught.value.request_id


def test_a_stream_that_its_reader_leaves_is_given_up(responses, server):
    stream = responses.create(**asked(max_output_tokens=4000, extra_body={"ignore_eos": True}), stream=True)
    next(iter(stream))
    wait_until(lambda: server.metric("vllm:num_requests_running") == 1)
    stream.close()
    wait_until(lambda: server.metric("vllm:num_requests_running") == 0)
