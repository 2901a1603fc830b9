"""The whole of it: OpenAI's Python client talks to the demo model through the three plugins."""

import json
import math
import signal
import subprocess
import threading
import urllib.error
import urllib.request

import openai
import pytest

import validation
from server import Server, ask, text_of, wait_until

QUESTIONS = [
    "Who wrote Romeo and Juliet?",
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "Why is the sky blue?",
    "What do bees make?",
    "How many legs does a spider have?",
    "What is the largest ocean on Earth?",
    "Tell me a fact about the Moon.",
]


def test_the_answer_names_shakespeare(server):
    c = server.client()
    print_ = c.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Who wrote Romeo and Juliet?"}], temperature=0
    ).choices[0].message.content
    assert "Shakespeare" in print_


def test_eight_clients_at_once_each_get_the_answer_to_their_own_question_streamed(server):
    alone = [ask(server.client(), question).choices[0].message.content for question in QUESTIONS]
    assert len(set(alone)) == len(alone)
    together = [None] * len(QUESTIONS)

    def client(index):
        together[index] = text_of(ask(server.client(), QUESTIONS[index], stream=True))

    threads = [threading.Thread(target=client, args=(index,)) for index in range(len(QUESTIONS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_killing_a_client_in_the_middle_of_its_stream_frees_its_blocks(server):
    stream = ask(server.client(), "Tell me a long story.", max_tokens=8000, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    # The engine tells its figures after the step whose token has come.
    wait_until(lambda: server.metric("host_kv_blocks_used") > 0)
    stream.response.close()
    wait_until(lambda: server.metric("host_kv_blocks_used") == 0)
    assert server.metric("vllm:num_requests_running") == 0


def test_tokens_are_streamed_as_they_are_made(server):
    chunks = list(ask(server.client(), "Count to ten.", max_tokens=16, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len(chunks) >= 8
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("stop", "length")
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens <= 16
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_same_seed_gives_the_same_text_and_another_another(server):
    def text(seed):
        return ask(server.client(), "Write a poem.", temperature=1.0, top_p=0.9, seed=seed).choices[0].message.content

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_a_stop_string_ends_the_text_before_it(server):
    whole = ask(server.client(), QUESTIONS[0]).choices[0]
    stop = whole.message.content[20:26]
    cut = ask(server.client(), QUESTIONS[0], stop=[stop]).choices[0]
    assert cut.message.content == whole.message.content[: whole.message.content.index(stop)]
    assert cut.finish_reason == "stop"


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 40}, "author": {"type": "string", "maxLength": 40}, "year": {"type": "integer"}},
    "required": ["title", "author", "year"],
    "additionalProperties": False,
}


def test_answers_keep_to_their_schema_whatever_the_temperature(server):
    form = {"type": "json_schema", "json_schema": {"name": "play", "strict": True, "schema": SCHEMA}}
    answers = ask(server.client(), QUESTIONS[0], response_format=form, max_tokens=200, temperature=1.0, seed=3, n=4)
    for choice in answers.choices:
        play = json.loads(choice.message.content)
        assert set(play) == {"title", "author", "year"} and type(play["year"]) is int
        assert choice.finish_reason == "stop"
    stream = ask(server.client(), QUESTIONS[0], response_format={"type": "json_object"}, max_tokens=200, stream=True)
    text = text_of(stream)
    assert text.startswith("{")


def test_samples_differ_and_the_first_is_the_one_drawn_alone(server):
    def texts(n):
        answers = ask(server.client(), "Write a poem.", n=n, temperature=1.0, seed=11)
        assert answers.usage.completion_tokens <= 48 * n
        return [choice.message.content for choice in answers.choices]

    several = texts(4)
    assert len(set(several)) == 4
    assert texts(1) == several[:1]


def test_every_token_has_its_probability(server):
    choice = ask(server.client(), QUESTIONS[1], logprobs=True, top_logprobs=5, max_tokens=8).choices[0]
    for position in choice.logprobs.content:
        assert position.logprob == position.top_logprobs[0].logprob
        assert sorted((top.logprob for top in position.top_logprobs), reverse=True) == [top.logprob for top in position.top_logprobs]
        assert sum(math.exp(top.logprob) for top in position.top_logprobs) <= 1.001
    assert b"".join(bytes(position.bytes) for position in choice.logprobs.content).decode().startswith(choice.message.content)


def test_a_conversation_that_goes_on_finds_its_beginning_in_the_cache(server):
    history = [{"role": "user", "content": "Tell me about the sea. " * 20}]

    def turn():
        return server.client().chat.completions.create(model="demo", messages=history, max_tokens=40, temperature=0)

    first = turn()
    history += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "Go on."}]
    second = turn()
    assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens // 16 * 16
    assert second.usage.prompt_tokens_details.cached_tokens < second.usage.prompt_tokens


def test_switches_of_the_engine_change_no_text(server, binary):
    questions = [(question, {}) for question in QUESTIONS[:3]] + [("Write a poem.", {"temperature": 1.0, "seed": 4}), ("Say: ha ha ha ha ha ha", {"max_tokens": 80})]

    def texts(server):
        return [ask(server.client(), question, **more).choices[0].message.content for question, more in questions]

    usual = texts(server)
    for flags in (["--no-prefix-caching", "--async-scheduling", "--max-num-batched-tokens", "16"], ["--speculative", "ngram:4"]):
        other = Server(binary, *flags)
        assert texts(other) == usual, flags
        if "--speculative" in flags:
            assert other.metric("vllm:spec_decode_num_accepted_tokens_total") > 0
        assert other.stop() == 0


def test_a_request_that_takes_too_long_is_given_up(binary):
    server = Server(binary, "--request-timeout", "1")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server.client(), "Tell me a long story.", max_tokens=8000, extra_body={"ignore_eos": True})
    assert caught.value.status_code == 504
    wait_until(lambda: server.metric("host_kv_blocks_used") == 0)
    assert server.stop() == 0


def test_completions_and_models_answer_too(server):
    client = server.client()
    completion = client.completions.create(model="demo", prompt="Once upon a time", max_tokens=8, temperature=0)
    assert completion.choices[0].text and completion.usage.completion_tokens == 8
    assert completion.choices[0].finish_reason == "length"
    model = client.models.list().data[0]
    assert client.models.retrieve(model.id) == model and model.id == "demo"


def test_a_streamed_completion_is_the_whole_one_in_pieces(server):
    asked = {"model": "demo", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0, "logprobs": 2}
    whole = server.client().completions.create(**asked)
    *chunks, last = server.client().completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices == [] and last.usage == whole.usage


@pytest.mark.parametrize(
    "change, error, param",
    [
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"model": "gpt-0"}, openai.NotFoundError, "model"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "user", "content": "long " * 20000}]}, openai.BadRequestError, "messages"),
        ({"max_tokens": "many"}, openai.BadRequestError, "max_tokens"),
        ({"logit_bias": {"999999": 1}}, openai.BadRequestError, "logit_bias"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}}, openai.BadRequestError, "response_format"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(server, change, error, param):
    good = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    with pytest.raises(error) as caught:
        server.client().chat.completions.create(**{**good, **change})
    assert caught.value.param == param and caught.value.type
    assert caught.value.request_id


@pytest.mark.parametrize(
    "method, path, body, kind, status",
    [
        ("POST", "/v1/chat/completions", b"{not json", "application/json", 400),
        ("POST", "/v1/chat/completions", b"[1]", "application/json; charset=utf-8", 400),
        ("POST", "/v1/chat/completions", b"\xff\xfe", "application/json", 400),
        pytest.param("POST", "/v1/chat/completions", b" " * (9 << 20), "application/json", 413, id="large"),
        ("POST", "/v1/chat/completions", b"{}", "text/plain", 415),
        ("GET", "/v1/chat/completions", None, None, 405),
        ("POST", "/v1/nothing", b"{}", "application/json", 404),
    ],
)
def test_what_no_client_should_send_gets_the_error_object(server, method, path, body, kind, status):
    headers = {"content-type": kind} if kind else {}
    request = urllib.request.Request(server.root + path, data=body, headers=headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == status
    assert validation.faults("ErrorResponse", json.load(caught.value)) == []


def test_a_server_with_a_key_lets_only_its_holders_in(binary):
    server = Server(binary, "--api-key", "right")
    with pytest.raises(openai.AuthenticationError):
        server.client("wrong").models.list()
    assert server.client("right").models.list().data
    assert urllib.request.urlopen(f"{server.root}/ready").status == 200
    assert server.stop() == 0


def test_sigterm_lets_the_running_stream_end_and_takes_nothing_new(binary):
    server = Server(binary)
    stream = ask(server.client(), "Tell me a story.", max_tokens=64, stream=True, extra_body={"ignore_eos": True})
    chunks = iter(stream)
    next(chunks)
    server.process.send_signal(signal.SIGTERM)
    wait_until(server.takes_no_connection)
    rest = list(chunks)
    assert rest[-1].choices[0].finish_reason == "length"
    assert server.process.wait(timeout=60) == 0


def test_a_second_interrupt_does_not_wait_for_what_runs(binary):
    server = Server(binary)
    stream = ask(server.client(), "Tell me a story.", max_tokens=8000, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    server.process.send_signal(signal.SIGINT)
    wait_until(server.takes_no_connection)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=10) == 130


def test_the_benchmark_command_reports_the_keys_of_the_demo_it_replaces(server, binary):
    flags = ["--base-url", server.base_url, "--requests", "8", "--concurrency", "4", "--max-tokens", "16", "--json"]
    report = json.loads(subprocess.run([binary, "benchmark", *flags], check=True, capture_output=True).stdout)
    assert report["total_requests"] == report["successful_requests"] == 8
    keys = "timestamp total_tokens avg_tokens_per_request tps avg_latency_ms p50_latency_ms p99_latency_ms p50_ttft_ms"
    assert all(report[key] for key in keys.split())
