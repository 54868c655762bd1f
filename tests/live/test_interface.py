# SPDX-License-Identifier: Apache-2.0
"""io.yardmaster.Manager keeps its promises: each method's replies have the members that the
interface names, of those types, and no others; times are epoch milliseconds, spans microseconds."""

import re
import time
import unittest

import harness
from stub import Stub

CONFIG = """
sources: { local: { type = "queue"; }; prod: { type = "conductor"; url = "@URL@"; }; };
pools: {
  remote: { source = "prod"; handler = { command = ["@DIR@/echo.sh"]; }; };
  echo: { source = "local"; handler = { command = ["@DIR@/echo.sh"]; }; limits = { processes = 50; }; };
  fail: { source = "local"; handler = { command = ["@DIR@/fail.sh"]; }; retry = { attempts = 2; backoff = "1ms"; }; };
  hold: { source = "local"; handler = { command = ["@DIR@/hold.py"]; mode = "persistent"; }; concurrency = 2; };
  broken: { source = "local"; handler = { command = ["@DIR@/broken.sh"]; }; };
};
"""
ECHO = """#!/bin/sh
exec jq -c '{status: "COMPLETED", output: .inputData, logs: ["a line"]}'
"""
FAIL = "#!/bin/sh\necho 'no luck' >&2\nexit 3\n"
# Holds tasks for ever, with progress; ends itself at one that says so.
HOLD = """#!/usr/bin/env python3
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "drain":
        break
    if message["type"] == "task":
        task = message["task"]
        if task["inputData"].get("die"):
            os._exit(9)
        print(json.dumps({"type": "progress", "taskId": task["taskId"], "percent": 40, "stage": "first",
                          "message": "3 of 7", "data": {"a": 1}}), flush=True)
    if message["type"] == "cancel":
        print(json.dumps({"type": "result", "taskId": message["taskId"], "status": "FAILED"}), flush=True)
"""


# Spans that lie ahead.
AHEAD = ("cancelDelayUsec", "retryInUsec")


class Interface:
    """The text of an interface: methods with their outputs, and types."""

    NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")

    def __init__(self, text):
        text = re.sub(r"#.*", "", text)
        self.text, self.at = text, 0
        self.types, self.methods, self.errors = {}, {}, {}
        self.word("interface")
        self.name = re.compile(r"\s*([\w.]+)").match(text, self.at).group(1)
        self.at = text.index(self.name, self.at) + len(self.name)
        while self.peek():
            kind, name = self.identifier(), self.identifier()
            if kind == "type":
                self.types[name] = self.group()
            elif kind == "error":
                self.errors[name] = self.group()
            else:
                inputs = self.group()
                self.word("->")
                self.methods[name] = (inputs, self.group())

    def peek(self):
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def word(self, word):
        self.peek()
        assert self.text.startswith(word, self.at), self.text[self.at : self.at + 40]
        self.at += len(word)

    def identifier(self):
        self.peek()
        found = self.NAME.match(self.text, self.at)
        assert found, self.text[self.at : self.at + 40]
        self.at = found.end()
        return found.group()

    def group(self):
        """(a: int, b: ?string) as a dict; (A, B) as a set."""
        self.word("(")
        members, words = {}, set()
        while self.peek() != ")":
            name = self.identifier()
            if self.peek() == ":":
                self.word(":")
                members[name] = self.type()
            else:
                words.add(name)
            if self.peek() == ",":
                self.word(",")
        self.word(")")
        return words or members

    def type(self):
        for prefix in ("?", "[]", "[string]"):
            self.peek()
            if self.text.startswith(prefix, self.at):
                self.at += len(prefix)
                return (prefix, self.type())
        return self.group() if self.peek() == "(" else self.identifier()

    def check(self, value, kind, path):
        """What is wrong with a value of that type: texts."""
        if isinstance(kind, tuple):
            return self.check_container(value, *kind, path)
        if isinstance(kind, dict):
            return self.check_members(value, kind, path)
        if isinstance(kind, set):
            return [] if value in kind else [f"{path}: {value!r} is none of {sorted(kind)}"]
        if kind in self.types:
            return self.check(value, self.types[kind], path)
        python = {"bool": bool, "int": int, "float": (float, int), "string": str, "object": (dict, str)}[kind]
        good = isinstance(value, python) and (kind == "bool" or not isinstance(value, bool))
        return [] if good else [f"{path}: {value!r} is no {kind}"]

    def check_container(self, value, prefix, kind, path):
        if prefix == "?":
            return [] if value is None else self.check(value, kind, path)
        if prefix == "[]":
            if not isinstance(value, list):
                return [f"{path}: {value!r} is no array"]
            return sum((self.check(item, kind, f"{path}[{number}]") for number, item in enumerate(value)), [])
        return sum((self.check(item, kind, f"{path}.{name}") for name, item in value.items()), [])

    def check_members(self, value, members, path):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        wrong = [f"{path}.{name}: not in the interface" for name in value if name not in members]
        for name, kind in members.items():
            if name in value:
                wrong += self.check(value[name], kind, f"{path}.{name}")
            elif not (isinstance(kind, tuple) and kind[0] == "?"):
                wrong.append(f"{path}.{name}: missing")
        return wrong

    def times(self, value, path=""):
        """Each member whose name says that it is a time or a span."""
        if isinstance(value, dict):
            for name, item in value.items():
                if isinstance(item, int) and (name == "time" or name.endswith(("Time", "Usec"))):
                    yield f"{path}.{name}", name, item
                elif name not in ("inputData", "output", "settings"):
                    yield from self.times(item, f"{path}.{name}")
        elif isinstance(value, list):
            for item in value:
                yield from self.times(item, path + "[]")


class Promises(unittest.TestCase):
    def setUp(self):
        self.stub = Stub()
        self.addCleanup(self.stub.stop)
        self.config = CONFIG.replace("@URL@", self.stub.url)
        self.daemon = harness.Daemon(self.config)
        self.addCleanup(self.daemon.remove)
        self.daemon.script("echo.sh", ECHO)
        self.daemon.script("fail.sh", FAIL)
        self.daemon.script("hold.py", HOLD)
        self.daemon.script("broken.sh", FAIL)
        self.started = time.time()
        self.daemon.start()
        text = self.daemon.call("org.varlink.service.GetInterfaceDescription", {"interface": "io.yardmaster.Manager"})
        self.interface = Interface(text["description"])
        self.called = set()

    def tearDown(self):
        self.daemon.stop()

    def check(self, method, reply):
        self.called.add(method)
        self.assertEqual(self.interface.check(reply, self.interface.methods[method][1], method), [])
        for path, name, value in self.interface.times(reply, method):
            if name.endswith("Usec"):
                # All of this happened since the daemon's start; a delay is below an hour.
                self.assertLessEqual(0, value, path)
                self.assertLess(value, 3600e6 if name in AHEAD else (time.time() - self.started + 1) * 1e6, path)
            else:
                self.assertLess(abs(value / 1000 - self.started), 7200, path)
        return reply

    def call(self, method, parameters=None):
        return self.check(method, self.daemon.call(method, parameters))

    def stream(self, method, parameters=None):
        with self.daemon.varlink() as client:
            return [self.check(method, reply) for reply in client.stream(method, parameters)]

    def prepare_tasks(self):
        """A task in each state, a worker with a past, a pool with an error."""
        task = {"type": "echo", "input": {"a": 1}, "priority": 3, "unique": "key", "deadlineTime": int((time.time() + 3600) * 1000)}
        self.echo = self.call("Submit", {"task": task})["taskId"]
        self.crash = self.call("Submit", {"task": {"type": "hold", "input": {"die": True}, "attempts": 1}})["taskId"]
        self.failed = self.call("Submit", {"task": {"type": "fail"}})["taskId"]
        self.stream("WaitTasks", {"ids": [self.echo, self.failed, self.crash]})
        self.call("WaitTasks", {"ids": [self.echo]})
        with self.daemon.varlink() as client:
            events = client.stream("Monitor", {"types": ["task_started"]})
            self.assertEqual(self.check("Monitor", next(events)), {})
            self.held = self.daemon.submit("hold")
            event = self.check("Monitor", next(events))
            self.assertEqual((event["event"], event["taskId"]), ("task_started", self.held))
        many = [{"type": "ghost", "delayMsec": 60_000}, {"type": "ghost"}, {"type": ""}]
        results = self.call("SubmitMany", {"tasks": many, "force": True})["results"]
        self.delayed = results[0]["taskId"]
        self.assertIn("error", results[2])

    def look(self):
        status = self.call("GetStatus")
        self.assertEqual([entry["type"] for entry in status["unserved"]], ["ghost"])
        pools = {pool["name"]: pool for pool in self.call("ListPools")["pools"]}
        self.assertEqual(pools["echo"]["unenforced"], ["processes"])
        self.assertEqual((pools["fail"]["processed"], pools["fail"]["failed"], pools["fail"]["retried"]), (2, 2, 1))
        self.assertEqual(pools["fail"]["errorRate"], 1)
        for member in ("time", "message", "remedy"):
            self.assertIn(member, pools["fail"]["lastError"])
        self.assertGreater(pools["echo"]["runP99Usec"], 100)
        sources = [source for source in self.call("ListSources")["sources"] if source["name"] == "local"]
        self.assertEqual(sources[0]["sizeBytes"] % 512, 0)
        self.assertEqual(sources[0]["delayed"], 1)
        [worker] = harness.eventually(lambda: [worker for worker in self.call("ListWorkers")["workers"]
                                               if worker["tasks"] and worker["tasks"][0].get("progress")], "progress")
        self.assertEqual(worker["tasks"][0]["progress"], {"percent": 40, "stage": "first", "message": "3 of 7", "data": {"a": 1}})
        self.assertEqual(worker["restarts"], 1)
        for member in ("pid", "ageUsec", "heartbeatAgeUsec", "memoryBytes", "lastExit", "lastExitTime"):
            self.assertIn(member, worker)
        self.assertGreater(worker["memoryBytes"], 1 << 20)
        self.call("ListWorkers", {"name": worker["name"]})

    def look_at_server(self):
        """A server that has accepted a result, and refused another for good."""
        self.stub.create("remote")
        self.stub.wait("completed")
        self.stub.fault("status", "/api/tasks*", method="POST", status=400)
        refused = self.stub.create("remote")
        [dead] = harness.eventually(lambda: self.call("ListOutbox", {"state": "dead"})["messages"], "a dead letter")
        self.assertEqual((dead["taskId"], dead["taskType"], dead["kind"], dead["tries"]), (refused[0], "remote", "result", 1))
        self.assertIn("reason", dead)
        message = self.call("GetOutboxMessage", {"name": dead["name"]})["message"]
        self.assertEqual((message["body"]["taskId"], message["body"]["status"]), (refused[0], "COMPLETED"))
        [server] = [source for source in self.call("ListSources")["sources"] if source["name"] == "prod"]
        self.assertEqual(server["server"]["outbox"]["dead"], 1)
        [pool] = [pool for pool in self.call("ListPools")["pools"] if pool["name"] == "remote"]
        self.assertEqual((pool["server"]["polled"], pool["server"]["completed"]), (2, 1))
        self.assertIn("findings", self.call("CheckSource", {"source": "prod"}))
        self.assertEqual(self.call("RetryOutbox", {"names": [dead["name"]]}), {"count": 1})
        self.stub.wait("completed", 2)
        self.assertEqual(self.call("DropOutbox"), {"count": 0})

    def look_at_tasks(self):
        self.stream("ListTasks")
        tasks = {task["taskId"]: task for task in self.call("ListTasks", {"limit": 100})["tasks"]}
        self.assertEqual(tasks[self.echo]["status"], "COMPLETED")
        self.assertNotIn("inputData", tasks[self.echo])
        self.assertNotIn("runTime", tasks[self.echo])
        echo = self.call("GetTask", {"taskId": self.echo})["task"]
        self.assertEqual((echo["inputData"], echo["output"], echo["priority"], echo["uniqueKey"]), ({"a": 1}, {"a": 1}, 3, "key"))
        self.assertEqual([line["log"] for line in echo["logs"]], ["a line"])
        self.assertEqual((echo["attempts"], echo["pollCount"], echo["worker"]), (1, 1, "echo/1"))
        self.assertLessEqual(echo["scheduledTime"], echo["startTime"])
        self.assertLessEqual(echo["startTime"], echo["endTime"])
        fail = self.call("GetTask", {"taskId": self.failed})["task"]
        self.assertEqual([attempt["attempt"] for attempt in fail["history"]], [1])
        self.assertIn("no luck", fail["history"][0]["reason"])
        delayed = self.call("GetTask", {"taskId": self.delayed})["task"]
        self.assertAlmostEqual(delayed["runTime"] - delayed["scheduledTime"], 60_000, delta=5)
        held = self.call("GetTask", {"taskId": self.held})["task"]
        self.assertEqual((held["status"], held["progress"]["percent"]), ("IN_PROGRESS", 40))

    def test_every_method(self):
        self.prepare_tasks()
        self.look()
        self.look_at_tasks()
        self.look_at_server()
        for method in ("CancelTasks", "RetryTasks", "DeleteTasks"):
            self.call(method, {"filter": {"type": "none"}})
        self.call("UpdateTasks", {"filter": {"ids": [self.held]}, "status": "COMPLETED", "output": {}, "dryRun": True})
        self.call("Scale", {"pool": "echo", "workers": "+1"})
        self.call("SetPool", {"pool": "echo", "settings": {"task_timeout": "9s"}})
        self.call("PausePool", {"pool": "echo"})
        self.call("ResumePool", {"pool": "echo"})
        self.call("RestartPool", {"pool": "echo"})
        self.stream("RestartPool", {"pool": "fail", "rolling": True})
        self.daemon.write_config(self.config + 'drain_timeout = "10s";')
        self.call("Reload")
        self.call("DumpConfig")
        self.call("CheckConfig")
        self.call("GetMetrics")
        self.call("GetHealth")
        self.call("GetHealth", {"level": "live"})
        self.call("SetLogLevel", {"level": "info"})
        self.call("GetLogLevel")
        self.call("Backup", {"path": self.daemon.path("one.db")})
        replies = self.stream("Backup", {"path": self.daemon.path("two.db")})
        self.assertGreater(replies[-1]["sizeBytes"], 4096)
        for kind in ("pools", "workers", "sources", "types"):
            self.call("ListNames", {"kind": kind})
        self.stream_drain()
        self.assertEqual(set(self.interface.methods) - self.called, set())

    def stream_drain(self):
        with self.daemon.varlink() as client:
            try:
                for reply in client.stream("Drain", {"deadlineUsec": 100_000}):
                    self.check("Drain", reply)
            except (EOFError, ConnectionError):
                pass
        self.assertEqual(self.daemon.wait(), 0)

    def test_errors(self):
        """Each error that a caller can bring about has the parameters that the interface names."""
        self.daemon.call("Submit", {"task": {"type": "hold", "unique": "k"}})
        cases = (
            ("NoSuchPool", "Scale", {"pool": "hodl", "workers": "1"}),
            ("NoSuchWorker", "ListWorkers", {"name": "hold/99"}),
            ("NoSuchSource", "Backup", {"path": "/tmp/none", "source": "nowhere"}),
            ("NoSuchTask", "GetTask", {"taskId": "none"}),
            ("NoSuchMessage", "GetOutboxMessage", {"name": "prod/1234567"}),
            ("NoSuchMessage", "DropOutbox", {"names": ["nowhere/1"]}),
            ("Refused", "CheckSource", {"source": "local"}),
            ("Refused", "ListOutbox", {"source": "local"}),
            ("Refused", "CancelTasks", {"filter": {"source": "prod"}}),
            ("Refused", "Backup", {"path": "/tmp/none", "source": "prod"}),
            ("InvalidTask", "Submit", {"task": {"type": "remote", "source": "prod"}}),
            ("TypeNotServed", "Submit", {"task": {"type": "hodl"}}),
            ("DuplicateTask", "Submit", {"task": {"type": "hold", "unique": "k"}}),
            ("Refused", "SetPool", {"pool": "hold", "settings": {"nonsense": "1"}}),
            ("InvalidTask", "Submit", {"task": {"type": "hold", "priority": 1000}}),
            ("InvalidTask", "Submit", {"task": {"type": ""}}),
            ("InvalidTask", "Submit", {"task": {"type": "hold", "delayMsec": 1, "runTime": 1}}),
            ("WaitTimedOut", "WaitTasks", {"ids": [], "timeoutUsec": 1}),
        )
        for name, method, parameters in cases:
            if name == "WaitTimedOut":
                parameters["ids"] = [self.daemon.submit("hold")]
            with self.subTest(f"{name} {parameters}"):
                with self.assertRaises(harness.VarlinkError) as caught:
                    self.daemon.call(method, parameters)
                self.assertEqual(caught.exception.name, "io.yardmaster.Manager." + name)
                self.assertEqual(self.interface.check(caught.exception.parameters, self.interface.errors[name], name), [])
        self.daemon.write_config(self.config.replace("retry", "rerty"))
        with self.assertRaises(harness.VarlinkError) as caught:
            self.daemon.call("Reload")
        self.assertEqual(self.interface.check(caught.exception.parameters, self.interface.errors["ConfigInvalid"], "Reload"), [])
        self.daemon.ctl("task", "cancel", "--type", "hold", "--yes")


if __name__ == "__main__":
    harness.main()
