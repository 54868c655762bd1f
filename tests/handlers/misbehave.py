#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A handler that does what its input says, per task or persistent: misbehave.py [persistent].

The library beside it (misbehave.c) does the same; test_contract.py holds all three to one contract.
"""

import json
import os
import signal
import subprocess
import sys
import time


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def grandchild():
    """A child that outlives us with stdout and stderr open."""
    return subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL).pid


def ignore_term():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hang():
    while True:
        time.sleep(1000)


def deed(task, persistent):
    """Does it; the result, or None if there is none to give."""
    given = task["inputData"]
    what = given.get("do", "echo")
    done = {"status": "COMPLETED", "output": {"echo": given.get("value"), "pid": os.getpid()}}
    if what == "fail":
        return {"status": "FAILED", "reason": "asked to fail", "output": {"partial": 1}}
    if what == "terminal":
        return {"status": "FAILED_WITH_TERMINAL_ERROR", "reason": "no use trying again"}
    if what == "once":  # fails the first time
        return done if task.get("retryCount") else {"status": "FAILED", "reason": "the first time"}
    if what == "later":
        if task["pollCount"] > 1:
            return done
        return {"status": "IN_PROGRESS", "callbackAfterSeconds": 0.05, "output": {"step": 1}}
    if what == "conductor-names":
        return {"status": "FAILED", "reasonForIncompletion": "long name", "outputData": {"a": 1}}
    if what == "logs":
        return {**done, "logs": ["one", "", {"log": "two", "createdTime": 5}]}
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        sys.stderr.write("the disk is on fire\n")
        sys.stderr.flush()
        os._exit(given.get("code", 3))
    if what == "hang":
        hang()
    if what == "hang-hard":
        ignore_term()
        hang()
    if what == "garbage":
        say("this is no JSON\n\x01\x02\n[1,2]\n")
    if what == "flood":
        for _ in range(given.get("lines", 20000)):
            say("x" * 100 + "\n")
    if what == "stderr":
        sys.stderr.write(given["text"] + "\n")
        sys.stderr.flush()
    if what == "huge":
        return {"status": "COMPLETED", "output": {"data": "y" * given["size"]}}
    if what == "grandchild":
        done["output"]["grandchild"] = grandchild()
    if what == "bad-status":
        return {"status": "completed", "output": {"kept": True}}
    if what == "bad-output":
        return {"status": "COMPLETED", "output": [1, 2]}
    if what == "raw":
        say(given["text"] + ("\n" if persistent else ""))
        return None
    if what == "sleep":
        time.sleep(given["seconds"])
    return done


def per_task():
    if len(sys.argv) > 1 and sys.argv[1] == "unread":
        sys.stdin.close()
        say('{"status":"COMPLETED","output":{"echo":"unread"}}')
        return
    result = deed(json.load(sys.stdin), False)
    if result is not None:
        say(json.dumps(result))


def persistent():
    if len(sys.argv) > 2 and sys.argv[2] == "unread":
        hang()
    # A child of the handler must not inherit the messages that it has not read yet.
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "task":
            result = deed(message["task"], True)
            if result is not None:
                say(json.dumps({"type": "result", "taskId": message["task"]["taskId"], **result}) + "\n")


persistent() if sys.argv[1:2] == ["persistent"] else per_task()
