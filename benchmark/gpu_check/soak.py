"""Sends many streamed requests and looks at every token of every answer: none may be lost, doubled or another's.

Each prompt is first answered alone, with the log-probabilities of its tokens. Then all prompts are sent again and again, many at a
time, every other request with log-probabilities. What must hold for each answer:
  1. one role chunk, one finish reason `length`, one usage, one `[DONE]` at the end;
  2. usage says exactly the tokens that were asked for, and so does the number of log-probability entries;
  3. the entries' bytes, joined, are the text that was streamed;
  4. the text is the one that the prompt got alone, or parts from it at a near tie: long prompts are computed in steps whose sums have
     another order, which may turn a choice between two tokens that are equally likely to within 0.05.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import sys
import time

from server import Server
from start import served_model
from step import Step

NEAR_TIE = 0.05
SUBJECTS = ("tides", "bicycles", "coffee", "printing", "bees", "curves", "volcanoes", "bread", "birds", "glaciers", "chess", "sleep")
FORMS = ("Describe {} to a child.", "Name three facts about {}.", "Write about {} and {} at length.", "Why do people like {}?")


def prompt(index):
    """No two of the first 4,800 are alike; lengths differ, so that sequences come and go at different steps."""
    subject = SUBJECTS[index % len(SUBJECTS)]
    text = FORMS[index // len(SUBJECTS) % len(FORMS)].replace("{}", subject)
    return f"{index}. " + " ".join([text] * (1 + index * 7 % 13))


class Answer:
    """One streamed answer, taken apart; `faults` says what is wrong with its form."""

    def __init__(self, status, body, max_tokens, wants_logprobs):
        self.text, self.tokens, self.gaps, self.faults = "", [], [], []
        if status != 200:
            self.faults.append(f"status {status}: {body[:200]!r}")
            return
        events = body.decode().split("\n\n")
        if events[-2:] != ["data: [DONE]", ""]:
            self.faults.append("does not end with [DONE]")
            return
        roles, reasons, usages, ids = 0, [], [], set()
        for event in events[:-2]:
            data = json.loads(event.removeprefix("data: "))
            if "error" in data:
                self.faults.append(f"error: {data['error'].get('message')}")
                return
            ids.add(data["id"])
            if data.get("usage"):
                usages.append(data["usage"]["completion_tokens"])
            for choice in data["choices"]:
                delta = choice["delta"]
                roles += "role" in delta
                self.text += "".join(delta.get(kind) or "" for kind in ("reasoning", "reasoning_content", "content"))
                if choice.get("finish_reason"):
                    reasons.append(choice["finish_reason"])
                for entry in (choice.get("logprobs") or {}).get("content") or ():
                    self.tokens.append(bytes(entry["bytes"] or ()))
                    best = sorted((other["logprob"] for other in entry["top_logprobs"]), reverse=True)
                    self.gaps.append(best[0] - best[1])
        for what, found, expected in (
            ("roles", roles, 1), ("ids", len(ids), 1), ("finish reasons", reasons, ["length"]), ("usage", usages, [max_tokens])
        ):
            if found != expected:
                self.faults.append(f"{what}: {found}, not {expected}")
        if wants_logprobs:
            if len(self.tokens) != max_tokens:
                self.faults.append(f"{len(self.tokens)} log-probability entries for {max_tokens} tokens")
            if b"".join(self.tokens).decode(errors="replace").rstrip("\ufffd") != self.text.rstrip("\ufffd"):
                self.faults.append("the entries' bytes are not the text")

    def parts_at_near_tie(self, other):
        """Whether `other`, a text, leaves this answer's text at a token whose runner-up was nearly as likely."""
        same = 0
        while same < min(len(self.text), len(other)) and self.text[same] == other[same]:
            same += 1
        joined, start = b"", 0
        for token, gap in zip(self.tokens, self.gaps):
            joined += token
            end = len(joined.decode(errors="replace"))
            # Two tokens may begin alike, and a character may be cut in two: the neighbours count.
            if start - 1 <= same <= end + 1 and gap <= NEAR_TIE:
                return True
            start = end
        return False


class Client:
    """One connection that sends one request after the other."""

    def __init__(self, server):
        self.server, self.writer = server, None

    async def post(self, body):
        """Status and the whole body."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port, limit=1 << 20)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.server.host}\r\ncontent-type: application/json\r\n"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        parts = []
        if b"transfer-encoding: chunked" in head:
            while length := int(await self.reader.readuntil(b"\r\n"), 16):
                parts.append((await self.reader.readexactly(length + 2))[:-2])
            await self.reader.readexactly(2)
        else:
            length = head.split(b"content-length:")[1].split(b"\r\n")[0]
            parts.append(await self.reader.readexactly(int(length)))
        return int(head.split()[1]), b"".join(parts)

    async def ask(self, model, index, max_tokens, wants_logprobs):
        body = {"model": model, "messages": [{"role": "user", "content": prompt(index)}], "max_tokens": max_tokens}
        body |= {"temperature": 0, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
        if wants_logprobs:
            body |= {"logprobs": True, "top_logprobs": 2}
        return Answer(*await self.post(json.dumps(body).encode()), max_tokens, wants_logprobs)


async def soak(server, given):
    """The answers to each prompt alone, and (index of the prompt, answer) of all requests."""
    model = served_model(server)
    first = Client(server)
    alone = [await first.ask(model, index, given.max_tokens, True) for index in range(given.prompts)]
    numbers, answers = iter(range(given.requests)), []

    async def work():
        client = Client(server)
        for number in numbers:
            index = number % given.prompts
            try:
                answer = await client.ask(model, index, given.max_tokens, number // given.prompts % 2 == 0)
            except (OSError, EOFError, ValueError) as error:
                answer = Answer(0, repr(error), 0, False)
                client = Client(server)
            answers.append((index, answer))
            if len(answers) % 1000 == 0:
                print(f"  {len(answers)} answers", flush=True)

    started = time.monotonic()
    await asyncio.gather(*(work() for _ in range(given.concurrency)))
    return alone, answers, time.monotonic() - started


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--requests", type=int, default=10_000)
    arguments.add_argument("--concurrency", type=int, default=64)
    arguments.add_argument("--max-tokens", type=int, default=32)
    arguments.add_argument("--prompts", type=int, default=100, help="different prompts")
    arguments.add_argument("--serve-flag", action="append", default=[], help="one more word for `host serve`")
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step("soak", given.out, given.binary)
    with Server(given.binary, given.serve_flag, pathlib.Path(given.out, "soak.log")) as server:
        alone, answers, duration = asyncio.run(soak(server, given))
    step.figures["serve_flags"] = given.serve_flag
    step.note("requests", len(answers))
    step.note("duration_s", duration, "s")
    step.note("tokens_per_s", len(answers) * given.max_tokens / duration)
    step.note("different_texts", len({answer.text for answer in alone}))
    faults = collections.Counter(fault for answer in [*alone, *(answer for _, answer in answers)] for fault in answer.faults)
    for fault, count in faults.most_common(5):
        print(f"  {count} x {fault}")
    step.check(not faults, f"{len(answers) + len(alone)} answers of the right form, with {given.max_tokens} tokens each", f"{faults.total()} faults")
    others = [(index, answer) for index, answer in answers if not answer.faults and answer.text != alone[index].text]
    strange = [(index, answer) for index, answer in others if not alone[index].parts_at_near_tie(answer.text)]
    step.note("texts_that_part_at_a_near_tie", len(others) - len(strange))
    for index, answer in strange[:3]:
        print(f"  alone: {alone[index].text!r}\n  then:  {answer.text!r}")
    step.check(not strange, "no text is another than the prompt's own, near ties apart", f"{len(strange)} are")
    step.check(server.code == 0, "the server ended with code 0", server.code)
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
