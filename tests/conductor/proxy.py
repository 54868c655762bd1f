# SPDX-License-Identifier: Apache-2.0
"""A proxy before the server: writes down what passes, and does wrong what a test wants done wrong.

    with Proxy() as proxy:  …url = proxy.url…
    proxy.rule(lambda request: request.path.startswith("/api/tasks/poll"), proxy.answer(503), times=2)

A rule gets the request before the server does. What it returns is the answer; None: pass it on. A
rule can also drop the connection before or after the server has acted (Cut).
"""

import contextlib
import http.client
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

import conductor

IDLE_SECONDS = 60


class Cut(Exception):
    """The connection ends here, without (more of) an answer."""


class Answer:
    def __init__(self, status, body=b"", headers=()):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = list(headers)


class Request:
    def __init__(self, handler, body):
        self.method = handler.command
        self.target = handler.path
        self.path, _, query = handler.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.headers = handler.headers
        self.body = body
        self.time = time.monotonic()
        self.status = None  # as answered
        self.connection = handler.client_address

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.target} {self.body[:200]!r} → {self.status}"


def forward(request, address, times=2):
    """The server's own answer."""
    connection = http.client.HTTPConnection(address, timeout=conductor.REQUEST_SECONDS)
    try:
        headers = {name: value for name, value in request.headers.items()
                   if name.lower() in ("content-type", "accept", "expect")}
        connection.request(request.method, request.target, request.body or None, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(),
                      [("Content-Type", answer.headers["Content-Type"])] if answer.headers["Content-Type"] else [])
    finally:
        connection.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # One write for each answer, sent at once: two would wait for an acknowledgement in between.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self.read_chunks()
        request = Request(self, body)
        proxy = self.server.proxy
        proxy.note(request)
        try:
            answer = proxy.answer_to(request)
            request.status = answer.status
            self.send(answer)
        except (Cut, OSError, http.client.HTTPException):
            request.status = request.status or "cut"
            self.cut()

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, answer):
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def cut(self):
        """With a reset where there is no TLS in between."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def log_message(self, *_):
        pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that went away


class Rule:
    def __init__(self, matches, act, times):
        self.matches, self.act, self.times = matches, act, times


class Proxy:
    def __init__(self, url=conductor.URL, tls=None):
        parts = urllib.parse.urlsplit(url)
        self.server_address, self.prefix = parts.netloc, parts.path
        self.lock = threading.Lock()
        self.requests = []
        self.rules = []
        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.listener.proxy = self
        self.port = self.listener.server_address[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}{self.prefix}"
        if tls:
            # The handshake is each connection's thread's: a client that does not speak hinders no other.
            self.listener.socket = tls.wrap_socket(self.listener.socket, server_side=True,
                                                   do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown()
        self.listener.server_close()

    # What to do

    def rule(self, matches, act, times=None):
        """matches: a function of the request, or how its path goes on behind the url."""
        if isinstance(matches, str):
            start = self.prefix + matches
            rule = Rule(lambda request: request.path.startswith(start), act, times)
        else:
            rule = Rule(matches, act, times)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self.lock:
            self.rules.clear()

    def answer_to(self, request):
        with self.lock:
            rule = next((rule for rule in self.rules if rule.times != 0 and rule.matches(request)), None)
            if rule and rule.times:
                rule.times -= 1
        answer = rule.act(request) if rule else None
        return answer or forward(request, self.server_address)

    def cut_before(self, _):
        raise Cut

    def cut_after(self, request):
        """The server does it, nobody hears of it."""
        forward(request, self.server_address)
        raise Cut

    @staticmethod
    def answering(status, body=b"", *headers):
        return lambda _: Answer(status, body, headers or [("Content-Type", "application/json")])

    @staticmethod
    def no_such_path(request):
        """As the server says it of a path that it does not know."""
        return Answer(404, {"status": 404, "message": f"No static resource {request.path[1:]}.", "instance": "x",
                            "retryable": False}, [("Content-Type", "application/json")])

    # What has passed

    def note(self, request):
        with self.lock:
            self.requests.append(request)

    def seen(self, path="", method=None):
        """Requests whose path goes on like this behind the url."""
        with self.lock:
            return [request for request in self.requests if request.path.startswith(self.prefix + path)
                    and method in (None, request.method)]

    def updates(self, task_id=None):
        """Bodies of results, hand-backs and lease extensions."""
        found = []
        for request in self.seen("/tasks", "POST"):
            if request.path in (self.prefix + "/tasks", self.prefix + "/tasks/update-v2"):
                body = request.json()
                if task_id in (None, body["taskId"]):
                    found.append(body)
        return found


def make_certificates(folder, run):
    """A CA and certificates of a server (localhost) and of a client, by openssl(1). run: a command."""
    def path(name):
        return f"{folder}/{name}.pem"

    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=Tests CA", "-keyout", path("ca-key"), "-out", path("ca"), "-days", "2")
    for name in ("server", "client"):
        with open(path(name + "-ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost\n")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", path(name + "-key"), "-out", path(name + "-request"))
        run("openssl", "x509", "-req", "-in", path(name + "-request"), "-CA", path("ca"), "-CAkey", path("ca-key"),
            "-CAcreateserial", "-days", "2", "-extfile", path(name + "-ext"), "-out", path(name))
    return path


def tls_of(path, client_ca=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("server"), path("server-key"))
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(path("ca"))
    return context
