#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A handler that does what its task says and writes down each execution: handler.py WITNESS [persistent].

The workflow's input is the order:

    value    goes into the output as echo
    result   members that replace those of the answer
    first    the same, but at the first execution only
    sleep    seconds to take
    gate     a file to wait for
    logs     how many log lines
    size     bytes of output
    environ  names of variables to put into the output
    members  names of members of the task, of which the output tells how long each value is
    hang     neither answers a cancel nor dies of SIGTERM

WITNESS gets a line of JSON at the beginning, at the end and at a cancel (SIGTERM, for a program per
task) of each execution.
"""

import json
import os
import secrets
import signal
import sys
import threading
import time


class Execution:
    def __init__(self, task, witness):
        self.task = task
        self.witness = witness
        self.given = task["inputData"].get("input") or {}
        self.cancelled = threading.Event()
        self.nonce = secrets.token_hex(4)

    def note(self, event):
        line = {"event": event, "taskId": self.task["taskId"], "retry": self.task["retryCount"],
                "poll": self.task["pollCount"], "nonce": self.nonce, "pid": os.getpid(), "time": time.time()}
        os.write(self.witness, f"\n{json.dumps(line)}\n".encode())

    def cancel(self):
        self.note("cancel")
        if not self.given.get("hang"):
            self.cancelled.set()

    def wait(self):
        end = time.monotonic() + self.given.get("sleep", 0)
        gate = self.given.get("gate")
        while time.monotonic() < end or (gate and not os.path.exists(gate)) or self.given.get("hang"):
            if self.cancelled.wait(0.02):
                return False
        return True

    def run(self):
        self.note("begin")
        if not self.wait():
            self.note("end")
            return {"status": "FAILED", "reason": "cancelled"}
        output = {"echo": self.given.get("value"), "nonce": self.nonce, "poll": self.task["pollCount"]}
        if "size" in self.given:
            output["data"] = "y" * self.given["size"]
        for name in self.given.get("environ", ()):
            output[name] = os.environ.get(name)
        for name in self.given.get("members", ()):
            output[name] = {key: len(value) for key, value in self.task[name].items()}
        result = {"status": "COMPLETED", "output": output, **self.given.get("result", {})}
        if self.task["retryCount"] == 0 and self.task["pollCount"] == 1:
            result.update(self.given.get("first", {}))
        if "logs" in self.given:
            result["logs"] = [f"line {number}" if number % 5 else "" for number in range(self.given["logs"])]
        self.note("end")
        return result


def per_task(witness):
    execution = Execution(json.load(sys.stdin), witness)
    signal.signal(signal.SIGTERM, lambda *_: execution.cancel())
    print(json.dumps(execution.run()))


def persistent(witness):
    lock = threading.Lock()
    executions = {}

    def run(execution):
        result = execution.run()
        with lock:
            del executions[execution.task["taskId"]]
            print(json.dumps({"type": "result", "taskId": execution.task["taskId"], **result}), flush=True)

    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "task":
            execution = Execution(message["task"], witness)
            with lock:
                executions[execution.task["taskId"]] = execution
            threading.Thread(target=run, args=(execution,)).start()
        elif message["type"] == "cancel":
            with lock:
                execution = executions.get(message["taskId"])
            if execution:
                execution.cancel()


def main():
    witness = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if sys.argv[2:] == ["persistent"]:
        persistent(witness)
    else:
        per_task(witness)


main()
