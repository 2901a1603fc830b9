"""One step of gpu-check: what was measured, what had to hold, and a JSON file that says where, when and of which commit."""

import datetime
import json
import os
import pathlib
import subprocess
import sys


def machine(binary=None):
    """Card, driver, date and commit: what every figure is published with."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    card, driver = (output_of(query) or "none,none").splitlines()[0].split(",")
    return {
        "card": card.strip(),
        "driver": driver.strip(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(binary),
    }


def commit(binary):
    """A machine with a prebuilt binary has no repository: there, HOST_COMMIT or the binary must say it."""
    given = os.environ.get("HOST_COMMIT")
    folder = pathlib.Path(__file__).parent
    return (
        given
        or output_of(["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=7"])
        or (binary and output_of([binary, "--version"]))
        or "unknown"
    )


def output_of(command):
    """The command's output, or None where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


class Step:
    """Collects figures and checks; `end` prints PASS or FAIL, writes OUT/NAME.json and gives the exit code."""

    def __init__(self, name, out, binary=None):
        self.name = name
        self.out = out and pathlib.Path(out)
        self.record = {"step": name, "machine": machine(binary), "command": sys.argv, "figures": {}, "checks": []}

    @property
    def figures(self):
        return self.record["figures"]

    def note(self, name, value, unit=""):
        """A figure that nothing depends on."""
        self.figures[name] = value
        shown = f"{value:,.4g}" if isinstance(value, float) else value
        print(f"  {name}: {shown} {unit}".rstrip(), flush=True)

    def check(self, holds, rule, found=""):
        """A rule that must hold, and what was found."""
        self.record["checks"].append({"rule": rule, "holds": bool(holds), "found": str(found)})
        print(f"  {'ok    ' if holds else 'NOT OK'} {rule}{f': {found}' if str(found) else ''}", flush=True)

    def end(self):
        checks = self.record["checks"]
        passed = bool(checks) and all(check["holds"] for check in checks)
        self.record["passed"] = passed
        if self.out:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / f"{self.name}.json").write_text(json.dumps(self.record, indent=1) + "\n")
        print(f"{'PASS' if passed else 'FAIL'} {self.name}", flush=True)
        return 0 if passed else 1
