# SPDX-License-Identifier: Apache-2.0
"""What the live tests share: a real daemon in a scratch folder, a Varlink client, TAP output.

A test waits for an event (READY=1, a Monitor reply, a task's end, a log line), never for a time.
The programs under test come from the environment, which meson sets: YARDMASTERD, YARDCTL,
YARDMASTER_RUNNER_PATH.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

YARDMASTERD = os.environ.get("YARDMASTERD", "yardmasterd")
YARDCTL = os.environ.get("YARDCTL", "yardctl")
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HANDLERS = os.environ.get("YARDMASTER_TEST_HANDLERS", "")

# Generous: a sanitizer build on a busy machine with two cores is an order of magnitude slower.
TIMEOUT = float(os.environ.get("YARDMASTER_TEST_TIMEOUT", "60"))


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters)}")
        self.name = name
        self.parameters = parameters


class Varlink:
    """A client that knows the wire and nothing else."""

    def __init__(self, path, timeout=TIMEOUT):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.pending = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, method, parameters=None, **flags):
        if "." not in method:
            method = "io.yardmaster.Manager." + method
        message = {"method": method, **flags}
        if parameters is not None:
            message["parameters"] = parameters
        self.send_raw(json.dumps(message).encode() + b"\0")

    def send_raw(self, data):
        self.socket.sendall(data)

    def receive(self):
        while b"\0" not in self.pending:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("the daemon closed the connection")
            self.pending += data
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None):
        self.send(method, parameters)
        return self.reply()

    def reply(self):
        message = self.receive()
        if "error" in message:
            raise VarlinkError(message["error"], message.get("parameters", {}))
        return message.get("parameters", {})

    def stream(self, method, parameters=None):
        self.send(method, parameters, more=True)
        while True:
            message = self.receive()
            if "error" in message:
                raise VarlinkError(message["error"], message.get("parameters", {}))
            yield message.get("parameters", {})
            if not message.get("continues"):
                return


# Passes descriptors as systemd does: argument 1 has them as NUMBER:NAME, NUMBER:NAME…
PASS_SOCKETS = """
import os, sys
pairs = [pair.split(":") for pair in sys.argv[1].split(",")]
fds = [os.dup2(int(fd), 200 + i) for i, (fd, _) in enumerate(pairs)]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(n for _, n in pairs))
os.execvp(sys.argv[2], sys.argv[2:])
"""


class NotifySocket:
    """The other end of sd_notify: what systemd would see. It keeps what is stored, as the fd store does."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        self.stored = {}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def wait_for(self, field, timeout=TIMEOUT):
        """The first message, from now on, that holds the field (e.g. "READY=1")."""
        deadline = time.monotonic() + timeout
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                message = self._receive()
            except (socket.timeout, BlockingIOError):
                raise TimeoutError(f"no {field} within {timeout}s; got {self.messages[-5:]}")
            if field in message.split("\n") or any(
                line.startswith(field) for line in message.split("\n") if field.endswith("=")
            ):
                return message

    def clear(self):
        """Forgets what has come: a socket that nobody reads is full after some ten messages."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._receive()

    def _receive(self):
        data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
        message = data.decode(errors="replace")
        self.messages.append(message)
        fields = dict(line.split("=", 1) for line in message.split("\n") if "=" in line)
        name = fields.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in fields:
            for fd in self.stored.pop(name, []):
                os.close(fd)
        elif "FDSTORE" in fields:
            self.stored.setdefault(name, []).extend(fds)
        return message

    def take_stored(self):
        """(name, fd) of all that is stored; the caller's from then on."""
        pairs = [(name, fd) for name, fds in self.stored.items() for fd in fds]
        self.stored = {}
        return pairs

    def forget(self):
        """As systemd does when the service has ended and is not started again."""
        self.clear()
        for _, fd in self.take_stored():
            os.close(fd)

    def close(self):
        self.forget()
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Log:
    """Collects a stream's lines on a thread of its own and lets a test wait for one."""

    def __init__(self, stream):
        self.lines = []
        self.condition = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.condition:
                self.lines.append(line.rstrip("\n"))
                self.condition.notify_all()
        with self.condition:
            self.ended = True
            self.condition.notify_all()
        stream.close()

    def wait_for(self, pattern, timeout=TIMEOUT, start=0):
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self.condition:
            seen = start
            while True:
                for line in self.lines[seen:]:
                    seen += 1
                    if expression.search(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    tail = "\n".join(self.lines[-30:])
                    raise TimeoutError(f"no log line matches {pattern!r}; the last ones:\n{tail}")
                self.condition.wait(left)

    def text(self):
        with self.condition:
            return "\n".join(self.lines)


class Daemon:
    """A yardmasterd in a scratch folder. As a context manager: started, and stopped at the end.

    config is what comes after socket and state_dir; "@DIR@" in it is the scratch folder.
    """

    def __init__(self, config="", *, environment=None, wrapper=(), log_level="debug"):
        self.directory = tempfile.mkdtemp(prefix="ym-")
        self.config_path = self.path("yardmaster.conf")
        self.socket_path = self.path("control")
        self.environment = dict(os.environ, **(environment or {}))
        self.wrapper = list(wrapper)
        self.log_level = log_level
        self.passed = []  # (name, fd) of sockets that the next start gets, and then closes here
        self.process = None
        self.log = None
        self.notify = None
        self.write_config(config)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write_config(self, config):
        text = f'socket = "{self.socket_path}";\nstate_dir = "{self.path("state")}";\n'
        if "log_level" not in config:
            text += f'log_level = "{self.log_level}";\n'
        self.write("yardmaster.conf", text + config.replace("@DIR@", self.directory))

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def script(self, name, text):
        return self.write(name, text, 0o755)

    def spawn(self, *arguments):
        """Starts the daemon and does not wait for anything."""
        if self.notify:
            self.notify.close()
        self.notify = NotifySocket(self.path("notify"))
        wrapper = list(self.wrapper)
        if self.passed:
            pairs = ",".join(f"{fd}:{name}" for name, fd in self.passed)
            wrapper = [sys.executable, "-c", PASS_SOCKETS, pairs, *wrapper]
        self.process = subprocess.Popen(
            [*wrapper, YARDMASTERD, "--config", self.config_path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.directory,
            env={**self.environment, "NOTIFY_SOCKET": self.notify.path},
            pass_fds=[fd for _, fd in self.passed],
        )
        while self.passed:
            os.close(self.passed.pop()[1])
        self.log = Log(self.process.stderr)

    def start(self, *arguments):
        self.spawn(*arguments)
        try:
            self.notify.wait_for("READY=1")
        except TimeoutError as error:
            self.kill()
            raise AssertionError(f"the daemon did not get ready: {error}\n{self.log.text()}")
        return self

    def wait(self, timeout=TIMEOUT):
        """The daemon's exit status."""
        status = self.process.wait(timeout)
        if self.notify:
            self.notify.forget()
        self.log.thread.join(timeout)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and reaped."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            if self.notify:
                self.notify.forget()

    def stop(self, timeout=TIMEOUT):
        """SIGTERM; the exit status. Kills a daemon that does not end."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the daemon did not stop:\n{self.log.text()}")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            status = self.stop()
            if kind is None and status not in (0, None):
                raise AssertionError(f"the daemon ended with {status}:\n{self.log.text()}")
        finally:
            if kind is not None and self.log:
                sys.stderr.write("daemon log:\n" + "\n".join(self.log.lines[-60:]) + "\n")
            self.remove()

    def remove(self):
        self.kill()
        if self.notify:
            self.notify.close()
            self.notify = None
        shutil.rmtree(self.directory, ignore_errors=True)

    # Clients

    def varlink(self):
        return Varlink(self.socket_path)

    def call(self, method, parameters=None):
        with self.varlink() as client:
            return client.call(method, parameters)

    def ctl(self, *arguments, status=0, input=None, timeout=TIMEOUT):
        """yardctl with these arguments; fails the test unless it exits with status."""
        result = subprocess.run(
            [YARDCTL, "--socket", self.socket_path, *map(str, arguments)],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )
        if status is not None and result.returncode != status:
            raise AssertionError(
                f"yardctl {' '.join(map(str, arguments))}: exit {result.returncode}, not {status}\n"
                f"{result.stdout}{result.stderr}"
            )
        return result

    def ctl_json(self, *arguments, **options):
        return json.loads(self.ctl("--json", *arguments, **options).stdout)

    def submit(self, task_type, task_input=None, **members):
        """One task; its id."""
        task = {"type": task_type, "input": task_input or {}, **members}
        return self.call("Submit", {"task": task})["taskId"]

    def wait_task(self, *ids, timeout=TIMEOUT):
        """Waits until these have ended; the last one as GetTask shows it."""
        self.call("WaitTasks", {"ids": list(ids), "timeoutUsec": int(timeout * 1e6)})
        return self.task(ids[-1])

    def task(self, task_id):
        return self.call("GetTask", {"taskId": task_id})["task"]

    def run_task(self, task_type, task_input=None, **members):
        return self.wait_task(self.submit(task_type, task_input, **members))

    def pool(self, name):
        for pool in self.call("ListPools")["pools"]:
            if pool["name"] == name:
                return pool
        raise KeyError(name)

    def workers(self, pool):
        return self.call("ListWorkers", {"pool": pool})["workers"]


def eventually(condition, what, timeout=TIMEOUT):
    """For what no event announces (a process of the kernel's gone): looks until it holds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout}s: {what}")
        time.sleep(0.01)


def is_alive(pid):
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TapResult(unittest.TestResult):
    """Prints a TAP line per test, so that meson counts and names each one."""

    def __init__(self):
        super().__init__()
        self.n_failed = 0
        self.n_points = 0
        self.running = None
        self.failed = False
        self.note = ""

    def startTest(self, test):
        super().startTest(test)
        self.running, self.failed, self.note = test, False, ""

    def stopTest(self, test):
        super().stopTest(test)
        self.point(test)
        self.running = None

    def point(self, test):
        self.n_points += 1
        self.n_failed += self.failed
        name = test.id().split(".", 1)[-1]
        print(f"{'not ok' if self.failed else 'ok'} {self.n_points} {name}{self.note}", flush=True)

    def addSkip(self, test, reason):
        self.note = f" # SKIP {reason}"
        if self.running is None:  # a whole class
            self.point(test)

    def addError(self, test, error):
        self.failed = True
        text = self._exc_info_to_string(error, test)
        for line in text.rstrip().split("\n"):
            print(f"# {line}")
        sys.stderr.write(text)
        if self.running is None:
            print(f"Bail out! {test.id()}", flush=True)

    addFailure = addError

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.addError(subtest, error)


def main():
    """Runs the TestCases of the calling module; arguments choose tests by substring."""
    groups = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    wanted = sys.argv[1:]
    tests = [test for group in groups for test in group
             if not wanted or any(word in test.id() for word in wanted)]
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    sys.exit(1 if result.n_failed or result.n_points != len(tests) else 0)
