"""Measures from the start of the process to the first token that a client reads, with the weights in the page cache."""

import argparse
import json
import pathlib
import statistics
import sys
import time
import urllib.request

from server import Server
from step import Step

# On the card that the bar is for.
BAR_S, BAR_CARD = 5.0, "H200"


def first_token_s(server):
    """Seconds from the start of the process to the first streamed chunk with text, or none if there is no such chunk."""
    body = {"model": served_model(server), "stream": True, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    body["messages"] = [{"role": "user", "content": "What are the three most important facts about tides?"}]
    request = urllib.request.Request(
        server.base_url + "/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            delta = json.loads(line[6:])["choices"][0]["delta"]
            if delta.get("content") or delta.get("reasoning"):
                return time.monotonic() - server.started
    return None


def served_model(server):
    with urllib.request.urlopen(server.base_url + "/models", timeout=60) as response:
        return json.load(response)["data"][0]["id"]


def seconds(times):
    return ", ".join("-" if time_s is None else f"{time_s:.2f}" for time_s in times)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--serve-flag", action="append", default=[], help="one more word for `host serve`")
    arguments.add_argument("--cache-weights", metavar="FOLDER", help="read this model's weights once, so that they are in the page cache")
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step("start", given.out, given.binary)
    for path in pathlib.Path(given.cache_weights).glob("*.safetensors") if given.cache_weights else ():
        with path.open("rb") as file:
            while file.read(64 << 20):
                pass
    ready, first = [], []
    for _ in range(given.repeat):
        with Server(given.binary, given.serve_flag, pathlib.Path(given.out, "start.log")) as server:
            ready.append(time.monotonic() - server.started)
            first.append(first_token_s(server))
    step.figures.update(start_to_ready_s=ready, start_to_first_token_s=first, serve_flags=given.serve_flag)
    print(f"  start to ready: {seconds(ready)} s; to the first token: {seconds(first)} s")
    step.check(None not in first, "each answer had text")
    if BAR_CARD in step.record["machine"]["card"] and None not in first:
        found = statistics.median(first)
        step.check(found <= BAR_S, f"median from start to first token at most {BAR_S} s", f"{found:.2f} s")
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
