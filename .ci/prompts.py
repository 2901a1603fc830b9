"""What a server tells of a prompt without writing on: its vectors, its tokens and their probabilities."""

import base64
import json
import math
import struct
import urllib.request

import openai
import pytest

TEXTS = ["The cat sat on the mat.", "A dog ran in the park, and did not come back.", "Stocks fell sharply on Tuesday"]


def embed(server, input=TEXTS, **more):
    return server.client().embeddings.create(model="demo", input=input, **more)


def vectors(embeddings):
    assert [item.index for item in embeddings.data] == list(range(len(embeddings.data)))
    return [item.embedding for item in embeddings.data]


def far_apart(one, other):
    """The cosine of the angle between two vectors of length 1, taken from 1."""
    return 1 - sum(a * b for a, b in zip(one, other, strict=True))


def post(server, path, **body):
    request = urllib.request.Request(server.root + path, data=json.dumps(body).encode(), headers={"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def test_vectors_are_the_same_as_numbers_and_in_the_base64_that_the_client_asks_for_by_itself(server):
    numbers = vectors(embed(server, encoding_format="float"))
    by_itself = vectors(embed(server))
    raw = vectors(embed(server, encoding_format="base64"))
    decoded = [list(struct.unpack(f"<{len(vector)}f", base64.b64decode(text))) for vector, text in zip(numbers, raw, strict=True)]
    # Numbers are written with as many digits as tell a float of 32 bits from all others, so that nothing is lost.
    rounded = [list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector))) for vector in numbers]
    assert rounded == decoded == by_itself
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in numbers)


def test_a_text_in_a_batch_has_the_vector_that_it_has_alone(server):
    together = embed(server)
    alone = [embed(server, text) for text in TEXTS]
    for vector, single in zip(vectors(together), alone, strict=True):
        assert far_apart(vector, single.data[0].embedding) < 1e-4  # sums in another order
    assert together.usage.prompt_tokens == sum(single.usage.prompt_tokens for single in alone)


def test_the_mean_of_a_text_is_another_vector_than_its_last_token(server):
    usual = vectors(embed(server))
    last = vectors(embed(server, extra_body={"pooling": "last"}))
    mean = vectors(embed(server, extra_body={"pooling": "mean"}))
    assert last == usual
    assert all(far_apart(one, other) > 0.01 for one, other in zip(last, mean, strict=True))


def test_fewer_dimensions_are_the_first_ones_at_length_1(server):
    for whole, short in zip(vectors(embed(server)), vectors(embed(server, dimensions=64)), strict=True):
        length = math.hypot(*whole[:64])
        assert short == pytest.approx([number / length for number in whole[:64]], abs=1e-5)


def test_tokens_have_the_vector_of_their_text(server):
    tokens = [post(server, "/tokenize", prompt=text, add_special_tokens=False)["tokens"] for text in TEXTS]
    assert vectors(embed(server, tokens)) == vectors(embed(server))


@pytest.mark.parametrize(
    "change, param",
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [10**6]}, "input"),
        ({"input": "long " * 20000}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 100000}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"extra_body": {"pooling": "first"}}, "pooling"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_what_has_no_vector_is_refused_by_the_name_of_its_field(server, change, param):
    with pytest.raises(openai.BadRequestError) as caught:
        embed(server, **change)
    assert caught.value.param == param


def complete(server, prompt, **more):
    return server.client().completions.create(model="demo", prompt=prompt, temperature=0, **more)


def test_an_echo_is_the_prompt_and_what_follows_it(server):
    text = complete(server, TEXTS[0], max_tokens=4).choices[0].text
    echoed = complete(server, TEXTS[0], max_tokens=4, echo=True)
    assert echoed.choices[0].text == TEXTS[0] + text
    assert echoed.usage.completion_tokens == 4
    stream = complete(server, TEXTS[0], max_tokens=4, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == TEXTS[0] + text


def test_an_echoed_prompt_has_the_probability_of_each_token_but_the_first(server):
    [choice] = complete(server, TEXTS[0], max_tokens=3, echo=True, logprobs=2).choices
    logprobs = choice.logprobs
    assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
    assert "".join(logprobs.tokens) == choice.text
    assert [choice.text[offset:].startswith(token) for offset, token in zip(logprobs.text_offset, logprobs.tokens, strict=True)]
    for token, logprob, top in zip(logprobs.tokens[1:], logprobs.token_logprobs[1:], logprobs.top_logprobs[1:], strict=True):
        assert logprob <= 0 and top[token] == logprob and 2 <= len(top) <= 3
    written = complete(server, TEXTS[0], max_tokens=3, logprobs=2).choices[0].logprobs
    assert logprobs.token_logprobs[-3:] == pytest.approx(written.token_logprobs, abs=1e-3)


def test_a_prompt_is_scored_without_an_answer_as_it_was_when_its_end_was_the_answer(server):
    written = complete(server, TEXTS[0], max_tokens=6, echo=True, logprobs=0).choices[0]
    scored = complete(server, written.text, max_tokens=0, echo=True, logprobs=0)
    assert scored.usage.completion_tokens == 0 and scored.choices[0].text == written.text
    assert scored.choices[0].logprobs.tokens == written.logprobs.tokens
    one, other = (sum(choice.logprobs.token_logprobs[1:]) for choice in (scored.choices[0], written))
    assert one == pytest.approx(other, abs=1e-2)  # of a dozen tokens, whose sums are made in another order
    again = complete(server, written.text, max_tokens=0, echo=True, logprobs=0)  # what the cache has of it changes nothing
    assert again.choices[0].logprobs.token_logprobs == pytest.approx(scored.choices[0].logprobs.token_logprobs, abs=1e-3)


def test_prompts_are_scored_many_at_once_as_each_alone(server):
    together = complete(server, TEXTS, max_tokens=0, echo=True, logprobs=1)
    for text, choice in zip(TEXTS, together.choices, strict=True):
        alone = complete(server, text, max_tokens=0, echo=True, logprobs=1).choices[0]
        assert choice.logprobs.tokens == alone.logprobs.tokens
        assert choice.logprobs.token_logprobs == pytest.approx(alone.logprobs.token_logprobs, abs=1e-3)


@pytest.mark.parametrize("text", [*TEXTS, "Ünïcödé, 漢字, 🦀\n\ttabs", " leading and trailing "])
def test_tokens_are_a_text_and_back_and_as_many_as_are_counted(server, text):
    told = post(server, "/tokenize", prompt=text, return_token_strs=True)
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"])
    assert post(server, "/detokenize", tokens=told["tokens"])["prompt"] == text
    assert complete(server, text, max_tokens=1).usage.prompt_tokens == told["count"]
    assert complete(server, told["tokens"], max_tokens=1, echo=True).choices[0].text.startswith(text)


def test_a_conversation_has_as_many_tokens_as_its_answer_counts(server):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXTS[0]}]
    told = post(server, "/tokenize", model="demo", messages=messages)
    answer = server.client().chat.completions.create(model="demo", messages=messages, max_tokens=1)
    assert told["count"] == answer.usage.prompt_tokens
    shorter = post(server, "/tokenize", messages=messages, add_generation_prompt=False)["tokens"]
    assert told["tokens"][: len(shorter)] == shorter and len(shorter) < told["count"]
