# SPDX-License-Identifier: Apache-2.0
"""yardmasterd run TYPE --url: one task type of a server, served from the command line."""

import json
import os
import re
import signal
import subprocess
import unittest

import harness
import stub

# Nothing listens there.
NOWHERE = "http://127.0.0.1:1/api"

ECHO = """#!/bin/sh
jq -c '{status: "COMPLETED", output: {input: .inputData, url: env.CONDUCTOR_SERVER_URL,
        key: env.CONDUCTOR_AUTH_KEY, secret: env.CONDUCTOR_AUTH_SECRET, domain: env.POLL_DOMAIN}}'
"""

# Reads a gate (a FIFO) before it answers.
GATED = """#!/bin/sh
cat >/dev/null
echo gated >&2
read line < "$GATE"
echo '{"status": "COMPLETED", "output": {"after": "the gate"}}'
"""


class Runner(harness.Daemon):
    """`yardmasterd run` in a scratch folder, with its own state and socket."""

    def __init__(self, *arguments, environment=None):
        super().__init__(environment={"GATE": "gate", **(environment or {})})
        for name in ("CONDUCTOR_SERVER_URL", "CONDUCTOR_AUTH_KEY", "CONDUCTOR_AUTH_SECRET"):
            if name not in (environment or {}):
                self.environment.pop(name, None)
        self.environment.update(STATE_DIRECTORY=self.directory, XDG_RUNTIME_DIR=self.directory)
        self.arguments = arguments
        self.script("echo", ECHO)
        self.script("gated", GATED)
        os.mkfifo(self.path("gate"))

    def spawn(self, *arguments):
        self.process = subprocess.Popen(
            [harness.YARDMASTERD, "run", *self.arguments, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.directory, env=self.environment)
        self.log = harness.Log(self.process.stderr)

    def start(self, *arguments):
        self.spawn(*arguments)
        self.log.wait_for(r"\bready: 1 pools, 1 sources")
        self.socket_path = re.search(r"--socket (\S+) ", self.log.text()).group(1)
        return self

    def open_gate(self):
        with open(self.path("gate"), "w", encoding="ascii") as gate:
            gate.write("open\n")

    def state_folders(self):
        return sorted(name for name in os.listdir(self.directory) if name.startswith("run-"))


class Refusals(unittest.TestCase):
    def refused(self, *arguments, status=2, environment=None):
        """What stands on standard error; nothing is left behind."""
        runner = Runner(environment=environment)
        self.addCleanup(runner.remove)
        runner.spawn(*arguments)
        self.assertEqual(runner.wait(), status)
        self.assertEqual(runner.state_folders(), [])
        return runner.log.text()

    def test_no_server(self):
        self.assertIn("--url URL (or CONDUCTOR_SERVER_URL)", self.refused("t", "--", "cat"))
        self.assertIn("--url URL (or CONDUCTOR_SERVER_URL)",
                      self.refused("t", "--", "cat", environment={"CONDUCTOR_SERVER_URL": ""}))

    def test_no_command(self):
        self.assertIn("which COMMAND", self.refused("t", "--url", NOWHERE))
        self.assertIn("no program 'no-such-program' in PATH",
                      self.refused("t", "--url", NOWHERE, "--", "no-such-program"))

    def test_values(self):
        for arguments, expected in (
            (["--url", "127.0.0.1:1/api"], '--url: not a URL, like "http://host:8080/api"'),
            (["--url", NOWHERE, "--count", "0"], "--count: at least 1"),
            (["--url", NOWHERE, "--count", "1025"], "--count: 1025 is out of range: 0 to 1024"),
            (["--url", NOWHERE, "--poll-timeout", "5001"], "--poll-timeout: 5001ms is out of range: 0s to 5s"),
            (["--url", NOWHERE, "--poll-timeout", "6s"], "--poll-timeout: 6s is out of range: 0s to 5s"),
            (["--url", NOWHERE, "--exec-timeout", "0"], "--exec-timeout is a time such as 30s: 0"),
            (["--url", NOWHERE, "--domain", ""], "--domain: must not be empty"),
            (["--url", NOWHERE, "--worker-id", "a\nb"], "--worker-id: has a control character"),
            (["--url", NOWHERE, "--input", "{}"], "this option belongs to --once: --input"),
            (["--once", "--url", NOWHERE], "leave out --url"),
            (["--once", "--state-dir", "x"], "leave out --state-dir"),
        ):
            with self.subTest(arguments):
                self.assertIn(expected, self.refused("t", *arguments, "--", "cat"))

    def test_task_type(self):
        self.assertIn("'a/b' has a /", self.refused("a/b", "--url", NOWHERE, "--", "cat"))

    def test_key_without_secret(self):
        text = self.refused("t", "--url", NOWHERE, "--", "cat", environment={"CONDUCTOR_AUTH_KEY": "k"})
        self.assertIn("set CONDUCTOR_AUTH_SECRET", text)


class State(unittest.TestCase):
    def test_second_one_on_the_same_folder(self):
        with Runner("t", "--url", NOWHERE, "--", "./echo") as first:
            second = subprocess.run(
                [harness.YARDMASTERD, "run", "t", "--url", NOWHERE + "/", "--", "cat"], cwd=first.directory,
                env=first.environment, capture_output=True, text=True, timeout=harness.TIMEOUT, check=False)
            self.assertEqual(second.returncode, 75)
            self.assertIn(f"another yardmasterd (pid {first.process.pid}) uses {first.path(first.state_folders()[0])}",
                          second.stderr)
            self.assertIn("give it a higher --count, or this one a --state-dir of its own", second.stderr)
            self.assertEqual(len(first.state_folders()), 1)

            # another type, domain or server, or a folder of its own, is no conflict
            for arguments in (["u"], ["t", "--domain", "d"], ["t", "--state-dir", "own"]):
                other = Runner(*arguments, "--url", NOWHERE, "--", "./echo")
                other.environment.update(STATE_DIRECTORY=first.directory)
                with other:
                    pass
            self.assertEqual(len(first.state_folders()), 3)

    def test_stop_by_each_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number), Runner("t", "--url", NOWHERE, "--", "./echo") as runner:
                runner.signal(number)
                self.assertEqual(runner.wait(), 0)
                runner.log.wait_for("drained")

    def test_nothing_to_reload(self):
        with Runner("t", "--url", NOWHERE, "--", "./echo") as runner:
            answer = runner.ctl("reload", status=1)
            self.assertIn("there are no files to read again", answer.stderr)


if __name__ == "__main__":
    harness.main()
