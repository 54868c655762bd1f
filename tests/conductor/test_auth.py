# SPDX-License-Identifier: Apache-2.0
"""Tokens and TLS, through a proxy that insists on them (the server itself knows neither)."""

import os
import subprocess
import tempfile
import threading

import conductor
import harness
import proxy

SECRET = "s3cr3t-of-the-tests"


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class Gate:
    """Gives out tokens and lets nobody pass without the newest."""

    def __init__(self, between, key="key-1", secret=SECRET):
        self.between, self.key, self.secret = between, key, secret
        self.lock = threading.Lock()
        self.n_tokens = 0
        self.valid = None
        self.refuse = None  # (status, body) of POST /token
        between.rule("/token", self.token)
        between.rule(lambda _: True, self.check)

    def token(self, request):
        if self.refuse:
            return proxy.Answer(*self.refuse, [("Content-Type", "application/json")])
        if request.json() != {"keyId": self.key, "keySecret": self.secret}:
            return proxy.Answer(401, {"error": "INVALID_CREDENTIALS", "message": "unknown key"},
                                [("Content-Type", "application/json")])
        with self.lock:
            self.n_tokens += 1
            self.valid = f"token-{self.n_tokens}"
            return proxy.Answer(200, {"token": self.valid, "userId": "u"}, [("Content-Type", "application/json")])

    def check(self, request):
        with self.lock:
            if self.valid and request.headers.get("X-Authorization") == self.valid:
                return None
        return proxy.Answer(401, {"error": "EXPIRED_TOKEN", "message": "Token has expired"},
                            [("Content-Type", "application/json")])

    def expire(self):
        with self.lock:
            self.valid = None


class Auth(conductor.Case):
    def setUp(self):
        super().setUp()
        self.between = self.enterContext(proxy.Proxy())
        self.gate = Gate(self.between)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.secret_file = os.path.join(self.folder.name, "secret")
        with open(self.secret_file, "w", opener=lambda path, flags: os.open(path, flags, 0o600), encoding="ascii") as file:
            file.write(SECRET + "\n")

    def auth(self, extra=""):
        return f'auth = {{ key_id = "key-1"; secret_file = "{self.secret_file}"; {extra} }};'

    def test_a_token_is_got_and_used(self):
        name = self.api.define()
        self.daemon(conductor.pool(name), url=self.between.url, source=self.auth())
        self.api.run(name)
        self.assertEqual(self.gate.n_tokens, 1, "one for all")
        for request in self.between.seen():
            if request.path.endswith("/token"):
                self.assertNotIn("X-Authorization", request.headers)

    def test_an_expired_token_is_renewed_and_no_task_is_hurt(self):
        name = self.api.define()
        self.daemon(conductor.pool(name, "concurrency = 4;"), url=self.between.url, source=self.auth())
        workflows = []
        for number in range(30):
            workflows.append(self.api.start(name, {"value": number}))
            if number % 10 == 5:
                self.gate.expire()
        for workflow in workflows:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["retryCount"], task["pollCount"]), (0, 1))
        self.assertGreaterEqual(self.gate.n_tokens, 2)
        self.assertLessEqual(self.gate.n_tokens, 6, "a 401 renews once, not for each request")

    def test_a_token_is_renewed_before_it_expires(self):
        name = self.api.define()
        self.daemon(conductor.pool(name), url=self.between.url, source=self.auth('refresh = "10s";'))
        self.api.run(name)
        harness.eventually(lambda: self.gate.n_tokens >= 2, "the second token", 30)
        self.api.run(name)
        refused = [request for request in self.between.seen() if request.status == 401]
        self.assertLessEqual(len(refused), 4, "only what crossed the renewal")

    def test_a_refused_key_is_no_storm_and_status_says_so(self):
        name = self.api.define()
        self.gate.refuse = (401, {"error": "INVALID_CREDENTIALS", "message": "unknown key"})
        daemon = self.daemon(conductor.pool(name), url=self.between.url, source=self.auth())
        harness.eventually(lambda: len(self.between.seen("/token")) >= 2, "a second try")
        harness.eventually(lambda: "auth" in daemon.ctl("status").stdout, "status tells of it")
        self.assertLess(len(self.between.seen("/token")), 10)
        self.gate.refuse = None
        self.api.run(name)

    def test_a_server_without_tokens(self):
        """404 on /token: this is one that asks for none."""
        name = self.api.define()
        with proxy.Proxy() as plain:
            self.daemon(conductor.pool(name), url=plain.url, source=self.auth())
            self.api.run(name)

    def test_the_secret_stays_where_it_is(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, mode="per-task"), url=self.between.url, source=self.auth())
        workflow = self.api.run(name, {"environ": ["CONDUCTOR_AUTH_SECRET", "CONDUCTOR_AUTH_KEY"]})
        self.assertEqual(workflow["tasks"][0]["outputData"]["CONDUCTOR_AUTH_SECRET"], None)
        said = [daemon.log.text(), daemon.ctl("config", "dump").stdout, daemon.ctl("--json", "config", "dump").stdout,
                daemon.ctl("status").stdout, daemon.ctl("list", "sources").stdout]
        with open(f"/proc/{daemon.process.pid}/cmdline", encoding="utf-8") as file:
            said.append(file.read())
        for text in said:
            self.assertNotIn(SECRET, text)
            self.assertNotIn("token-1", text)
        for folder, _, names in os.walk(daemon.path("state")):
            for file_name in names:
                with open(os.path.join(folder, file_name), "rb") as file:
                    self.assertNotIn(SECRET.encode(), file.read(), file_name)

    def test_the_environment_overrides_the_file(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name), url="http://127.0.0.1:1/api", environment={
            "CONDUCTOR_SERVER_URL": self.between.url, "CONDUCTOR_AUTH_KEY": "key-1", "CONDUCTOR_AUTH_SECRET": SECRET})
        self.api.run(name)
        dump = daemon.ctl("config", "dump").stdout
        self.assertIn("CONDUCTOR_SERVER_URL", dump)
        self.assertNotIn(SECRET, dump)

    def test_extra_headers(self):
        name = self.api.define()
        with proxy.Proxy() as plain:
            self.daemon(conductor.pool(name), url=plain.url, source='headers = ["X-Team: yard"];')
            self.api.run(name)
            self.assertEqual({request.headers.get("X-Team") for request in plain.seen()}, {"yard"})


class Tls(conductor.Case):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = staticmethod(proxy.make_certificates(folder.name, run))

    def run_through(self, source, client_ca=False):
        name = self.api.define()
        with proxy.Proxy(tls=proxy.tls_of(self.path, client_ca)) as between:
            daemon = self.daemon(conductor.pool(name), url=between.url, source=source)
            self.api.run(name)
            return daemon, between

    def test_a_ca_of_ones_own(self):
        _, between = self.run_through(f'tls = {{ ca_file = "{self.path("ca")}"; }};')
        self.assertGreater(len(between.seen("/tasks/poll")), 0)

    def test_a_client_certificate(self):
        self.run_through(f'tls = {{ ca_file = "{self.path("ca")}"; certificate = "{self.path("client")}"; '
                         f'key = "{self.path("client-key")}"; }};', client_ca=True)

    def test_without_verification(self):
        self.run_through("tls = { verify = false; };")

    def test_an_unknown_ca_is_refused_and_told_apart(self):
        name = self.api.define()
        with proxy.Proxy(tls=proxy.tls_of(self.path)) as between:
            daemon = self.daemon(conductor.pool(name), url=between.url)
            harness.eventually(lambda: "tls" in daemon.ctl("status").stdout.lower(), "status tells of TLS")
            self.assertEqual(between.seen(), [], "nothing is said to a server that is not trusted")

    def test_a_wrong_name_is_refused(self):
        name = self.api.define()
        with proxy.Proxy(tls=proxy.tls_of(self.path)) as between:
            url = between.url.replace("localhost", "127.0.0.1")
            daemon = self.daemon(conductor.pool(name), url=url, source=f'tls = {{ ca_file = "{self.path("ca")}"; }};')
            harness.eventually(lambda: "tls" in daemon.ctl("status").stdout.lower(), "status tells of TLS")
            self.assertEqual(between.seen(), [])


class Causes(conductor.Case):
    def test_dns_and_refusal_are_told_apart(self):
        for url, word in (("http://nowhere.invalid/api", "dns"), ("http://127.0.0.1:9/api", "refused")):
            with self.subTest(word):
                daemon = self.daemon(conductor.pool("any"), url=url)
                harness.eventually(lambda: word in daemon.ctl("status").stdout.lower(), f"status says {word}")

    def test_a_dead_server_does_not_slow_another(self):
        name = self.api.define()
        text = conductor.configuration(conductor.pool(name), conductor.pool("dead").replace('"prod"', '"gone"'))
        text = text.replace("sources: {", 'sources: { gone: { type = "conductor"; url = "http://127.0.0.1:9/api"; };')
        daemon = conductor.Daemon(text)
        self.addCleanup(self.end, daemon)
        daemon.start()
        for workflow in [self.api.start(name) for _ in range(20)]:
            self.api.wait_workflow(workflow, timeout=20)


if __name__ == "__main__":
    harness.main()
