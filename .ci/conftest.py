def pytest_addoption(parser):
    parser.addoption("--host-binary", required=True, help="the server to test")
