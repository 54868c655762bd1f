# SPDX-License-Identifier: Apache-2.0
"""A small client of Conductor's API for tests, and a daemon that serves it.

The server's address is in YARDMASTER_TEST_CONDUCTOR (tests/conductor/run sets it). Each test takes
task types of its own (fresh_name), so that tests do not meet.
"""

import contextlib
import http.client
import json
import os
import secrets
import threading
import time
import unittest
import urllib.parse

import harness

URL = os.environ.get("YARDMASTER_TEST_CONDUCTOR", "")
# One write of the server's SQLite was seen to take 11 s.
REQUEST_SECONDS = 60
TERMINAL = ("COMPLETED", "FAILED", "TERMINATED", "TIMED_OUT")


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]!r}")
        self.status = status
        self.body = body


def fresh_name(word):
    return f"{word}_{secrets.token_hex(4)}"


class Api:
    """One keep-alive connection per thread."""

    def __init__(self, url=URL):
        if not url:
            raise RuntimeError("YARDMASTER_TEST_CONDUCTOR is not set: run tests/conductor/run")
        self.url = url
        parts = urllib.parse.urlsplit(url)
        self.address, self.path = parts.netloc, parts.path.rstrip("/")
        self.local = threading.local()

    def exchange(self, method, path, body=None, content_type="application/json"):
        """(status, headers, body), repeated once if a kept connection turns out to be closed."""
        headers = {"Content-Type": content_type} if body is not None else {}
        kept = getattr(self.local, "connection", None)
        if kept:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self._exchange(kept, method, path, body, headers)
            kept.close()
        self.local.connection = http.client.HTTPConnection(self.address, timeout=REQUEST_SECONDS)
        return self._exchange(self.local.connection, method, path, body, headers)

    def _exchange(self, connection, method, path, body, headers):
        connection.request(method, self.path + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def call(self, method, path, body=None, **query):
        """The answer: JSON as an object, text as text, nothing as None."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body).encode()
        status, headers, answer = self.exchange(method, path, data)
        if status >= 300:
            raise ApiError(status, answer)
        if not answer:
            return None
        if headers.get_content_type() == "application/json":
            return json.loads(answer)
        return answer.decode()

    # Definitions

    def define_task(self, name, **members):
        """A task type; its retries are at once unless members say otherwise."""
        definition = {"name": name, "retryCount": 2, "retryDelaySeconds": 0, "responseTimeoutSeconds": 600,
                      "timeoutSeconds": 0, "ownerEmail": "tests@example.com", **members}
        self.call("POST", "/metadata/taskdefs", [definition])
        return name

    def define_workflow(self, name, *types, inputs=None, **members):
        """One task of each of these types in turn, t0, t1, …; each gets the workflow's whole input."""
        tasks = [{"name": task_type, "taskReferenceName": f"t{number}", "type": "SIMPLE",
                  "inputParameters": inputs or {"input": "${workflow.input}"}}
                 for number, task_type in enumerate(types)]
        definition = {"name": name, "version": 1, "schemaVersion": 2, "tasks": tasks, "timeoutSeconds": 0,
                      "ownerEmail": "tests@example.com", **members}
        self.call("PUT", "/metadata/workflow", [definition])
        return name

    def define(self, word="type", **members):
        """A task type and a workflow of the same name with one task of it; the name."""
        name = fresh_name(word)
        self.define_task(name, **members)
        return self.define_workflow(name, name)

    # Workflows

    def start(self, name, workflow_input=None, **members):
        return self.call("POST", "/workflow", {"name": name, "input": workflow_input or {}, **members})

    def workflow(self, workflow_id):
        return self.call("GET", f"/workflow/{workflow_id}", includeTasks="true")

    def terminate(self, workflow_id):
        self.call("DELETE", f"/workflow/{workflow_id}", reason="test")

    def decide(self, workflow_id):
        self.call("PUT", f"/workflow/decide/{workflow_id}")

    def wait_workflow(self, workflow_id, status="COMPLETED", timeout=harness.TIMEOUT):
        """Until it has ended; fails unless in this status. None: any."""
        deadline = time.monotonic() + timeout
        while True:
            workflow = self.workflow(workflow_id)
            if workflow["status"] in TERMINAL:
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"not {status} within {timeout} s: {json.dumps(workflow)[:3000]}")
            time.sleep(0.05)
        if status and workflow["status"] != status:
            raise AssertionError(f"{workflow['status']}, not {status}: {json.dumps(workflow)[:3000]}")
        return workflow

    def run(self, name, workflow_input=None, status="COMPLETED", timeout=harness.TIMEOUT, **members):
        return self.wait_workflow(self.start(name, workflow_input, **members), status, timeout)

    # Tasks

    def tasks(self, workflow_id):
        return self.workflow(workflow_id)["tasks"]

    def task(self, task_id):
        return self.call("GET", f"/tasks/{task_id}")

    def wait_task(self, workflow_id, condition, what, timeout=harness.TIMEOUT):
        """The workflow's last task, as soon as the condition holds of it."""
        def look():
            tasks = self.tasks(workflow_id)
            return tasks[-1] if tasks and condition(tasks[-1]) else None
        return harness.eventually(look, what, timeout)

    def wait_status(self, workflow_id, status, timeout=harness.TIMEOUT):
        return self.wait_task(workflow_id, lambda task: task["status"] == status, f"a task {status}", timeout)

    def poll(self, task_type, worker="test", count=1, timeout=1000, **query):
        return self.call("GET", f"/tasks/poll/batch/{task_type}", workerid=worker, count=count, timeout=timeout, **query)

    def update(self, task, status, **members):
        return self.call("POST", "/tasks", {"workflowInstanceId": task["workflowInstanceId"],
                                            "taskId": task["taskId"], "status": status, **members})

    def log(self, task_id):
        return [entry["log"] for entry in self.call("GET", f"/tasks/{task_id}/log") or []]

    def queue_size(self, task_type, **query):
        return self.call("GET", "/tasks/queue/size", taskType=task_type, **query)


HANDLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "handler.py")


def pool(name, keys="", mode="persistent"):
    """A pool of handler.py for this type. Its polls are short, so that a daemon that stops is soon done."""
    words = f'"{HANDLER}", "@DIR@/witness"' + (', "persistent"' if mode == "persistent" else "")
    poll = "" if "poll_timeout" in keys else 'poll_timeout = "500ms";'
    return f'{name}: {{ source = "prod"; handler = {{ command = [{words}]; mode = "{mode}"; }}; {poll} {keys} }};\n'


def configuration(*pools, url=URL, source="", top=""):
    top = top if "drain_timeout" in top else top + ' drain_timeout = "10s";'
    return (f'{top}\nsources: {{ prod: {{ type = "conductor"; url = "{url}"; {source} }}; }};\n'
            f'pools: {{ {"".join(pools)} }};\n')


class Daemon(harness.Daemon):
    """A daemon with pools of handler.py on the server."""

    def witnessed(self, task_id=None, event="begin"):
        """What handlers wrote down, in order."""
        lines = []
        with contextlib.suppress(FileNotFoundError), open(self.path("witness"), encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # cut short by kill -9
                    entry = json.loads(line)
                    if task_id in (None, entry["taskId"]) and event in (None, entry["event"]):
                        lines.append(entry)
        return lines

    def wait_witness(self, event="begin", task_id=None, n=1, timeout=harness.TIMEOUT):
        return harness.eventually(lambda: lines if len(lines := self.witnessed(task_id, event)) >= n else None,
                                  f"{n} times {event}", timeout)

    def outbox(self):
        """Messages that the server has not accepted."""
        return self.ctl_json("outbox", "list")["messages"]

    def open_gate(self, name="gate"):
        self.write(name, "")


class Case(unittest.TestCase):
    """A test with a client of the server."""

    def setUp(self):
        self.api = Api()

    def daemon(self, *pools, started=True, environment=None, **options):
        daemon = Daemon(configuration(*pools, **options), environment=environment)
        self.addCleanup(self.end, daemon)
        return daemon.start() if started else daemon

    def end(self, daemon):
        """Stops it; what it said is shown where the test has failed."""
        try:
            status = daemon.stop() if daemon.process and daemon.process.poll() is None else 0
            self.assertEqual(status, 0, "the daemon's exit status")
        finally:
            if self.has_failed() and daemon.log:
                print("# daemon log:\n# " + "\n# ".join(daemon.log.lines[-60:]), flush=True)
            daemon.remove()

    def has_failed(self):
        return self._outcome is not None and not self._outcome.success
