"""Runs Schemathesis twice: with OpenAI's description as it is served, and with what of it is supported.

usage: SERVER_URL=http://IP:PORT/v1 fuzz.py API_KEY WORK_FOLDER
The server has to serve the model `demo`. Both runs are the same each time."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import supported_requests

MODEL = "demo"

# The checks that make sense for this API. Left out of all that there are:
#   use_after_free, ensure_resource_availability, object_level_authorization: nothing is made or deleted, nothing has an owner
#   response_headers_conformance: the description has no headers
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
]


def schemathesis(name, description, *more, checks):
    """Whether it found nothing. Prints what it found, with a command that shows each."""
    file = pathlib.Path(sys.argv[2]) / f"{name}.json"
    file.write_text(json.dumps(description))
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "--no-color", "run", file, "--url", os.environ["SERVER_URL"], "--header", f"Authorization: Bearer {sys.argv[1]}"]
    command += ["--output-sanitize", "false"]  # or the commands that it prints would lack `max_tokens`; the key is good for this run only
    command += ["--checks", ",".join(checks), "--seed", "1", "--generation-database", "none", "--continue-on-failure", *more]
    print(f"-- OpenAI's description as it is {name}", flush=True)
    return subprocess.run(command, cwd=file.parent).returncode == 0


def num_answered():
    """Generations that the server has ended in order."""
    root = os.environ["SERVER_URL"].removesuffix("/v1")
    text = urllib.request.urlopen(f"{root}/metrics").read().decode()
    return sum(float(number) for number in re.findall(r"^vllm:request_success_total\S* (\S+)", text, re.MULTILINE))


served = schemathesis("served", supported_requests.served(MODEL), "--max-examples", "50", checks=CHECKS)
# Only requests that have to be answered: here a 400 is a failure. The checks on broken ones have nothing to look at.
before = num_answered()
supported = schemathesis(
    "supported", supported_requests.supported(MODEL), "--max-examples", "100", "--mode", "positive", checks=[*CHECKS, "positive_data_acceptance"]
)
answered = num_answered() - before
print(f"Schemathesis: {answered:.0f} generations in the second run")
if answered < 200:
    print("these are too few: does the server still serve the model that is asked for?")
sys.exit(not (served and supported and answered >= 200))
