"""The demo model on the GPU: it answers sensibly, and as the CPU does but for near ties.

The two do not compute the same: the CPU multiplies 4-bit weights with activations rounded to 8 bits, the GPU multiplies weights
widened to bf16. So where the GPU's greedy text first parts from the CPU's, its pick may be at most 0.3 less likely (difference of
log-probabilities) by the CPU's own account than the CPU's pick; what follows is not comparable.
"""

import argparse
import json
import pathlib
import sys

from server import Server
from start import served_model
from step import Step

DEVICES = {"cpu": ("--device", "cpu"), "gpu": ("--device", "cuda")}
MOST_LESS_LIKELY = 0.3
NUM_TOKENS = 64
# A word that an answer must hold, where there is one that even a small model knows.
QUESTIONS = {
    "Who wrote Romeo and Juliet?": "Shakespeare",
    "What is the capital of France?": None,
    "What do bees make?": None,
    "Name three colours of the rainbow.": None,
    "Why is the sky blue?": None,
    "How many legs does a spider have?": None,
    "What is the largest ocean on Earth?": None,
    "Tell me a fact about the Moon.": None,
}


def ask(server, question):
    """The greedy answer as its tokens, each with the 20 likeliest: [(bytes, log-probability, {bytes: log-probability})]."""
    body = {"model": served_model(server), "messages": [{"role": "user", "content": question}], "max_tokens": NUM_TOKENS}
    body |= {"temperature": 0, "logprobs": True, "top_logprobs": 20}
    answer = json.loads(server.post("/chat/completions", json.dumps(body).encode()))
    entries = answer["choices"][0]["logprobs"]["content"]
    return [
        (bytes(entry["bytes"]), entry["logprob"], {bytes(top["bytes"]): top["logprob"] for top in entry["top_logprobs"]})
        for entry in entries
    ]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--gpu-flag", action="append", help="one word that makes `host serve` use the GPU [default: --device cuda]")
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step("demo", given.out, given.binary)
    flags = {"cpu": DEVICES["cpu"], "gpu": given.gpu_flag or DEVICES["gpu"]}
    answers = {}
    for device in flags:
        with Server(given.binary, flags[device], pathlib.Path(given.out, f"demo-{device}.log")) as server:
            answers[device] = [ask(server, question) for question in QUESTIONS]
    gaps, squares, num_same, worst = [], [], 0, 0.0
    for (question, word), cpu, gpu in zip(QUESTIONS.items(), answers["cpu"], answers["gpu"]):
        text = b"".join(token for token, _, _ in gpu).decode(errors="replace")
        if word:
            step.check(word.lower() in text.lower(), f"GPU, {question} The answer has {word!r}", repr(text[:60]))
        parted = next((i for i, (one, other) in enumerate(zip(cpu, gpu)) if one[0] != other[0]), None)
        num_same += parted is None
        for (_, _, ours), (_, _, theirs) in zip(gpu[:parted], cpu[:parted]):
            squares += [(ours[token] - theirs[token]) ** 2 for token in ours.keys() & theirs.keys()]
        if parted is not None:
            _, best, top = cpu[parted]
            gap = best - top.get(gpu[parted][0], float("-inf"))
            worst = max(worst, gap)
            gaps.append(gap)
            print(f"  {question} parts at token {parted}: {cpu[parted][0]!r} or {gpu[parted][0]!r}, {gap:.3f} less likely on the CPU")
    step.note("answers_the_same", f"{num_same} of {len(QUESTIONS)}")
    step.note("logprob_rms", (sum(squares) / len(squares)) ** 0.5 if squares else None)
    step.check(worst <= MOST_LESS_LIKELY, f"where texts part, the GPU's pick is at most {MOST_LESS_LIKELY} less likely on the CPU", f"{worst:.3f}")
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
