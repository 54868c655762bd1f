# SPDX-License-Identifier: Apache-2.0
"""The Conductor stub server as tests use it: started, asked, told to fail. `conductor-stub --help`
(tests/bench) documents its options and the side API that the methods here call."""

import json
import os
import subprocess
import urllib.parse
import urllib.request

import harness

STUB = os.environ.get("YARDMASTER_TEST_STUB", "conductor-stub")


class Stub:
    """As a context manager: a running stub, ended at the end. wrapper: e.g. taskset -c 1."""

    def __init__(self, *options, wrapper=()):
        self.process = subprocess.Popen([*wrapper, STUB, "--parent", *options], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{STUB} did not start: exit {self.process.wait()}")
        self.port = int(line)
        self.server = f"http://127.0.0.1:{self.port}"
        self.url = self.server + "/api"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise RuntimeError("the stub did not end well")

    def call(self, method, path, body=None, timeout=None, **query):
        """The answer of the side API (or any other path), parsed."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=timeout or harness.TIMEOUT) as answer:
            text = answer.read()
            return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text.decode()

    def define(self, name, **members):
        self.call("POST", "/api/metadata/taskdefs", [{"name": name, **members}])

    def create(self, task_type, count=1, **members):
        """Ids of the new tasks (the first 1000)."""
        return self.call("POST", "/stub/tasks", {"type": task_type, "count": count, **members})["taskIds"]

    def fault(self, kind, path=None, **members):
        if path is not None:
            members["path"] = path
        return self.call("POST", "/stub/faults", {"kind": kind, **members})["id"]

    def faults(self):
        return {fault["id"]: fault for fault in self.call("GET", "/stub/faults")}

    def clear_faults(self):
        self.call("DELETE", "/stub/faults")

    def wait(self, what="settled", n=1, timeout=None):
        """Until the tasks have come so far; returns the stub's answer, fails if they have not."""
        seconds = timeout or harness.TIMEOUT
        answer = self.call("GET", f"/stub/wait?for={what}&n={n}&timeout={round(seconds * 1000)}", timeout=seconds + 10)
        if not answer["reached"]:
            raise AssertionError(f"not within {seconds}s: {what} {n}; {self.counts()}; first: {self.wrong(3)}")
        return answer

    def counts(self, **query):
        return self.call("GET", "/stub/counts", **query)

    def wrong(self, limit=100):
        return self.call("GET", "/stub/wrong", limit=limit)["tasks"]

    def task(self, task_id):
        return self.call("GET", "/stub/task", id=task_id)

    def stats(self):
        return self.call("GET", "/stub/stats")

    def queues(self):
        return self.call("GET", "/stub/queues")

    def reset_stats(self):
        self.call("POST", "/stub/stats/reset")

    def away(self, msec):
        self.call("POST", "/stub/away", msec=msec)

    def cancel(self, task_id):
        """Terminates the task's workflow."""
        self.call("DELETE", "/api/workflow/" + self.task(task_id)["workflowInstanceId"])
