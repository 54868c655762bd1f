# SPDX-License-Identifier: Apache-2.0
"""`yardmasterd run TYPE --url` as tests use it."""

import os
import re
import subprocess

import harness

ECHO = """#!/bin/sh
jq -c '{status: "COMPLETED", output: {input: .inputData, url: env.CONDUCTOR_SERVER_URL,
        key: env.CONDUCTOR_AUTH_KEY, secret: env.CONDUCTOR_AUTH_SECRET, domain: env.POLL_DOMAIN}}'
"""

# Answers when the gate is there.
GATED = """#!/bin/sh
cat >/dev/null
echo gated >&2
while [ ! -e "$GATE" ]; do sleep 0.02; done
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

    def spawn(self, *arguments):
        self.process = subprocess.Popen(
            [harness.YARDMASTERD, "run", *self.arguments, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.directory, env=self.environment)
        self.log = harness.Log(self.process.stderr)

    def start(self, *arguments):
        self.spawn(*arguments)
        self.log.wait_for(r"\bready: 1 pool, 1 source,")
        self.socket_path = re.search(r"--socket (\S+) ", self.log.text()).group(1)
        return self

    def open_gate(self):
        self.write("gate", "")

    def state_folders(self):
        return sorted(name for name in os.listdir(self.directory) if name.startswith("run-"))
