import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parent / "conformance"))


def pytest_addoption(parser):
    parser.addoption("--host-binary", metavar="FILE", help="the server to test")
    parser.addoption("--url", help="console.py: a server that runs already, instead of --host-binary")
    parser.addoption("--browser", metavar="DIR", help="console.py: where get-chromium put chromium and chromedriver")
    parser.addoption("--screenshots", metavar="DIR", help="console.py: also write console-chat.png and console-operator.png there")


def pytest_configure(config):
    if not config.getoption("--host-binary") and not config.getoption("--url"):
        raise pytest.UsageError("--host-binary FILE is needed: the server to test")


@pytest.fixture(scope="session")
def binary(pytestconfig):
    return pytestconfig.getoption("--host-binary")


@pytest.fixture(scope="session")
def server(binary):
    from server import Server

    server = Server(binary)
    yield server
    assert server.stop() == 0


@pytest.fixture(autouse=True)
def every_answer_has_its_published_shape():
    """Whatever else a test looks at: all that came through `Server.client` is held to OpenAI's schemas."""
    import validation

    validation.VIOLATIONS.clear()
    yield
    if validation.VIOLATIONS:
        lines = dict.fromkeys(validation.VIOLATIONS)  # each once: chunks tend to share their fault
        pytest.fail("\n".join(["answers that OpenAI's schemas do not allow:", *lines]), pytrace=False)
