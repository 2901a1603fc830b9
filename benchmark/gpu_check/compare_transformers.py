"""Compares the host's greedy answers with Transformers' Qwen3 at the full shape of a 4B layer.

Both read the same random weights in bf16; Transformers computes with them widened to float32. It is given the host's own tokens
(teacher forcing), so that one early near tie does not make the rest incomparable. What must hold:
  1. a pick that is not Transformers' best is a near tie: at most 0.05 standard deviations of the logits short of the best;
  2. log-probabilities of the 20 likeliest tokens agree: their difference has a root mean square of at most 0.05. Transformers' own
     bf16 run against its float32 run is printed as the yardstick;
  3. every prompt gives the same tokens and log-probabilities, bit for bit, alone and with the others (up to 64 at once).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
import transformers

import random_model
from step import Step

PROMPT_LENGTHS = (1, 17, 128, 300, 2000)
NUM_TOKENS = 256
MOST_SHORT_OF_BEST = 0.05
MOST_RMS = 0.05
TOP = 20
NUM_SINGLE = 64
NUM_SINGLE_TOKENS = 64
# Prompts are drawn from the ids that a Qwen3 tokenizer has; the rest of the embedding is padding.
VOCAB_IN_USE = 151_643


def draw_prompts(lengths, seed):
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(VOCAB_IN_USE, (length,), generator=random).tolist() for length in lengths]


def greedy(binary, model, prompts, num_tokens, concurrency, device):
    """The host's answers: [{"prompt": [id], "tokens": [id], "logprobs": [{"chosen": x, "top": [[id, x], ..]}, ..]}, ..]."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = pathlib.Path(folder, "prompts.json"), pathlib.Path(folder, "answers.json")
        asked.write_text(json.dumps(prompts))
        command = [binary, "benchmark", "greedy", "--model", model, "--prompts", asked, "--max-tokens", num_tokens]
        command += ["--concurrency", concurrency, "--out", answered, "--device", device]
        subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)
        answers = json.loads(answered.read_text())
    assert [answer["prompt"] for answer in answers] == prompts, "an answer for each prompt, in their order"
    for answer in answers:
        assert len(answer["tokens"]) == len(answer["logprobs"]) == num_tokens, f"{num_tokens} tokens, whatever they are"
    return answers


def load(model, dtype):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype, attn_implementation="eager")
    assert loaded.dtype == dtype, "Transformers before 4.56 does not know `dtype`: update it"
    return loaded.to(device).eval()


@torch.inference_mode()
def logits_after(model, prompt, tokens):
    """The logits from which each of `tokens` was or would have been picked, one row each."""
    ids = torch.tensor([prompt + tokens[:-1]], device=model.device)
    return model(input_ids=ids, logits_to_keep=len(tokens), use_cache=False).logits[0].float()


def short_of_best(reference, picks):
    """How far each pick's reference logit is below the best one, in standard deviations of its row."""
    gap = reference.amax(-1) - reference.gather(-1, picks[:, None])[:, 0]
    return gap / reference.std(-1)


class Difference:
    """Over the positions of one answer or of many."""

    def __init__(self):
        self.short, self.gaps, self.common, self.num_other_picks, self.num_positions = [], [], [], 0, 0

    def add(self, reference, answer):
        picks = torch.tensor(answer["tokens"], device=reference.device)
        short = short_of_best(reference, picks)
        self.num_positions += len(picks)
        self.num_other_picks += int((short > 0).sum())
        self.short.append(short)
        logprobs = reference.log_softmax(-1)
        best = logprobs.topk(TOP).indices.tolist()
        for row, (its_best, found) in enumerate(zip(best, answer["logprobs"])):
            top = dict(found["top"])
            both = [token for token in its_best if token in top]
            self.common.append(len(both))
            theirs = logprobs[row, both + [answer["tokens"][row]]]
            ours = [top[token] for token in both] + [found["chosen"]]
            self.gaps.append((theirs - torch.tensor(ours, device=theirs.device)).abs())
        return self

    def join(self, other):
        self.short += other.short
        self.gaps += other.gaps
        self.common += other.common
        self.num_other_picks += other.num_other_picks
        self.num_positions += other.num_positions

    def figures(self):
        gaps = torch.cat(self.gaps)
        return {
            "positions": self.num_positions,
            "other_picks": self.num_other_picks,
            "worst_short_of_best_sigma": float(torch.cat(self.short).max()),
            "logprob_rms": float(gaps.square().mean().sqrt()),
            "logprob_max": float(gaps.max()),
            "top20_in_common": sum(self.common) / len(self.common),
        }


def as_answer(prompt, logits, tokens=None):
    """The answer in the host's form that these logits would give; for Transformers' own bf16 run."""
    logprobs = logits.log_softmax(-1)
    picks = logits.argmax(-1) if tokens is None else torch.tensor(tokens, device=logits.device)
    top = logprobs.topk(TOP)
    chosen = logprobs.gather(-1, picks[:, None])[:, 0].tolist()
    rows = zip(chosen, top.indices.tolist(), top.values.tolist())
    found = [{"chosen": pick, "top": list(map(list, zip(ids, values)))} for pick, ids, values in rows]
    return {"prompt": prompt, "tokens": picks.tolist(), "logprobs": found}


def show(what, figures):
    print(
        f"  {what:<28} {figures['positions']:>9} {figures['other_picks']:>11} {figures['worst_short_of_best_sigma']:>10.4f} "
        f"{figures['logprob_rms']:>9.4f} {figures['logprob_max']:>9.4f} {figures['top20_in_common']:>10.2f}",
        flush=True,
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--tokenizer", required=True, help="a folder whose tokenizer goes with the model")
    arguments.add_argument("--device", default="cuda", help="what the host computes on [default: cuda]")
    arguments.add_argument("--out")
    given = arguments.parse_args()
    transformers.utils.logging.disable_progress_bar()
    step = Step("transformers", given.out, given.binary)
    prompts = draw_prompts(PROMPT_LENGTHS, given.seed)
    singles = draw_prompts([1] * NUM_SINGLE, given.seed + 1)
    # The files are needed until Transformers has read them; the answers are in memory then.
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        started = time.monotonic()
        random_model.write(folder, given.layers, given.seed, tokenizer=given.tokenizer)
        step.note("weights_written_s", time.monotonic() - started, "s")

        def ask(prompts, num_tokens, concurrency):
            return greedy(given.binary, folder, prompts, num_tokens, concurrency, given.device)

        started = time.monotonic()
        alone, together = ask(prompts, NUM_TOKENS, 1), ask(prompts, NUM_TOKENS, len(prompts))
        single, batched = ask(singles, NUM_SINGLE_TOKENS, 1), ask(singles, NUM_SINGLE_TOKENS, NUM_SINGLE)
        step.note("host_s", time.monotonic() - started, "s")
        started = time.monotonic()
        reference, rounded = load(folder, torch.float32), load(folder, torch.bfloat16)
    print(f"  {'':<28} positions other picks  short of   logprob   logprob  of top 20")
    print(f"  {'':<28}                         best, σ       RMS       max  in common")
    all_of, yardstick = Difference(), Difference()
    alone_runs = {f"alone, prompt of {n}": [answer] for n, answer in zip(PROMPT_LENGTHS, alone)}
    runs = list(alone_runs.items())
    runs += [(f"together, prompt of {n}", [answer]) for n, answer in zip(PROMPT_LENGTHS, together)]
    runs += [(f"{NUM_SINGLE} alone, prompts of 1", single), (f"{NUM_SINGLE} together, prompts of 1", batched)]
    for what, answers in runs:
        difference = Difference()
        for answer in answers:
            logits = logits_after(reference, answer["prompt"], answer["tokens"])
            difference.add(logits, answer)
            if answers is alone_runs.get(what):
                own = as_answer(answer["prompt"], logits_after(rounded, answer["prompt"], answer["tokens"]))
                yardstick.add(logits, own)
        step.figures[what] = difference.figures()
        show(what, step.figures[what])
        all_of.join(difference)
    step.figures["all"], step.figures["transformers_bf16"] = all_of.figures(), yardstick.figures()
    show("all", step.figures["all"])
    show("Transformers in bf16, alone", step.figures["transformers_bf16"])
    step.note("reference_s", time.monotonic() - started, "s")

    found = step.figures["all"]
    step.check(
        found["worst_short_of_best_sigma"] <= MOST_SHORT_OF_BEST,
        f"every pick is at most {MOST_SHORT_OF_BEST} σ short of Transformers' best",
        f"{found['other_picks']} of {found['positions']} picks differ, the worst is {found['worst_short_of_best_sigma']:.4f} σ short",
    )
    step.check(
        found["logprob_rms"] <= MOST_RMS,
        f"log-probabilities differ by at most {MOST_RMS} (RMS)",
        f"{found['logprob_rms']:.4f}, at most {found['logprob_max']:.4f}",
    )
    pairs = list(zip(single + alone, batched + together))
    same = sum(one == other for one, other in pairs)
    step.check(same == len(pairs), "the same bits alone and together, for every prompt", f"{same} of {len(pairs)}")
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
