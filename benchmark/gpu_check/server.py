"""The host as a child process that serves on a free port of this machine."""

import pathlib
import re
import signal
import subprocess
import time
import urllib.request


class Server:
    """Runs until the end of its `with` block; `log` gets what it says on stderr."""

    def __init__(self, binary, flags, log):
        self.command = [str(word) for word in (binary, "serve", "--port", "0", *flags)]
        self.log = pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        with self.log.open("ab") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://([^:/\s]+):(\d+)/v1", line)
        if not found:
            self.process.wait(timeout=60)
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(f"`{' '.join(self.command)}` does not serve; it said:\n{line}{last}")
        self.base_url, self.host, self.port = found[0], found[1], int(found[2])
        # Nobody reads further lines: they are few, and the pipe holds them.
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.code = self.process.wait()
        self.process.stdout.close()

    def post(self, path, body):
        """The answer as bytes, all at once."""
        request = urllib.request.Request(self.base_url + path, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.read()
