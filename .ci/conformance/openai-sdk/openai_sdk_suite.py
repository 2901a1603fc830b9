"""A pytest plugin that holds the OpenAI SDK's own tests to our list: which are run, how many those are, and which of them are
waived. A waived test is run too: it has to fail by the message that its waiver names, so a waiver cannot outlive its reason."""

import pathlib
import re

import openai
import pytest

SELECTION = "(create or Models) and not delete"

# Tests of each file that the selection leaves. A new version of the SDK with fewer must not pass unseen.
# Not test_responses.py: of its 40 tests 30 send neither `model` nor `input`, which this server needs (it has no stored prompts
# that would bring them), and 10 send every parameter, among them those of what it does not store. ../../responses.py instead.
SUITES = {
    "tests/api_resources/test_models.py": 35,
    "tests/api_resources/test_completions.py": 40,
    "tests/api_resources/chat/test_completions.py": 40,
    "tests/api_resources/test_embeddings.py": 20,
}

WAIVERS = pathlib.Path(__file__).with_name("waivers.txt")


def waivers():
    """Test id, without its variant in brackets if all variants are meant, to the message that it fails with and the reason."""
    found = {}
    for line in WAIVERS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            test, message, reason = (part.strip() for part in line.split("|"))
            found[test] = (message, reason)
    return found


def pytest_configure(config):
    config.args = list(SUITES)
    config.option.keyword = SELECTION


@pytest.hookimpl(trylast=True)  # after the selection
def pytest_collection_modifyitems(items):
    waived = waivers()
    for item in items:
        message, reason = waived.get(item.nodeid) or waived.get(without_variant(item)) or (None, None)
        if message:
            failed = pytest.RaisesExc((openai.BadRequestError, openai.APIResponseValidationError), match=re.escape(message))
            item.add_marker(pytest.mark.xfail(raises=failed, reason=reason, strict=True))
    unknown = set(waived) - {name for item in items for name in (item.nodeid, without_variant(item))}
    if unknown:
        raise pytest.UsageError(f"{WAIVERS.name} names tests that are not run: {', '.join(sorted(unknown))}")
    for path, number in SUITES.items():
        selected = sum(item.nodeid.startswith(path) for item in items)
        if selected != number:
            raise pytest.UsageError(f"{path}: {selected} tests are selected, not {number}: correct SUITES if the SDK has changed")


def without_variant(item):
    return item.nodeid.split("[")[0]


class Count:
    """Of the tests that were run, those that count."""

    passed = waived = 0


def pytest_runtest_logreport(report):
    if report.when == "call":
        Count.waived += hasattr(report, "wasxfail") and report.skipped
        Count.passed += report.passed


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and Count.passed + Count.waived != sum(SUITES.values()):
        session.exitstatus = 1  # one was skipped


def pytest_terminal_summary(terminalreporter):
    wanted = sum(SUITES.values())
    terminalreporter.write_line(f"OpenAI SDK: {Count.passed} passed, {Count.waived} waived, of {wanted}")
