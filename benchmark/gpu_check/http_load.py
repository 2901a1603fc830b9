"""Measures the server over HTTP, with all its plugins in the path, by its own load client: `host benchmark`."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from server import Server
from step import Step

# The bars hold on this card, for the 4B shape in bf16: they were set by another server's figures there.
BAR_CARD = "H200"
# Name, flags of `host benchmark`, least output tokens/s on that card. Questions go through the chat template; random words go to
# /completions, which adds nothing to them, as they did when that server was measured.
WORKLOADS = (
    ("1 client, 128 in, 256 out", "--concurrency 1 --requests 5 --endpoint completions --input-len 128 --max-tokens 256", 370),
    ("10 clients, short questions, 256 out", "--concurrency 10 --requests 50 --max-tokens 256", 3_200),
    ("32 clients, 128 in, 256 out", "--concurrency 32 --requests 160 --endpoint completions --input-len 128 --max-tokens 256", 7_500),
    ("64 clients, 1024 in, 256 out", "--concurrency 64 --requests 200 --endpoint completions --input-len 1024 --max-tokens 256", 5_900),
    ("128 clients, 128 in, 256 out", "--concurrency 128 --requests 512 --endpoint completions --input-len 128 --max-tokens 256", 18_500),
)
PREFILL = ("prefill: 1 client, 8000 in, 1 out", "--concurrency 1 --requests 8 --endpoint completions --input-len 8000 --max-tokens 1", 55_000)
# The latencies of this workload are to be alike: the 99th percentile at most this many times the median.
STEADY, MOST_UNSTEADY = "10 clients, short questions, 256 out", 1.1


def measure(binary, base_url, flags, seed):
    """One report of the load client. Prompts of one seed begin alike whatever their length: each report needs a seed of its own, or a
    prefix cache has seen its prompts."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder, "report.json")
        command = [binary, "benchmark", "--base-url", base_url, *flags.split(), "--ignore-eos", "--seed", str(seed)]
        subprocess.run([*command, "--output", output], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(output.read_text())


def prefill_rate(report):
    """Prompt tokens per second up to the first token. A token without text (the end, half a character) is first seen at the end."""
    first_token_ms = report["p50_ttft_ms"] or report["p50_latency_ms"]
    return report["prompt_tokens"] / report["successful_requests"] / first_token_ms * 1e3


def median_by(reports, rate):
    return sorted(reports, key=rate)[(len(reports) - 1) // 2]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--serve-flag", action="append", default=[], help="one more word for `host serve`")
    arguments.add_argument("--small", action="store_true", help="2 short requests of each kind, on any machine: tries this script")
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step("http", given.out, given.binary)
    is_bar_card = BAR_CARD in step.record["machine"]["card"]
    step.figures["serve_flags"] = given.serve_flag
    print(f"  {'workload':<38} {'tokens/s (runs)':<32} latency p50/p99  TTFT p50/p99  TPOT p50/p99, ms")
    with Server(given.binary, given.serve_flag, pathlib.Path(given.out, "http.log")) as server:
        for number, workload in enumerate((*WORKLOADS, PREFILL)):
            name, flags, bar = workload
            rate = prefill_rate if workload == PREFILL else lambda report: report["tps"]
            if given.small:
                flags = last_of_each(flags.replace("8000", "800") + f" --requests 2 --max-tokens {1 if workload == PREFILL else 8}")
            seeds = range(1 + number * given.repeat, 1 + (number + 1) * given.repeat)
            reports = [measure(given.binary, server.base_url, flags, seed) for seed in seeds]
            report = median_by(reports, rate)
            rates = [rate(each) for each in reports]
            step.figures[name] = {"rate": rate(report), "rates": rates, "bar": bar, "flags": flags, "report": report}
            pairs = [
                f"{report[f'p50_{what}_ms'] or 0:,.1f} / {report[f'p99_{what}_ms'] or 0:,.1f}" for what in ("latency", "ttft", "tpot")
            ]
            runs = f"{rate(report):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            print(f"  {name:<38} {runs:<32} {'   '.join(pairs)}", flush=True)
            failed = sum(each["failed_requests"] for each in reports)
            if (report["tokens_per_chunk"] or 0) > 1.5:
                print(f"  {report['tokens_per_chunk']} tokens came in a chunk: TTFT and TPOT do not say when tokens were made")
            step.check(failed == 0, f"{name}: no request failed", f"{failed} failed {report['errors'] or ''}".strip())
            tokens = sum(each["total_tokens"] for each in reports)
            asked = sum(each["successful_requests"] * each["max_tokens"] for each in reports)
            step.check(tokens == asked, f"{name}: every answer has all its tokens", f"{tokens} of {asked}")
            if is_bar_card:
                step.check(rate(report) >= bar, f"{name}: at least {bar:,} tokens/s", f"{rate(report):,.0f}")
            if name == STEADY and not given.small:
                ratio = report["p99_latency_ms"] / report["p50_latency_ms"]
                step.check(ratio <= MOST_UNSTEADY, f"{name}: P99 of the latency at most {MOST_UNSTEADY} times P50", f"{ratio:.3f}")
    step.check(server.code == 0, "the server ended with code 0", server.code)
    return step.end()


def last_of_each(flags):
    """A flag that is given twice counts once, the last time."""
    words = flags.split()
    return " ".join(f"{flag} {value}" for flag, value in dict(zip(words[::2], words[1::2])).items())


if __name__ == "__main__":
    sys.exit(main())
