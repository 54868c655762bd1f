#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes down every execution before it answers: witness.py FILE [persistent].

One line "task attempt nonce time" per execution, synced; the output holds the same attempt and
nonce; the time is CLOCK_MONOTONIC's, in nanoseconds.
"""

import json
import os
import secrets
import sys
import time


def execute(task, file):
    nonce = secrets.token_hex(8)
    os.write(file, f"\n{task['taskId']} {task['pollCount']} {nonce} {time.monotonic_ns()} .\n".encode())
    os.fdatasync(file)
    return {"status": "COMPLETED", "output": {"attempt": task["pollCount"], "nonce": nonce}}


def main():
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if sys.argv[2:] != ["persistent"]:
        print(json.dumps(execute(json.load(sys.stdin), file)))
        return
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "task":
            task = message["task"]
            result = {"type": "result", "taskId": task["taskId"], **execute(task, file)}
            print(json.dumps(result), flush=True)


main()
