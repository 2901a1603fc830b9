"""The platform as its operators and users meet it: functions, plugins, a registry, crashes; by the command line and by HTTP."""

import contextlib
import functools
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from end_to_end import QUESTIONS
from server import Server, ask, wait_until

ROOT = pathlib.Path(__file__).parent.parent
DIST = ROOT / "plugins" / "dist"
USERS_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CACHE = pathlib.Path(os.environ.get("HOST_CACHE_DIR") or USERS_CACHE / "host")
TOKEN = "a token of the tests"

# Which version answered can be read from the answer of a function that reports its config.
TELLS_ITS_CONFIG = DIST / "hostile-function.wasm"
ALL_GRANTS = "clock,config,inference,key-value,log,outgoing-http,random"


class Platform(Server):
    """A server with an administrators' API, and the command line that speaks to it."""

    def __init__(self, binary, *flags, **environment):
        self.binary = binary
        command = [binary, "serve", "--port", "0", "--admin-port", "0", "--admin-token", TOKEN, *map(str, flags)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self.said = []
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()
        line = self.process.stdout.readline()
        assert "http://" in line, f"it did not start: {self.last_words()}"
        self.base_url = re.search(r"http://\S+/v1", line)[0]
        self.root = self.base_url.removesuffix("/v1")
        self.admin_url = self.wait_for(r"administrators' API at (http://\S+)")[1]

    def listen(self):
        for line in self.process.stderr:
            self.said.append(line)

    def last_words(self):
        self.reader.join(timeout=20)
        return "".join(self.said)

    def wait_for(self, pattern, after=0):
        """The first line after so many that matches."""
        found = lambda: next(filter(None, (re.search(pattern, line) for line in self.said[after:])), None)
        wait_until(found)
        return found()

    def host(self, *arguments):
        """What a command that goes well prints."""
        done = self.try_host(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *arguments, **environment):
        """What a command says that is refused."""
        done = self.try_host(*arguments, **environment)
        assert done.returncode != 0 and done.stdout == ""
        assert "panicked" not in done.stderr
        return done.stderr

    def try_host(self, *arguments, **environment):
        known = {"HOST_ADMIN_URL": self.admin_url, "HOST_ADMIN_TOKEN": TOKEN}
        environment = {**os.environ, **known, **environment}
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, env=environment)

    def call(self, path, body=None, **headers):
        """Status and body of a plain request."""
        with self.open(path, body, **headers) as response:
            return response.status, response.read().decode()

    def open(self, path, body=None, method=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            headers.setdefault("content-type", "application/json")
        request = urllib.request.Request(self.root + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error

    def admin(self, method, path, body=None):
        """Status and JSON of the administrators' API."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(self.admin_url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def inspect(self, name):
        return json.loads(self.host("function", "inspect", name))

    def plugins(self):
        """The plugins that serve, by name, and the number of their set."""
        _, listed = self.admin("GET", "/v1/plugins")
        return {plugin["name"]: plugin for plugin in listed["plugins"]}, listed["generation"]

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(binary):
    """Starts servers, which end with the test."""
    started = []

    def start(*flags, **environment):
        started.append(Platform(binary, *flags, **environment))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def marked(component, mark):
    """The same component with another digest: a custom section changes nothing that runs."""
    content = bytes([4]) + b"mark" + mark.encode()
    return component.read_bytes() + bytes([0, len(content)]) + content


def digest(wasm):
    return f"sha256:{hashlib.sha256(wasm).hexdigest()}"


# Functions.


def test_a_function_is_deployed_called_changed_and_taken_away(start, tmp_path):
    server = start("--data-dir", tmp_path)
    deploy = ["deploy", DIST / "hello.wasm", "--route", "/fn/hello/*", "--public"]
    assert "function hello answers /fn/hello/*: version 1, sha256:" in server.host(*deploy)
    assert server.call("/fn/hello/anything") == (200, "Hello.\n")
    assert server.call("/fn/hello/echo", b"back to me") == (200, "back to me")
    assert re.search(r"^hello +/fn/hello/\* +v1 +0 +0$", server.host("function", "list"), re.MULTILINE)
    first = server.inspect("hello")
    assert first["live"] == {"stable": 1}
    assert first["versions"]["1"]["component"] == digest((DIST / "hello.wasm").read_bytes())
    assert first["versions"]["1"]["access"] == "public"

    assert "for 25 % of its requests: version 2" in server.host(*deploy, "--canary", "25")
    assert "v1 75 %, v2 25 %" in server.host("function", "list")
    assert server.host("function", "promote", "hello") == "function hello: v2\n"
    assert server.host("function", "rollback", "hello") == "function hello: v1\n"
    assert "has neither a canary nor a previous version" in server.refusal("function", "rollback", "hello")
    assert server.call("/fn/hello/anything") == (200, "Hello.\n")

    assert server.host("function", "remove", "hello") == "function hello is removed\n"
    assert server.host("function", "list") == "nothing is deployed\n"
    assert server.call("/fn/hello/anything")[0] == 404
    assert "there is no function `hello`" in server.refusal("function", "inspect", "hello")


def test_a_canary_gets_its_share_of_the_requests_until_it_is_promoted(start, tmp_path):
    server = start("--data-dir", tmp_path)
    deploy = ["deploy", TELLS_ITS_CONFIG, "--name", "teller", "--route", "/fn/teller/*", "--public", "--grant", ALL_GRANTS]

    def answers():
        texts = [server.call("/fn/teller/settings")[1] for _ in range(100)]
        return {text: texts.count(text) for text in texts}

    server.host(*deploy, "--config", '{"version":"old"}')
    assert answers() == {'{"version":"old"}': 100}
    server.host(*deploy, "--config", '{"version":"new"}', "--canary", "25")
    assert answers() == {'{"version":"old"}': 75, '{"version":"new"}': 25}
    server.host("function", "promote", "teller")
    assert answers() == {'{"version":"new"}': 100}
    server.host("function", "rollback", "teller")
    assert answers() == {'{"version":"old"}': 100}


def test_what_cannot_be_deployed_is_refused_and_the_message_says_how_to_mend_it(start, tmp_path):
    server = start("--data-dir", tmp_path / "data")
    server.host("deploy", DIST / "hello.wasm", "--route", "/fn/hello/*")
    no_component = tmp_path / "text.wasm"
    no_component.write_text("no component")
    cut_off = tmp_path / "cut-off.wasm"
    cut_off.write_bytes((DIST / "hello.wasm").read_bytes()[:5000])
    for arguments, said in [
        (["deploy", DIST / "retrieval.wasm"], r"add --grant \S*key-value"),
        (["deploy", DIST / "retrieval.wasm", "--grant", "config,log,inference"], r"add --grant key-value\n"),
        (["deploy", no_component], "text.wasm: it is not WebAssembly"),
        (["deploy", cut_off], "cut-off.wasm"),
        (["deploy", DIST / "pii-redaction.wasm"], r"is a shaper, which goes into the server's plugin file \(--plugins\)"),
        (["deploy", tmp_path / "absent.wasm"], r"cannot read the component .*absent\.wasm: No such file"),
        (["deploy", DIST / "hello.wasm", "--name", "other", "--route", "/fn/hello/*"], "is taken by function `hello`: choose another"),
        (["deploy", DIST / "hello.wasm", "--name", "other", "--route", "/v1/models"], "/v1/models"),
        (["deploy", DIST / "hello.wasm", "--name", "Not A Name"], "--name"),
        (["deploy", DIST / "hello.wasm", "--name", "new", "--canary", "5"], "no stable version to try a canary against"),
        (["deploy", DIST / "hello.wasm", "--digest", "sha256:" + "0" * 64], "another component than the one you meant"),
        (["deploy", DIST / "hello.wasm", "--config", "[1]"], "--config is no JSON object"),
        (["deploy", DIST / "hello.wasm", "--grant", "network"], "known are .*outgoing-http"),
        (["function", "promote", "hello"], "has no canary to promote"),
    ]:
        assert re.search(said, server.refusal(*arguments)), (arguments, server.refusal(*arguments))
    assert [function["name"] for function in json.loads(server.host("function", "list", "--json"))["functions"]] == ["hello"]

    assert "token" in server.refusal("function", "list", HOST_ADMIN_TOKEN="wrong")
    nobody = server.refusal("function", "list", HOST_ADMIN_URL="http://127.0.0.1:1")
    assert "is `host serve` running with --admin-token" in nobody


def test_the_address_of_the_server_and_the_token_may_stand_after_the_command(start, tmp_path):
    server = start("--data-dir", tmp_path)
    where = ["--admin-url", server.admin_url, "--admin-token", TOKEN]
    nowhere = {"HOST_ADMIN_URL": "http://127.0.0.1:1", "HOST_ADMIN_TOKEN": "wrong"}
    for command in (["deploy", DIST / "hello.wasm"], ["function", "list"]):
        done = server.try_host(*command, *where, **nowhere)
        assert done.returncode == 0, done.stderr


def test_what_a_server_cannot_do_as_it_was_started_is_said_with_the_flag_that_mends_it(start, binary, tmp_path):
    assert "--data-dir" in start().refusal("deploy", DIST / "hello.wasm")
    start("--data-dir", tmp_path)
    second = subprocess.run([binary, "serve", "--port", "0", "--data-dir", tmp_path], capture_output=True, text=True)
    assert second.returncode == 1 and "is in use by another process" in second.stderr


def test_a_function_that_is_not_public_asks_for_the_servers_key(start, tmp_path):
    server = start("--data-dir", tmp_path, "--api-key", "right")
    server.host("deploy", DIST / "hello.wasm")
    assert server.call("/fn/hello")[0] == 401
    assert server.call("/fn/hello", authorization="Bearer right") == (200, "Hello.\n")


def test_functions_that_are_deployed_at_once_do_not_meet(start, tmp_path):
    server = start("--data-dir", tmp_path)
    components = [tmp_path / f"function-{number}.wasm" for number in range(8)]
    for component in components:
        component.write_bytes(marked(DIST / "hello.wasm", component.stem))
    done = [None] * len(components)

    def deploy(number):
        component = components[number]
        done[number] = server.try_host("deploy", component, "--name", component.stem, "--public")

    for _ in range(3):
        run_together(functools.partial(deploy, number) for number in range(len(components)))
        assert [one.stderr for one in done] == [""] * len(done)
    for component in components:
        assert server.call(f"/fn/{component.stem}") == (200, "Hello.\n")


def test_a_component_that_was_uploaded_waits_for_its_order_while_others_are_deployed(start, tmp_path):
    server = start("--data-dir", tmp_path)
    component = marked(DIST / "hello.wasm", "waits")
    assert server.admin("PUT", f"/v1/components/{digest(component)}", component)[0] == 200
    server.host("deploy", DIST / "hello.wasm")
    order = json.dumps({"component": digest(component), "route": "/fn/late", "access": "public"}).encode()
    status, answer = server.admin("POST", "/v1/functions/late/versions", order)
    assert status == 200, answer
    assert server.call("/fn/late") == (200, "Hello.\n")


def run_together(tasks):
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


DOCUMENTS = {
    "boiler": "The boiler in the cellar runs at 60 degrees. It is serviced every October by Meyer.",
    "garden": "The apple trees are pruned in February. The pond is cleaned in April.",
    "office": "The printer stands on the second floor. Its paper is kept in the cabinet beside it.",
}


def test_retrieval_answers_from_its_documents_and_keeps_them_over_a_restart(start, tmp_path):
    server = start("--data-dir", tmp_path)
    grants = ["--grant", "config,inference,key-value,log"]
    server.host("deploy", DIST / "retrieval.wasm", "--route", "/fn/docs/*", *grants, "--config", '{"max_tokens": 48}')
    for name, text in DOCUMENTS.items():
        assert server.call("/fn/docs/documents", {"id": name, "text": text})[0] == 201
    whole = ask_documents(server)
    assert whole["sources"][0]["document"] == "boiler" and whole["sources"][0]["text"] == DOCUMENTS["boiler"]
    assert "60" in whole["answer"] and whole["usage"]["completion_tokens"] > 0

    with server.open("/fn/docs/ask", {"question": "How warm does the boiler run?"}) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = server_sent(response)
        assert next(events) == {"sources": whole["sources"]}
        pieces = [next(events)["text"] for _ in range(3)]
        # What has come was sent while the model still writes; the engine tells its figures after the step whose token has come.
        assert server.metric("vllm:num_requests_running") == 1
        *more, usage = events
        pieces += [event["text"] for event in more]
    assert "".join(pieces) == whole["answer"] and len(pieces) > 4
    assert usage == {"usage": whole["usage"]}

    assert server.stop() == 0
    server = start("--data-dir", tmp_path)
    _, kept = server.call("/fn/docs/documents")
    assert sorted(document["id"] for document in json.loads(kept)["documents"]) == sorted(DOCUMENTS)
    assert ask_documents(server) == whole
    assert server.stop() == 0


def ask_documents(server):
    status, body = server.call("/fn/docs/ask", {"question": "How warm does the boiler run?", "stream": False})
    assert status == 200, body
    return json.loads(body)


def server_sent(response):
    """The events of a stream as they come, up to its [DONE]."""
    for line in response:
        data = line.decode().removeprefix("data: ").strip()
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)
    raise AssertionError("the stream broke off")


def test_a_server_killed_while_functions_are_deployed_comes_back_with_the_old_or_the_new_version(start, tmp_path):
    moments = random.Random(20261125)
    server = start("--data-dir", tmp_path / "data")
    # More than a function's versions, so that components come and go; few, so that most deployments are writing and not compiling.
    components = [marked(TELLS_ITS_CONFIG, str(number)) for number in range(8)]

    def deploy(number):
        # What `host deploy` sends, without its own start: so more deaths fall into what the server does.
        component = components[number % 8]
        server.admin("PUT", f"/v1/components/{digest(component)}", component)
        order = {"component": digest(component), "route": "/fn/teller/*", "access": "public", "config": {"number": number}}
        order["grants"] = ALL_GRANTS.split(",")
        return server.admin("POST", "/v1/functions/teller/versions", json.dumps(order).encode())[0]

    def deploy_until_killed():
        nonlocal begun, done
        with contextlib.suppress(OSError, http.client.HTTPException):
            while deploy(begun := begun + 1) == 200:
                done = begun

    done = 0
    for begun in range(1, 10):
        began = time.monotonic()
        assert deploy(begun) == 200
        took = time.monotonic() - began
        done = begun
    for _ in range(12):
        thread = threading.Thread(target=deploy_until_killed)
        thread.start()
        # The moment is the harm itself, not a wait for anything.
        time.sleep(moments.uniform(0, 8 * took))
        server.kill()
        thread.join()
        server = start("--data-dir", tmp_path / "data")
        status, body = server.call("/fn/teller/settings")
        assert status == 200, (body, server.last_words())
        number = json.loads(body)["number"]
        assert done <= number <= begun
        function = server.inspect("teller")
        version = function["versions"][str(function["live"]["stable"])]
        assert version["config"] == {"number": number}
        assert version["component"] == digest(components[number % 8])
        # Nothing half-written stays behind, and nothing that no version names.
        named = {version["component"] for version in function["versions"].values()}
        assert {f"sha256:{blob.name}" for blob in (tmp_path / "data/functions/blobs/sha256").iterdir()} == named
        done = begun = number
    assert done > 20, "hardly anything was deployed between the deaths"
    assert server.stop() == 0


def test_a_document_that_was_taken_outlives_the_death_of_the_server(start, tmp_path):
    moments = random.Random(11)
    server = start("--data-dir", tmp_path)
    grants = ["--grant", "config,inference,key-value,log"]
    server.host("deploy", DIST / "retrieval.wasm", "--route", "/fn/docs/*", *grants, "--public")
    numbers = itertools.count()
    taken, begun = set(), set()

    def store_until_killed():
        for number in numbers:
            begun.add(f"d{number}")
            try:
                assert server.call("/fn/docs/documents", {"id": f"d{number}", "text": DOCUMENTS["boiler"]})[0] == 201
            except OSError:
                return
            taken.add(f"d{number}")

    for _ in range(4):
        thread = threading.Thread(target=store_until_killed)
        thread.start()
        # The moment is the harm itself, not a wait for anything.
        time.sleep(moments.uniform(0.05, 0.4))
        server.kill()
        thread.join()
        server = start("--data-dir", tmp_path)
        _, kept = server.call("/fn/docs/documents")
        assert taken <= {document["id"] for document in json.loads(kept)["documents"]} <= begun
    assert len(taken) > 4
    assert ask_documents(server)["sources"][0]["text"] == DOCUMENTS["boiler"]
    assert server.stop() == 0


def test_sigterm_lets_a_function_write_its_answer_to_the_end(start, tmp_path):
    server = start("--data-dir", tmp_path)
    grants = ["--grant", "config,inference,key-value,log"]
    server.host("deploy", DIST / "retrieval.wasm", "--route", "/fn/docs/*", *grants, "--public")
    server.call("/fn/docs/documents", {"id": "boiler", "text": DOCUMENTS["boiler"]})
    with server.open("/fn/docs/ask", {"question": "How warm does the boiler run?"}) as response:
        events = server_sent(response)
        assert next(events)["sources"]
        server.process.send_signal(signal.SIGTERM)
        wait_until(server.takes_no_connection)
        *_, usage = events
    assert usage["usage"]["completion_tokens"] > 4
    assert server.process.wait(timeout=60) == 0


def test_logs_can_be_read_and_followed(start, tmp_path):
    server = start("--data-dir", tmp_path)
    server.host("deploy", TELLS_ITS_CONFIG, "--name", "noisy", "--route", "/fn/noisy/*", "--public", "--grant", ALL_GRANTS)

    def make_noise():
        with server.open("/fn/noisy/log-flood") as response:
            assert response.status == 200
            return response.headers["x-request-id"]

    first = make_noise()
    printed = server.host("function", "logs", "noisy").splitlines()
    assert printed and all(f" {first} " in line for line in printed)
    command = [server.binary, "function", "logs", "noisy", "--follow", "--json"]
    environment = {**os.environ, "HOST_ADMIN_URL": server.admin_url, "HOST_ADMIN_TOKEN": TOKEN}
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        lines = map(json.loads, follower.stdout)
        seen = list(itertools.islice(lines, len(printed)))
        assert [line["sequence"] for line in seen] == list(range(1, len(printed) + 1))
        assert {line["request_id"] for line in seen} == {first}
        second = make_noise()
        later = next(lines)
        assert (later["request_id"], later["sequence"]) == (second, len(printed) + 1)
    finally:
        follower.kill()
        follower.wait()
    assert "nothing called `nobody`" in server.refusal("function", "logs", "nobody")


def test_two_thousand_calls_leave_no_instance_and_no_memory_behind(start, tmp_path):
    server = start("--data-dir", tmp_path)
    server.host("deploy", DIST / "hello.wasm", "--public")
    connection = http.client.HTTPConnection(server.root.removeprefix("http://"))

    def call(times):
        for _ in range(times):
            connection.request("GET", "/fn/hello")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"Hello.\n")

    call(500)
    before = resident_mib(server)
    call(2000)
    assert resident_mib(server) - before <= 32
    wait_until(lambda: server.metric("host_function_instances") == 0)
    assert server.stop() == 0


def resident_mib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


# Plugins.

ADDRESS = "Please write a friendly letter to margarethe.von.schwarzenfels@example.com today."
PLACEHOLDER = "Please write a friendly letter to [EMAIL_1] today."


class PluginFile:
    """An operator's file with pii-redaction in it, beside its component."""

    def __init__(self, folder):
        self.path = folder / "plugins.toml"
        self.component = folder / "pii-redaction.wasm"
        shutil.copy(DIST / "pii-redaction.wasm", self.component)

    def write(self, mode, source='path = "pii-redaction.wasm"', grants='"config", "log"'):
        self.write_text(f'[[shaper]]\nname = "pii"\n{source}\ngrants = [{grants}]\nconfig = {{ mode = "{mode}" }}\n')

    def write_text(self, text):
        # As a whole, for a server that watches.
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)


@pytest.fixture
def file(tmp_path):
    file = PluginFile(tmp_path)
    file.write("redact")
    return file


def chat(server, message):
    order = {"model": "demo", "messages": [{"role": "user", "content": message}], "max_tokens": 1}
    status, body = server.call("/v1/chat/completions", order)
    return status, json.loads(body)


def redacts(server):
    """Whether the model is shown the placeholder; anything but that and a refusal is a fault."""
    status, answer = chat(server, ADDRESS)
    if status == 400:
        error = answer["error"]
        assert (error["param"], error["code"]) == ("messages[0].content", "personal_data")
        assert "schwarzenfels" not in error["message"]
        return False
    assert status == 200, answer
    assert answer["usage"]["prompt_tokens"] == chat(server, PLACEHOLDER)[1]["usage"]["prompt_tokens"]
    return True


def test_a_shaper_of_the_operators_own_keeps_an_address_from_the_model(start, file):
    plain = start()
    lengths = [chat(plain, message)[1]["usage"]["prompt_tokens"] for message in (ADDRESS, PLACEHOLDER)]
    assert lengths[0] > lengths[1]
    server = start("--plugins", file.path)
    assert redacts(server)
    plugins, generation = server.plugins()
    assert list(plugins) == ["openai-router", "pii", "chat-template"] and generation == 1
    assert plugins["pii"]["digest"] == digest(file.component.read_bytes())
    assert sorted(plugins["pii"]["grants"]) == ["config", "log"]


def test_plugins_are_replaced_when_an_administrator_or_a_signal_says_so(start, file):
    server = start("--plugins", file.path)
    assert redacts(server)
    file.write("refuse")
    assert redacts(server)
    status, listed = server.admin("POST", "/v1/plugins/reload")
    assert (status, listed["generation"]) == (200, 2)
    assert not redacts(server)
    file.write("redact")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(r"plugins reloaded: generation 3$")
    assert redacts(server)


def test_plugins_are_listed_and_replaced_by_the_command_line(start, binary, file):
    needs_command(binary, "plugin", "reload")
    server = start("--plugins", file.path)
    assert re.search(r"^pii .*shaper", server.host("plugin", "list"), re.MULTILINE)
    file.write("refuse")
    server.host("plugin", "reload")
    assert not redacts(server)
    file.write("shout")
    assert re.search("the plugins that serve were kept: .*`pii`.*mode", server.refusal("plugin", "reload"))
    assert not redacts(server) and server.plugins()[1] == 2


def test_plugins_are_replaced_when_a_file_changes_that_is_watched(start, file):
    server = start("--plugins", file.path, "--watch-plugins")
    file.write("refuse")
    server.wait_for(r"plugins reloaded: generation 2$")
    assert not redacts(server)
    new = marked(DIST / "pii-redaction.wasm", "new")
    file.component.write_bytes(new)
    server.wait_for(r"plugins reloaded: generation 3$")
    assert server.plugins()[0]["pii"]["digest"] == digest(new)
    file.write_text("[[shaper]]\nname =")
    server.wait_for(r"plugins not reloaded, those that serve were kept: .*plugins\.toml")
    assert not redacts(server)
    file.write("redact")
    server.wait_for(r"plugins reloaded: generation 4$")
    assert redacts(server)


def test_a_watched_component_is_seen_to_change_though_the_new_one_is_older(start, file):
    """As `cp -p`, `mv`, `tar` and many a build tool leave it."""
    server = start("--plugins", file.path, "--watch-plugins")
    new = file.component.with_suffix(".new")
    new.write_bytes(marked(DIST / "pii-redaction.wasm", "older"))
    os.utime(new, (1e9, 1e9))
    new.replace(file.component)
    server.wait_for(r"plugins reloaded: generation 2$")
    assert server.plugins()[0]["pii"]["digest"] == digest(file.component.read_bytes())


def test_a_watched_file_that_changes_while_the_server_starts_is_not_missed(start, file):
    moments = random.Random(7)
    began = time.monotonic()
    start("--plugins", file.path).kill()
    took = time.monotonic() - began
    for _ in range(8):
        file.write("redact")
        # The moment is what is tried here, not a wait for anything.
        change = threading.Timer(moments.uniform(0, took), file.write, ["refuse"])
        change.start()
        server = start("--plugins", file.path, "--watch-plugins")
        change.join()
        wait_until(lambda: not redacts(server))
        server.kill()


def test_a_bad_plugin_file_is_refused_by_what_is_wrong_and_the_old_plugins_serve_on(start, file):
    server = start("--plugins", file.path)
    (file.path.parent / "text.wasm").write_text("no component")
    path = 'path = "pii-redaction.wasm"'
    for change, said in [
        (lambda: file.write_text("[[shaper]]\nname ="), r"plugins\.toml"),
        (lambda: file.write("redact", grants='"config"'), "`pii`.*`log`"),
        (lambda: file.write("redact", grants='"config", "network"'), "network"),
        (lambda: file.write("shout"), "`pii`.*mode"),
        (lambda: file.write("redact", 'path = "absent.wasm"'), r"`pii`.*absent\.wasm"),
        (lambda: file.write("redact", 'path = "text.wasm"'), "`pii`.*WebAssembly"),
        (lambda: file.write("redact", f'{path}\ndigest = "sha256:{"0" * 64}"'), "`pii`.*correct the digest"),
        (lambda: file.write("redact", f"{path}\nlimit = 3"), "limit"),
        (lambda: file.write_text(f'[[shaper]]\nname = "pii"\npath = "{DIST / "hello.wasm"}"\n'), "`pii`.*a shaper is wanted"),
    ]:
        change()
        status, answer = server.admin("POST", "/v1/plugins/reload")
        assert status == 422, answer
        message = answer["error"]["message"]
        assert message.startswith("the plugins that serve were kept: ") and re.search(said, message, re.DOTALL), message
        heard = len(server.said)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("plugins not reloaded, those that serve were kept: ", after=heard)
        assert redacts(server)
    assert server.plugins()[1] == 1
    file.write("refuse")
    assert server.admin("POST", "/v1/plugins/reload")[0] == 200
    assert not redacts(server)


def test_a_server_with_a_bad_plugin_file_does_not_start_and_says_why(binary, file):
    file.write("redact", 'path = "absent.wasm"')
    done = subprocess.run([binary, "serve", "--port", "0", "--plugins", file.path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(r"plugin `pii`: .*absent\.wasm", done.stderr)


def test_replacing_plugins_loses_none_of_twenty_streams(start, file):
    server = start("--plugins", file.path)
    ended = [None] * 20
    two = [(DIST / "pii-redaction.wasm").read_bytes(), marked(DIST / "pii-redaction.wasm", "two")]
    done = threading.Event()
    swaps = 0

    def stream(number):
        chunks = ask(server.client(), QUESTIONS[number % 8], stream=True, max_tokens=24, extra_body={"ignore_eos": True})
        *pieces, last = [chunk for chunk in chunks if chunk.choices]
        ended[number] = (last.choices[0].finish_reason, len("".join(piece.choices[0].delta.content or "" for piece in pieces)) > 24)

    def swap():
        nonlocal swaps
        for wasm in itertools.cycle(reversed(two)):
            file.component.write_bytes(wasm)
            status, listed = server.admin("POST", "/v1/plugins/reload")
            assert status == 200, listed
            swaps += 1
            if done.is_set():
                return

    swapping = threading.Thread(target=swap)
    swapping.start()
    run_together(functools.partial(stream, number) for number in range(len(ended)))
    done.set()
    swapping.join()
    assert ended == [("length", True)] * len(ended)
    assert swaps > 5 and server.plugins()[1] == swaps + 1
    assert server.stop() == 0


# A registry.


@pytest.fixture
def registry(tmp_path):
    """Debian's container registry on a free port of loopback."""
    folder = CACHE / "docker-registry"
    program = os.environ.get("HOST_TEST_REGISTRY") or shutil.which("docker-registry") or folder / "usr/bin/docker-registry"
    if not pathlib.Path(program).is_file():
        subprocess.run([ROOT / ".ci/get-registry", folder], check=True)
    config = tmp_path / "registry.yml"
    storage = f"filesystem: {{rootdirectory: {tmp_path / 'storage'}}}"
    config.write_text(f"version: 0.1\nlog: {{level: info}}\nstorage: {{{storage}}}\nhttp: {{addr: 127.0.0.1:0}}\n")
    process = subprocess.Popen([program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    process.address = next(filter(None, (re.search(r"listening on ([0-9.:]+)", line) for line in process.stderr)))[1]
    # A full pipe would stop it.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def own_cache(tmp_path):
    """A cache in which nothing was pulled; the model is the one that is there."""
    cache = tmp_path / "cache"
    cache.mkdir()
    with contextlib.suppress(FileExistsError):
        (CACHE / "models").mkdir(parents=True)
    (cache / "models").symlink_to(CACHE / "models")
    return {"HOST_CACHE_DIR": str(cache)}


def needs_command(binary, *command):
    if subprocess.run([binary, *command, "--help"], capture_output=True).returncode != 0:
        pytest.xfail(f"this host has no command `{' '.join(command)}`")


def test_a_tag_stays_what_it_was_when_it_was_first_pulled_and_the_registry_may_go(start, binary, registry, own_cache, file, tmp_path):
    needs_command(binary, "plugin", "push")
    reference = f"{registry.address}/tests/pii:1"
    first, second = (DIST / "pii-redaction.wasm").read_bytes(), marked(DIST / "pii-redaction.wasm", "second")

    def push(wasm):
        component = tmp_path / "pushed.wasm"
        component.write_bytes(wasm)
        subprocess.run([binary, "plugin", "push", component, f"oci:{reference}"], check=True)

    def serving(server):
        assert redacts(server)
        found = server.plugins()[0]["pii"]["digest"]
        assert server.stop() == 0
        return found

    push(first)
    file.write("redact", f'oci = "{reference}"')
    assert serving(start("--plugins", file.path, **own_cache)) == digest(first)
    lock = file.path.with_name("plugins.lock")
    locked = lock.read_text()
    assert reference in locked and digest(first) in locked

    push(second)
    assert serving(start("--plugins", file.path, **own_cache)) == digest(first)
    lock.unlink()
    assert serving(start("--plugins", file.path, **own_cache)) == digest(second)
    # A colleague's machine, whose store is empty, gets what the lock says.
    lock.write_text(locked)
    shutil.rmtree(pathlib.Path(own_cache["HOST_CACHE_DIR"]) / "components")
    assert serving(start("--plugins", file.path, **own_cache)) == digest(first)

    registry.kill()
    registry.wait()
    assert serving(start("--plugins", file.path, **own_cache)) == digest(first)
    file.write("redact", f'digest = "{digest(first)}"')
    assert serving(start("--plugins", file.path, **own_cache)) == digest(first)

    file.write("redact", f'oci = "{registry.address}/tests/pii:2"')
    done = subprocess.run(
        [binary, "serve", "--port", "0", "--plugins", file.path], capture_output=True, text=True, env={**os.environ, **own_cache}
    )
    assert done.returncode == 1 and registry.address in done.stderr and "plugin `pii`" in done.stderr


# Other languages.


@pytest.fixture(scope="session")
def foreign(binary, tmp_path_factory):
    """A folder with js-function.wasm and python-shaper.wasm: FOREIGN_PLUGINS, or else made by .ci/foreign-plugins."""
    if built := os.environ.get("FOREIGN_PLUGINS"):
        return pathlib.Path(built)
    needs_command(binary, "plugin", "wit")
    folder = tmp_path_factory.mktemp("foreign")
    command = [ROOT / ".ci/foreign-plugins", folder, CACHE / "foreign-tools"]
    subprocess.run(command, check=True, env={**os.environ, "HOST": binary})
    return folder


def test_a_function_in_javascript_has_the_model_summarise_whole_and_piece_by_piece(start, foreign, tmp_path):
    server = start("--data-dir", tmp_path)
    component = foreign / "js-function.wasm"
    asked = server.refusal("deploy", component)
    grants = re.search(r"add --grant (\S+)", asked)[1]
    assert sorted(grants.split(",")) == ["clock", "inference", "log", "random"]
    server.host("deploy", component, "--route", "/fn/js/*", "--grant", grants, "--public")
    order = {"text": " ".join(DOCUMENTS.values()), "max_tokens": 48}
    status, body = server.call("/fn/js/summarize", order)
    whole = json.loads(body)
    assert status == 200 and whole["summary"] and 0 < whole["usage"]["completion_tokens"] <= 48

    with server.open("/fn/js/summarize", {**order, "stream": True}) as response:
        events = server_sent(response)
        pieces = [next(events) for _ in range(3)]
        assert server.metric("vllm:num_requests_running") == 1
        pieces += events
    assert len([piece for piece in pieces if piece.get("text")]) > 4
    assert pieces[-1]["usage"]["completion_tokens"] > 4
    assert json.loads(server.call("/fn/js/summarize", {"text": ""})[1])["error"]["param"] == "text"
    wait_until(lambda: server.metric("host_function_instances") == 0)
    assert server.stop() == 0


def test_a_shaper_in_python_sets_the_style_and_the_length_of_answers(start, foreign, tmp_path):
    plain = start()
    file = PluginFile(tmp_path)
    config = '{ language = "de", plans = { free = 7 }, default_plan = "free" }'
    shaper = '[[shaper]]\nname = "style"\ngrants = ["config", "log"]\nconfig = {}\npath = {}\n'
    shaper = shaper.replace("{}", config, 1).replace("{}", json.dumps(str(foreign / "python-shaper.wasm")))
    file.write_text(shaper)
    server = start("--plugins", file.path)
    more = {"max_tokens": 64, "extra_body": {"ignore_eos": True}}
    without, shaped = [ask(one.client(), QUESTIONS[0], **more).usage for one in (plain, server)]
    assert (without.completion_tokens, shaped.completion_tokens) == (64, 7)
    assert shaped.prompt_tokens > without.prompt_tokens
    file.write_text(shaper.replace('"free" }', '"gold" }'))
    assert server.admin("POST", "/v1/plugins/reload")[0] == 200
    status, answer = chat(server, QUESTIONS[0])
    assert (status, answer["error"]["code"]) == (500, "invalid_plugin_config") and "gold" in answer["error"]["message"]
