"""Runs a short greedy generation of a model with one layer of the 4B shape under compute-sanitizer; any error fails."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import random_model
from compare_transformers import draw_prompts
from step import Step

# Prefill alone and with decoding beside it, lengths around the ends of pages and tiles.
PROMPT_LENGTHS = (1, 31, 33, 70, 300)
NUM_TOKENS = 6


def find():
    folders = [os.environ.get("PATH", ""), "/usr/local/cuda/bin", os.path.join(os.environ.get("CUDA_HOME", ""), "bin")]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("--tool", default="memcheck", choices=("memcheck", "racecheck", "initcheck", "synccheck"))
    arguments.add_argument("--layers", type=int, default=1)
    arguments.add_argument("--tokenizer", required=True, help="a folder whose tokenizer goes with the model")
    arguments.add_argument("--timeout", type=int, default=600)
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step(f"sanitizer-{given.tool}", given.out, given.binary)
    sanitizer = find()
    step.check(sanitizer, "compute-sanitizer is there (it comes with the CUDA toolkit)", sanitizer or "not on the PATH nor in /usr/local/cuda/bin")
    if not sanitizer:
        return step.end()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        folder = pathlib.Path(folder)
        random_model.write(folder / "model", given.layers, tokenizer=given.tokenizer)
        (folder / "prompts.json").write_text(json.dumps(draw_prompts(PROMPT_LENGTHS, 1)))
        command = [sanitizer, "--tool", given.tool, "--error-exitcode", "86", "--print-limit", "20", given.binary]
        command += ["benchmark", "greedy", "--device", "cuda", "--model", folder / "model", "--prompts", folder / "prompts.json"]
        command += ["--max-tokens", NUM_TOKENS, "--concurrency", len(PROMPT_LENGTHS), "--out", folder / "answers.json"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=given.timeout)
    said = done.stdout + done.stderr
    pathlib.Path(given.out, f"sanitizer-{given.tool}.log").write_text(said)
    summary = re.search(r"(ERROR|RACECHECK) SUMMARY: (\d+) .*", said)
    if done.returncode or not summary:
        print("\n".join(said.splitlines()[-30:]))
    step.check(summary and summary[2] == "0", "the sanitizer saw no error", summary[0] if summary else "it printed no summary")
    step.check(done.returncode == 0, "the program ended with code 0", done.returncode)
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
