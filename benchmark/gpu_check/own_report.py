"""Runs a command that prints its own report as JSON and keeps it with card, driver, date and commit."""

import argparse
import json
import subprocess
import sys
import time

from step import Step


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", help="of the step and its file")
    arguments.add_argument("--timeout", type=int, default=600)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("command", nargs=argparse.REMAINDER)
    given = arguments.parse_args()
    command = [word for word in given.command if word != "--"]
    step = Step(given.name, given.out, command[0])
    started = time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=given.timeout)
        code, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        code, said = f"none after {given.timeout} s", ""
    step.note("seconds", time.monotonic() - started, "s")
    step.check(code == 0, f"`{' '.join(command)}` ends with code 0", code)
    try:
        step.figures["report"] = json.loads(said)
        print(json.dumps(step.figures["report"], indent=1)[:20_000])
    except ValueError:
        print(said[:20_000])
        step.check(False, "it prints JSON")
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
