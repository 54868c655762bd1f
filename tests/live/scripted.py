# SPDX-License-Identifier: Apache-2.0
"""A daemon that answers as a test tells it to, and what one may answer: yardctl without yardmasterd."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import unittest

import harness

MANAGER = "io.yardmaster.Manager."


class Error(Exception):
    def __init__(self, name, /, **parameters):
        super().__init__(name)
        self.message = {"error": name if "." in name else MANAGER + name, "parameters": parameters}


class Server:
    """Answers each method by its script: parameters, a list of them (with "more"), an Error, a
    callable that gives one of these, or bytes to send as they are. None: closes the connection."""

    def __init__(self, path, script):
        self.script = script
        self.calls = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        pending = b""
        with client:
            while True:
                data = client.recv(1 << 16)
                if not data:
                    return
                *messages, pending = (pending + data).split(b"\0")
                for message in messages:
                    call = json.loads(message)
                    self.calls.append(call)
                    if not self.answer(client, call):
                        return

    def answer(self, client, call):
        reply = self.script.get(
            call["method"].removeprefix(MANAGER), Error("org.varlink.service.MethodNotFound", method=call["method"]))
        if callable(reply):
            reply = reply(call.get("parameters", {}))
        if reply is None:
            return False
        if isinstance(reply, bytes):
            client.sendall(reply)
            return call["method"].removeprefix(MANAGER) not in self.script.get("close_after", ())
        replies = reply if isinstance(reply, list) else [reply]
        for number, item in enumerate(replies):
            message = item.message if isinstance(item, Error) else {"parameters": item}
            if number + 1 < len(replies):
                message["continues"] = True
            client.sendall(json.dumps(message).encode() + b"\0")
        return True


class ScriptedCase(unittest.TestCase):
    """yardctl against what self.serve says the daemon answers."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ym-")
        self.addCleanup(self.directory.cleanup)
        self.path = os.path.join(self.directory.name, "control")
        self.server = None
        self.serve()

    def serve(self, **script):
        if self.server is None:
            self.server = Server(self.path, script)
            self.addCleanup(self.server.close)
        self.server.script = script
        self.server.calls.clear()

    def ctl(self, *words, status=0, input=None, environment=None, socket_option=True):
        arguments = [harness.YARDCTL] + (["--socket", self.path] if socket_option else []) + list(words)
        result = subprocess.run(arguments, input=input, stdin=None if input is not None else subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=harness.TIMEOUT, check=False,
                                env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environment or {})})
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout}{result.stderr}")
        if status != 0:
            self.assertTrue(result.stderr.startswith("yardctl: "), result.stderr)
        return result

    def sent(self, number=-1):
        call = self.server.calls[number]
        return call["method"].removeprefix(MANAGER), call.get("parameters", {})


POOL = {"name": "thumbnail", "source": "local", "taskTypes": ["thumbnail"], "mode": "persistent", "state": "degraded",
        "paused": False, "wantedWorkers": 4, "runningWorkers": 3, "busyWorkers": 2, "concurrency": 1, "tasksInHand": 2,
        "processed": 1234, "completed": 1200, "failed": 34, "retried": 30, "canceled": 0, "handedBack": 0,
        "crashes": 1, "errorRate": 0.25, "queued": 17, "delayed": 3, "oldestAgeUsec": 200_000_000,
        "runP50Usec": 12_400, "runP99Usec": 1_500_000, "unenforced": ["limits.processes"],
        "readOnlyDirectory": "/srv/images",
        "lastError": {"time": 1, "message": "cannot exec ./thumb: No such file", "remedy": "install it"},
        "lastFetchAgeUsec": 2_000_000}
WORKER = {"name": "thumbnail/2", "pool": "thumbnail", "state": "ready", "pid": 4711, "ageUsec": 60_000_000,
          "tasks": [{"taskId": "t-1", "taskType": "thumbnail", "ageUsec": 5_000_000, "attempt": 2,
                     "progress": {"percent": 40, "stage": "scale", "message": "3 of 7"}, "cancelled": False}],
          "heartbeatAgeUsec": 1_000_000, "statusText": None, "memoryBytes": 10_485_760, "processed": 7,
          "restarts": 1, "lastExit": "killed by signal SEGV", "lastExitTime": 1}
SOURCE = {"name": "local", "type": "queue", "state": "full", "problem": {"time": 1, "message": "max_tasks reached",
                                                                         "remedy": None},
          "scheduled": 17, "delayed": 3, "inProgress": 2, "finished": 1200, "submitted": 1300, "settled": 1200,
          "sizeBytes": 4096, "lastFetchAgeUsec": 2_000_000, "lastCommitUsec": 900, "stallUsec": 0}
STATUS = {"version": "9.9", "pid": 42, "state": "degraded", "statusText": "1 pool degraded", "ageUsec": 90_000_000,
          "memoryBytes": 9_000_000, "config": "/etc/y.conf", "configTime": 1, "configProblem": None, "pools": [POOL],
          "sources": [SOURCE], "unserved": [{"source": "local", "type": "resize", "queued": 5,
                                             "oldestAgeUsec": 9_000_000}],
          "eventsDropped": 0, "log": {"journal": True, "unit": "yardmaster.service", "user": False, "uid": 997, "dropped": 0}}
TASK = {"taskId": "t-1", "taskType": "thumbnail", "status": "COMPLETED", "source": "local", "priority": 5,
        "attempts": 1,
        "attemptsMax": 3, "pollCount": 1, "scheduledTime": 1_700_000_000_000, "startTime": 1_700_000_000_100,
        "endTime": 1_700_000_000_200, "worker": "thumbnail/2", "inputData": {"a": 1}, "output": {"b": 2},
        "logs": [{"log": "hello\u001b[31m", "createdTime": 1}],
        "history": [{"attempt": 1, "status": "FAILED", "reason": "exit 1", "worker": "thumbnail/1", "startTime": 1,
                     "endTime": 2001}]}
