"""Calls that a request forces, and the other ways in which it holds an answer to a form, through OpenAI's client."""

import json
import typing

import jsonschema
import pydantic
import pytest

from server import ask, text_of

QUESTION = "What is the weather in Paris?"
PARAMETERS = {
    "get_weather": {
        "type": "object",
        "properties": {"town": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["town", "unit"],
        "additionalProperties": False,
    },
    "set_alarm": {
        "type": "object",
        "properties": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}, "on": {"type": "boolean"}},
        "required": ["hour", "on"],
        "additionalProperties": False,
    },
}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in PARAMETERS.items()]
NAMED = [{"type": "function", "function": {"name": name}} for name in PARAMETERS]
CHOICES = pytest.mark.parametrize("choice", ["required", *NAMED], ids=["required", *PARAMETERS])


class Play(pydantic.BaseModel):
    title: typing.Annotated[str, pydantic.Field(max_length=30)]
    year: int


def force(server, choice, **more):
    # One call: a weak model that may make more goes on until it has no tokens left.
    more = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "max_tokens": 100, **more}
    return ask(server.client(), QUESTION, **more)


def check(function, choice):
    jsonschema.validate(json.loads(function.arguments), PARAMETERS[function.name])
    assert choice == "required" or function.name == choice["function"]["name"]


@CHOICES
@pytest.mark.parametrize("temperature", [0, 1])
def test_a_forced_call_has_arguments_that_its_parameters_allow(server, choice, temperature):
    for answer in force(server, choice, temperature=temperature, seed=5, n=3).choices:
        assert answer.finish_reason == "tool_calls" and not answer.message.content
        [call] = answer.message.tool_calls
        assert call.type == "function" and len(call.id) >= 9
        check(call.function, choice)


@CHOICES
def test_a_forced_call_is_streamed_with_its_id_and_name_once_and_its_index_always(server, choice):
    deltas, reasons = [], []
    for chunk in force(server, choice, stream=True):
        assert not chunk.choices[0].delta.content
        deltas += chunk.choices[0].delta.tool_calls or []
        reasons += filter(None, [chunk.choices[0].finish_reason])
    assert reasons == ["tool_calls"]
    assert {delta.index for delta in deltas} == {0}
    first, *rest = deltas
    assert len(first.id) >= 9 and first.type == "function" and first.function.name
    assert all(delta.id is None and delta.function.name is None for delta in rest)
    first.function.arguments = "".join(delta.function.arguments or "" for delta in deltas)
    check(first.function, choice)
    [whole] = force(server, choice).choices[0].message.tool_calls
    assert (whole.function.name, whole.function.arguments) == (first.function.name, first.function.arguments)


@CHOICES
def test_the_clients_own_accumulation_of_streamed_calls_is_the_whole_answer(server, choice):
    asked = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "max_tokens": 100, "temperature": 0}
    with server.client().chat.completions.stream(model="demo", messages=[{"role": "user", "content": QUESTION}], **asked) as stream:
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    check(call.function, choice)


def test_calls_have_ids_of_their_own(server):
    answers = [force(server, "required", n=2, temperature=1, seed=1) for _ in range(2)]
    ids = [call.id for answer in answers for choice in answer.choices for call in choice.message.tool_calls]
    assert len(set(ids)) == 4


def test_a_forced_call_that_is_cut_short_is_not_shown_as_text(server):
    for stream in (False, True):
        answer = force(server, "required", max_tokens=14, stream=stream)
        text = text_of(answer) if stream else answer.choices[0].message.content
        assert not text


def test_the_result_of_a_call_goes_back_and_is_answered(server):
    message = force(server, NAMED[0]).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"sky": "clear"}'}
    messages = [{"role": "user", "content": QUESTION}, message, result]
    asked = {"model": "demo", "tools": TOOLS, "tool_choice": "none", "temperature": 0, "max_tokens": 16}
    answer = server.client().chat.completions.create(messages=messages, **asked)
    shorter = server.client().chat.completions.create(messages=messages[:1], **asked)
    assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls
    assert answer.usage.prompt_tokens > shorter.usage.prompt_tokens


def test_an_answer_is_parsed_by_its_type_and_so_are_the_arguments_of_a_call(server):
    import openai

    chat = server.client().chat.completions
    asked = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}], "temperature": 1, "seed": 2, "max_tokens": 120}
    for choice in chat.parse(**asked, response_format=Play, n=2).choices:
        assert type(choice.message.parsed) is Play
    tool = openai.pydantic_function_tool(Play)
    forced = {"type": "function", "function": {"name": "Play"}}
    [call] = chat.parse(**asked, tools=[tool], tool_choice=forced).choices[0].message.tool_calls
    assert type(call.function.parsed_arguments) is Play


def test_samples_are_streamed_each_under_its_index(server):
    asked = {"n": 3, "temperature": 1, "seed": 7, "max_tokens": 12}
    texts = [""] * 3
    for chunk in ask(server.client(), "Write a poem.", stream=True, **asked):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    whole = [choice.message.content for choice in ask(server.client(), "Write a poem.", **asked).choices]
    assert texts == whole and len(set(texts)) == 3


def test_several_stop_strings_end_a_stream_at_the_first_of_them(server):
    whole = ask(server.client(), "Who wrote Romeo and Juliet?", max_tokens=24).choices[0].message.content
    stops = [whole[30:34], whole[12:17], "never said"]
    cut = text_of(ask(server.client(), "Who wrote Romeo and Juliet?", max_tokens=24, stop=stops, stream=True))
    assert cut == whole[: min(whole.index(stop) for stop in stops if stop in whole)]


def test_a_bias_forbids_a_token_or_makes_it_the_only_one(server):
    completions = server.client().completions
    asked = {"model": "demo", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 4, "logprobs": 1}
    usual = completions.create(**asked).choices[0]
    token = 28120  # "hello"
    assert completions.create(**asked, logit_bias={str(token): 100}).choices[0].text == "hello" * 4
    assert "hello" not in usual.text
    comma = 28  # what follows the prompt otherwise
    assert usual.logprobs.tokens[0] == ","
    assert completions.create(**asked, logit_bias={str(comma): -100}).choices[0].logprobs.tokens[0] != ","
