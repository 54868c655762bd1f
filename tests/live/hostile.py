# SPDX-License-Identifier: Apache-2.0
"""A Conductor server that answers each request as a test says, byte for byte: what a well-behaved
stub cannot be told to say."""

import contextlib
import json
import re
import socket
import threading
import time
import urllib.parse


class Request:
    def __init__(self, method, target, headers, body):
        self.method = method
        self.path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.headers = headers
        self.body = body
        self.time = time.monotonic()

    def json(self):
        return json.loads(self.body)


def http(body=b"", status=200, content_type="application/json", headers=()):
    """A whole answer."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refuse(status=404, message="no such thing", retryable=False):
    return http({"status": status, "message": message, "retryable": retryable}, status)


class Hostile:
    """As a context manager. What nothing was said about is answered as a server does that is well and
    has the tasks that give() was given.

    rules: (method, regular expression of the path, answer), the last that matches first. answer: bytes,
    or a callable of the Request that returns bytes, an iterable of bytes to be sent piece by piece, or
    None: what would be answered without the rule. CLOSE ends the connection without another byte."""

    CLOSE = object()

    def __init__(self):
        self.rules = []
        self.requests = []
        self.tasks = {}
        self.given = {}  # by task: what a GET of it says, while it has no result
        self.results = {}  # by task: the bodies of its updates
        self.changed = threading.Condition()
        self.stopping = False
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.connections = set()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
            connections = list(self.connections)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # What a test says and asks

    def on(self, method, path, answer):
        with self.changed:
            self.rules.append((method, re.compile(path), answer))

    def well(self):
        with self.changed:
            self.rules.clear()

    def give(self, task_type, *tasks):
        """Tasks for polls of the type: objects, or text that is sent as it is."""
        with self.changed:
            self.tasks.setdefault(task_type, []).extend(tasks)
            self.changed.notify_all()

    def hand_out(self, request, *tasks):
        """What a GET of these says from now on, if they are objects that have a name."""
        for item in tasks:
            if not isinstance(item, str) and isinstance(item.get("taskId"), str):
                self.given[item["taskId"]] = {**item, "workerId": request.query["workerid"]}

    def wait_for(self, predicate, what, timeout=60):
        with self.changed:
            if not self.changed.wait_for(predicate, timeout):
                raise AssertionError(f"not within {timeout}s: {what}; results of {list(self.results)[:5]}")

    def wait_results(self, *ids, timeout=60):
        self.wait_for(lambda: all(name in self.results for name in ids), f"results of {ids}", timeout)

    def wait_requests(self, n, method, path, timeout=60):
        """Until n such requests have come."""
        self.wait_for(lambda: self.count(method, path) >= n, f"{n} {method} {path}", timeout)

    def count(self, method, path):
        return sum(1 for request in self.requests if request.method == method and re.search(path, request.path))

    def spread(self, method, path, n):
        """Seconds between the first and the n-th such request."""
        times = [request.time for request in self.requests if request.method == method and re.search(path, request.path)]
        return times[n - 1] - times[0]

    def statuses(self, task_id):
        return [json.loads(body).get("status") for body in self.results.get(task_id, [])]

    # The server

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while self._one(connection, stream):
                pass
        with self.changed:
            self.connections.discard(connection)

    def _one(self, connection, stream):
        line = stream.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := stream.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Request(method, target, headers, body)
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        answer = self._answer(request)
        for piece in [answer] if isinstance(answer, bytes) else answer:
            if piece is self.CLOSE:
                return False
            connection.sendall(piece)
        return True

    def _answer(self, request):
        with self.changed:
            rules = list(self.rules)
        for method, path, answer in reversed(rules):
            if method in (request.method, "*") and path.search(request.path):
                answer = answer(request) if callable(answer) else answer
                if answer is not None:
                    return answer
        return self.plain(request)

    def plain(self, request):
        path = request.path.removeprefix("/api")
        if path.startswith("/tasks/poll/batch/"):
            return self._poll(urllib.parse.unquote(path.rsplit("/", 1)[1]), request)
        if request.method == "POST" and path in ("/tasks", "/tasks/update-v2"):
            return self._update(request)
        if path.startswith("/tasks/search"):
            return http({"totalHits": 0, "results": []})
        if path.startswith("/tasks/queue/size"):
            return http("0")
        if path == "/version":
            return http("3.32.3", content_type="text/plain")
        if path.endswith("/log") or path.startswith("/workflow/decide/"):
            return http()
        return self._task(urllib.parse.unquote(path.removeprefix("/tasks/")))

    def _task(self, name):
        with self.changed:
            if name not in self.given:
                return refuse()
            status = "COMPLETED" if self.results.get(name) else "IN_PROGRESS"
            return http({**self.given[name], "status": status})

    def _poll(self, task_type, request):
        deadline = time.monotonic() + int(request.query["timeout"]) / 1000
        count = int(request.query["count"])
        with self.changed:
            self.changed.wait_for(lambda: self.stopping or count == 0 or self.tasks.get(task_type),
                                  max(0, deadline - time.monotonic()))
            waiting = self.tasks.get(task_type, [])
            given, waiting[:] = waiting[:count], waiting[count:]
            self.hand_out(request, *given)
        return http("[" + ",".join(task if isinstance(task, str) else json.dumps(task) for task in given) + "]")

    def _update(self, request):
        body = request.json()
        if "taskId" not in body:
            return refuse(500)
        with self.changed:
            if not body.get("extendLease"):
                self.results.setdefault(body["taskId"], []).append(request.body)
            self.changed.notify_all()
        if request.path.endswith("v2"):
            return b"HTTP/1.1 204 X\r\n\r\n"
        return http(body["taskId"], content_type="text/plain")


def task(number, task_type="work", task_input=None, **members):
    """A task as a server gives it out."""
    name = number if isinstance(number, str) else f"t-{number}"
    return {"taskId": name, "taskType": task_type, "taskDefName": task_type, "status": "IN_PROGRESS",
            "workflowInstanceId": "w-" + name, "inputData": task_input or {}, "retryCount": 0, "pollCount": 1,
            "scheduledTime": 1795211450000, "startTime": 1795211450120, "responseTimeoutSeconds": 3600, **members}
