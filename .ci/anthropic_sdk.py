"""Anthropic's own Python client talks to the demo model through the example router."""

import json
import pathlib

import anthropic
import pytest

from server import Server

PLUGINS = pathlib.Path(__file__).parent.parent / "plugins"
QUESTION = "Who wrote Romeo and Juliet?"


@pytest.fixture(scope="session")
def plugins_file(tmp_path_factory):
    """What --plugins names: the router in the place of OpenAI's. It imports nothing, so it is granted nothing."""
    file = tmp_path_factory.mktemp("plugins") / "plugins.toml"
    path = PLUGINS / "dist" / "anthropic-router.wasm"
    file.write_text(f'[router]\nname = "anthropic-router"\npath = {json.dumps(str(path))}\n')
    return str(file)


@pytest.fixture(scope="session")
def start(pytestconfig, plugins_file):
    return lambda *flags: Server(pytestconfig.getoption("--host-binary"), "--plugins", plugins_file, *flags)


@pytest.fixture(scope="session")
def server(start):
    server = start()
    yield server
    assert server.stop() == 0


def client(server, api_key="x"):
    return anthropic.Anthropic(base_url=server.root, api_key=api_key, max_retries=0)


def request(question=QUESTION, temperature=0, **more):
    # The client has no argument for the temperature; the protocol still has the field.
    messages = [{"role": "user", "content": question}]
    return {"model": "demo", "max_tokens": 48, "messages": messages, "extra_body": {"temperature": temperature}, **more}


def ask(server, *args, **more):
    return client(server).messages.create(**request(*args, **more))


def text_of(message):
    [block] = message.content
    assert block.type == "text"
    return block.text


def test_the_answer_names_shakespeare(server):
    message = ask(server)
    assert "Shakespeare" in text_of(message)
    assert (message.type, message.role, message.model) == ("message", "assistant", "demo")
    assert message.id.startswith("msg_") and message.id.endswith(message._request_id)


def test_a_streamed_answer_is_the_one_that_comes_whole(server):
    whole = ask(server)
    with client(server).messages.stream(**request()) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()
    assert len(pieces) >= 8
    assert "".join(pieces) == text_of(streamed) == text_of(whole)
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_the_events_of_a_stream_come_in_anthropic_s_order(server):
    events = list(ask(server, max_tokens=4, stream=True))
    names = [event.type for event in events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert set(names[2:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0].message.usage.output_tokens == 1
    assert events[-2].usage.output_tokens == 4 and events[-2].delta.stop_reason == "max_tokens"


def test_a_system_prompt_is_read_as_text_and_as_blocks(server):
    plain = ask(server)
    as_text = ask(server, system="Answer as a pirate.")
    as_blocks = ask(server, system=[{"type": "text", "text": "Answer as a pirate.", "cache_control": {"type": "ephemeral"}}])
    assert text_of(as_text) == text_of(as_blocks) != text_of(plain)


def test_the_assistant_goes_on_with_a_turn_of_its_own(server):
    beginning = "It was written by William"
    message = ask(server, messages=[{"role": "user", "content": QUESTION}, {"role": "assistant", "content": beginning}])
    assert text_of(message).startswith(" Shakespeare")


def test_a_conversation_can_be_sent_back_as_it_came(server):
    messages = [{"role": "user", "content": QUESTION}]
    first = ask(server, messages=messages)
    messages += [first.to_param(), {"role": "user", "content": [{"type": "text", "text": "Are you sure?"}]}]
    second = ask(server, messages=messages)
    assert text_of(second)
    assert second.usage.cache_read_input_tokens > first.usage.cache_read_input_tokens


def test_calls_and_their_results_are_read(server):
    tool = {"name": "author_of", "description": "Tells who wrote a play.", "input_schema": {"type": "object", "properties": {"play": {"type": "string"}}}}
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "author_of", "input": {"play": "Romeo and Juliet"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Christopher Marlowe"}]},
    ]
    message = ask(server, messages=messages, tools=[tool], tool_choice={"type": "none"})
    assert message.stop_reason in ("end_turn", "max_tokens") and text_of(message)


def test_a_stop_sequence_ends_the_text_before_it(server):
    whole = text_of(ask(server))
    stop = whole[20:26]
    cut = ask(server, stop_sequences=[stop])
    assert text_of(cut) == whole[: whole.index(stop)]
    # Nobody tells the router that it was not an end token.
    assert (cut.stop_reason, cut.stop_sequence) == ("end_turn", None)


def test_the_token_limit_is_told(server):
    message = ask(server, "Tell me a long story.", max_tokens=5)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 5


def test_usage_tells_what_was_found_in_the_cache_apart(server):
    question = "Tell me about the sea. " * 20
    first, second = ask(server, question).usage, ask(server, question).usage
    assert first.input_tokens + first.cache_read_input_tokens == second.input_tokens + second.cache_read_input_tokens
    assert second.cache_read_input_tokens >= 64 and 0 < second.input_tokens <= 17
    assert 0 < second.output_tokens <= 48


FORM = {"type": "json_schema", "schema": {"type": "object", "properties": {"author": {"type": "string", "maxLength": 40}}, "required": ["author"], "additionalProperties": False}}


def test_an_answer_keeps_to_its_schema(server):
    message = ask(server, max_tokens=200, temperature=1, output_config={"format": FORM})
    assert set(json.loads(text_of(message))) == {"author"}


@pytest.mark.parametrize(
    "change, error, kind, word",
    [
        ({"model": "claude-0"}, anthropic.NotFoundError, "not_found_error", "demo"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error", "messages"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", "max_tokens"),
        ({"extra_body": {"temperature": 1.5}}, anthropic.BadRequestError, "invalid_request_error", "temperature"),
        ({"extra_body": {"n": 2}}, anthropic.BadRequestError, "invalid_request_error", "`n`"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, anthropic.BadRequestError, "invalid_request_error", "budget_tokens"),
        ({"messages": [{"role": "user", "content": "long " * 20000}]}, anthropic.BadRequestError, "invalid_request_error", "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}]},
            anthropic.BadRequestError,
            "invalid_request_error",
            "image",
        ),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "nothing"}}}}, anthropic.BadRequestError, "invalid_request_error", "output_config.format"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_is_one_to_the_client(server, change, error, kind, word, stream):
    with pytest.raises(error) as caught:
        ask(server, stream=stream, **change)
    assert caught.value.type == kind and word in caught.value.api_message
    assert caught.value.body["request_id"]


def test_paths_that_are_not_offered_are_not_found(server):
    with pytest.raises(anthropic.NotFoundError):
        client(server).messages.count_tokens(model="demo", messages=[{"role": "user", "content": "hi"}])


def test_a_request_that_takes_too_long_fails_in_the_middle_of_its_stream(start):
    server = start("--request-timeout", "1")
    schema = {"type": "object", "properties": {"story": {"type": "string", "minLength": 20000}}, "required": ["story"]}
    events = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        for event in ask(server, max_tokens=8000, stream=True, output_config={"format": {"type": "json_schema", "schema": schema}}):
            events.append(event.type)
    assert events[0] == "message_start" and "message_stop" not in events
    assert caught.value.type == "timeout_error"
    assert server.stop() == 0


def test_a_server_with_a_key_lets_only_its_holders_in(start):
    server = start("--api-key", "right")
    with pytest.raises(anthropic.AuthenticationError):
        client(server, "wrong").messages.create(**request())
    assert client(server, "right").messages.create(**request()).content
    assert server.stop() == 0
