import pytest


def pytest_addoption(parser):
    parser.addoption("--host-binary", metavar="FILE", help="the server to test")
    parser.addoption("--url", help="console.py: a server that runs already, instead of --host-binary")
    parser.addoption("--browser", metavar="DIR", help="console.py: where get-chromium put chromium and chromedriver")
    parser.addoption("--screenshots", metavar="DIR", help="console.py: also write console-chat.png and console-operator.png there")


def pytest_configure(config):
    if not config.getoption("--host-binary") and not config.getoption("--url"):
        raise pytest.UsageError("--host-binary FILE is needed: the server to test")
