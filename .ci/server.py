"""A server for a test, OpenAI's client for it, and what tests ask and wait for."""

import http.client
import re
import signal
import subprocess
import time
import urllib.request

import openai

import validation


class Server:
    """A server on a free port, stopped with SIGTERM."""

    def __init__(self, binary, *flags):
        command = [binary, "serve", "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.base_url = re.search(r"http://\S+/v1", line)[0]
        self.root = self.base_url.removesuffix("/v1")

    def client(self, api_key="x", **more):
        http_client = openai.DefaultHttpx2Client(transport=validation.transport())
        return openai.OpenAI(base_url=self.base_url, api_key=api_key, max_retries=0, http_client=http_client, **more)

    def metric(self, name):
        text = urllib.request.urlopen(f"{self.root}/metrics").read().decode()
        return float(re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE)[1])

    def takes_no_connection(self):
        try:
            http.client.HTTPConnection(self.root.removeprefix("http://"), timeout=5).request("GET", "/health")
            return False
        except OSError:
            return True

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def ask(client, question, **more):
    more = {"temperature": 0, "max_tokens": 48, **more}
    return client.chat.completions.create(model="demo", messages=[{"role": "user", "content": question}], **more)


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
