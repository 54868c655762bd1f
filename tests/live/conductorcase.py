# SPDX-License-Identifier: Apache-2.0
"""What tests of a Conductor source share: a stub server, a daemon with one pool on it, a handler that
does what the task's input says."""

import os
import unittest

from harness import Daemon, eventually
from stub import Stub

# One line "TASK POLLCOUNT" in the file runs for each execution, before anything is answered. "gate":
# the answer waits for a file of that name.
WORKER = r"""#!/usr/bin/env python3
import json, os, sys, threading, time

folder = os.path.dirname(os.path.abspath(__file__))
runs = os.open(os.path.join(folder, "runs"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
lock = threading.Lock()

def work(task):
    said = task["inputData"]
    os.write(runs, f"{task['taskId']} {task['pollCount']}\n".encode())
    while "gate" in said and not os.path.exists(os.path.join(folder, said["gate"])):
        time.sleep(0.005)
    time.sleep(said.get("sleep", 0))
    result = said.get("again" if task["pollCount"] > 1 else "result") or {"status": "COMPLETED"}
    result = {"type": "result", "taskId": task["taskId"], "output": said.get("output", {}), **result}
    with lock:
        print(json.dumps(result), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        threading.Thread(target=work, args=(message["task"],), daemon=True).start()
"""


class ConductorCase(unittest.TestCase):
    def stub(self, *options):
        stub = Stub(*options)
        self.addCleanup(stub.stop)
        return stub

    def config(self, stub, source="", pool="workers = 2; concurrency = 4;", top=""):
        return (f'{top}\nsources: {{ prod: {{ type = "conductor"; url = "{stub.url}"; {source} }}; }};\n'
                'pools: { work: { source = "prod"; handler = { mode = "persistent"; command = "@DIR@/worker"; }; '
                f'{pool} }}; }};\n')

    def daemon(self, stub, **keys):
        """Started; ended with the test, if it has not ended by then."""
        daemon = Daemon(self.config(stub, **keys))
        self.addCleanup(daemon.remove)
        daemon.script("worker", WORKER)
        daemon.start()
        self.addCleanup(daemon.stop)
        return daemon

    def restart(self, daemon):
        """kill -9, and a new one."""
        daemon.kill()
        daemon.start()

    def open_gate(self, daemon, name="gate"):
        daemon.write(name, "")

    def runs(self, daemon):
        """(task, poll count) of each execution that was begun, in order."""
        try:
            with open(daemon.path("runs"), encoding="utf-8") as file:
                return [(task, int(count)) for task, count in map(str.split, file)]
        except FileNotFoundError:
            return []

    def wait_runs(self, daemon, n):
        return eventually(lambda: len(self.runs(daemon)) >= n and self.runs(daemon), f"{n} executions")

    def outbox(self, daemon, state=None):
        messages = daemon.call("ListOutbox")["messages"]
        return [message for message in messages if state in (None, message["state"])]

    def wait_empty(self, daemon):
        eventually(lambda: not self.outbox(daemon), "the outbox is empty")

    def files(self, daemon):
        return sorted(os.listdir(daemon.path("state", "outbox-prod")))
