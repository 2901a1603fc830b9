"""Runs prebuilt test programs of the kernels: those of their tests that need a GPU."""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

from step import Step


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=pathlib.Path, nargs="+")
    arguments.add_argument("--timeout", type=int, default=300, help="seconds for one program")
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    step = Step("kernels", given.out)
    programs = []
    for folder in given.folder:
        found = sorted(path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
        step.check(found, f"there are test programs in {folder}", len(found))
        programs += found
    for program in programs:
        name = f"{program.parent.name}/{program.name}"
        started = time.monotonic()
        try:
            done = subprocess.run([program, "--ignored", "--test-threads=1"], capture_output=True, text=True, timeout=given.timeout)
            said, code = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired as error:
            said, code = (error.stdout or b"").decode(errors="replace"), f"none after {given.timeout} s"
        result = re.search(r"test result: \w+\. (\d+) passed; (\d+) failed", said)
        num_passed = int(result[1]) if result else 0
        step.figures[name] = {"passed": num_passed, "seconds": time.monotonic() - started}
        if code != 0:
            print(said[-4000:])
        step.check(code == 0 and num_passed, f"{name} passes", f"{num_passed} tests in {time.monotonic() - started:.1f} s, exit code {code}")
    return step.end()


if __name__ == "__main__":
    sys.exit(main())
