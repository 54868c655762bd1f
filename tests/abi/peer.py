# SPDX-License-Identifier: Apache-2.0
"""The daemon's end of the worker protocol, for tests of one worker process without a daemon."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import harness  # noqa: E402

SOURCE_ROOT = harness.SOURCE_ROOT
TIMEOUT = harness.TIMEOUT
main = harness.main

RUNNER = os.environ["YARDMASTER_RUNNER_PATH"]
BUILT = os.environ["YARDMASTER_TEST_ABI"]
EXAMPLES_BUILT = os.environ["YARDMASTER_TEST_EXAMPLES"]


def runner(library, *arguments):
    """The command line of a runner of one of the test handlers."""
    return [RUNNER, *arguments, os.path.join(BUILT, library + ".so")]


def is_built(library):
    return os.path.exists(os.path.join(BUILT, library + ".so"))


class Peer:
    """One worker process and what the daemon sees of it."""

    def __init__(self, command, **environment):
        self.directory = tempfile.TemporaryDirectory(prefix="ym-")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory.name, "notify"))
        self.stderr = tempfile.TemporaryFile()
        self.pending = b""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env={**os.environ, "NOTIFY_SOCKET": self.notify.getsockname(), **environment},
        )

    def send(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def task(self, task_id, task_input=None, **members):
        self.send({"type": "task", "task": {"taskId": task_id, "inputData": task_input, **members}})

    def do(self, task_id, what, **members):
        self.task(task_id, {"do": what, **members})

    def receive_line(self, timeout=TIMEOUT):
        """The next line, or None at the end."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            remaining = deadline - time.monotonic()
            if not select.select([self.process.stdout], [], [], max(0, remaining))[0]:
                raise TimeoutError(f"no line within {timeout}s\n{self.errors()}")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                return None
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        return line

    def receive(self):
        line = self.receive_line()
        return line if line is None else json.loads(line)

    def run(self, task_id, task_input=None, **members):
        """One task; its result."""
        self.task(task_id, task_input, **members)
        while True:
            message = self.receive()
            if message is None or message["type"] == "result":
                return message

    def notified(self):
        """All that has come on the notify socket since the last call."""
        messages = []
        self.notify.setblocking(False)
        try:
            while True:
                messages.append(self.notify.recv(65536).decode())
        except BlockingIOError:
            return messages

    def wait_ready(self):
        self.notify.settimeout(TIMEOUT)
        message = self.notify.recv(65536).decode()
        if message != "READY=1":
            raise AssertionError(f"not READY=1 but {message!r}\n{self.errors()}")

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def finish(self):
        """Ends the input; all further messages and the exit status."""
        self.process.stdin.close()
        messages = []
        while (message := self.receive()) is not None:
            messages.append(message)
        return messages, self.process.wait(TIMEOUT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.stderr, self.notify):
            try:
                file.close()
            except BrokenPipeError:
                pass  # what was still to be sent
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
