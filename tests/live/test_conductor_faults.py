#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Conductor server, or what stands before it, that fails: whatever it does, each task ends with its handler's
own result, once, no retry is spent, and nothing stays behind."""

import contextlib
import os
import unittest

import harness
from harness import Daemon, eventually
from stub import Stub

ECHO = """#!/usr/bin/env python3
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("type") == "task":
        task = message["task"]
        time.sleep(task["inputData"].get("sleep", 0))
        print(json.dumps({"type": "result", "taskId": task["taskId"], "status": "COMPLETED",
                          "output": task["inputData"]}), flush=True)
"""

POLL = "/api/tasks/poll/*"
UPDATE = "/api/tasks*"

# What does not reach the server, or is no answer of its own.
UNSEEN = {
    "503": {"kind": "status", "status": 503},
    "503 with Retry-After": {"kind": "status", "status": 503, "retryAfter": "1"},
    "429 with Retry-After": {"kind": "status", "status": 429, "retryAfter": "1"},
    "502 as a page": {"kind": "status", "status": 502, "html": True},
    "404 as a page": {"kind": "status", "status": 404, "html": True},
    "200 as a page": {"kind": "status", "status": 200, "html": True},
    "500 as a page": {"kind": "status", "status": 500, "html": True},
    "500, retryable": {"kind": "status", "status": 500, "retryable": True},
    "500, not retryable": {"kind": "status", "status": 500, "retryable": False},
    "reset before": {"kind": "reset-before"},
    "slow": {"kind": "slow", "delayMsec": 300},
    "byte by byte": {"kind": "slow", "delayMsec": 0, "byteMsec": 3},
}

# Acted on, but that does not come back.
UNREAD = {
    "reset after": {"kind": "reset-after"},
    "truncated": {"kind": "truncate"},
    "garbage": {"kind": "garbage"},
}

UPDATES = {
    "reset in the middle": {"kind": "reset-middle"},
    "stored, not decided": {"kind": "undecided"},
    "500, but stored": {"kind": "status", "status": 500, "retryable": False, "apply": True},
    "503, but stored": {"kind": "status", "status": 503, "apply": True},
}


class Faults(unittest.TestCase):
    def stub(self, *options):
        stub = Stub(*options)
        self.addCleanup(stub.stop)
        return stub

    def daemon(self, stub, keys="", **pool):
        settings = "".join(f" {key} = {value};" for key, value in pool.items())
        daemon = Daemon(f'sources: {{ prod: {{ type = "conductor"; url = "{stub.url}"; {keys} }}; }};\n'
                        'pools: { echo: { source = "prod"; workers = 2; concurrency = 5; handler = '
                        f'{{ mode = "persistent"; command = "@DIR@/echo"; }};{settings} }}; }};\n')
        self.addCleanup(daemon.remove)
        daemon.script("echo", ECHO)
        return daemon

    def start(self, daemon):
        daemon.start()
        self.addCleanup(daemon.stop)
        return daemon

    def create(self, stub, count, **task_input):
        task_input["n"] = "@n@"
        return stub.create("echo", count, input=task_input, expect=task_input)

    def outbox(self, daemon):
        return daemon.ctl_json("outbox", "list")["messages"]

    def source(self, daemon):
        return daemon.call("ListSources")["sources"][0]

    def back(self, stub):
        """Until the stub can be asked again."""
        def answers():
            with contextlib.suppress(OSError):
                return stub.stats()
        eventually(answers, "the stub is back", 180)

    def check_end(self, stub, daemon, count, timeout=None):
        """Of all tasks so far."""
        self.back(stub)
        stub.wait("settled", timeout=timeout)
        counts = stub.counts()
        self.assertEqual(stub.wrong(), [], counts)
        self.assertEqual((counts["COMPLETED"], counts["retries"], counts["undecided"]), (count, 0, 0), counts)
        eventually(lambda: self.outbox(daemon) == [], "the outbox is empty")

    def run_faults(self, faults, path, method, count):
        stub = self.stub()
        daemon = self.start(self.daemon(stub))
        done = 0
        for name, fault in faults.items():
            with self.subTest(name):
                fault_id = stub.fault(path=path, method=method, count=count, **fault)
                self.create(stub, 30, sleep=0.02)
                done += 30
                self.check_end(stub, daemon, done, timeout=60)
                self.assertGreater(stub.faults()[fault_id]["fired"], 0, name)
            stub.clear_faults()
            eventually(lambda: self.source(daemon)["server"]["failures"] == 0, "the server has settled")
        self.assertEqual(stub.wrong(), [])

    def test_updates_that_the_server_does_not_see(self):
        self.run_faults(UNSEEN, UPDATE, "POST", 3)

    def test_updates_whose_answer_does_not_come(self):
        self.run_faults(UNREAD, UPDATE, "POST", 3)

    def test_updates_that_fail_halfway(self):
        self.run_faults(UPDATES, UPDATE, "POST", 3)

    def test_polls_that_the_server_does_not_see(self):
        self.run_faults(UNSEEN, POLL, "GET", 2)

    def test_polls_whose_answer_does_not_come(self):
        self.run_faults(UNREAD, POLL, "GET", 2)

    def test_an_answer_that_never_comes(self):
        stub = self.stub()
        daemon = self.start(self.daemon(stub))
        stub.fault("never", UPDATE, method="POST", count=1)
        stub.fault("never", POLL, count=1)
        self.create(stub, 20, sleep=0.05)
        self.check_end(stub, daemon, 20, timeout=90)

    def test_a_server_that_is_away(self):
        msec = int(os.environ.get("YARDMASTER_TEST_AWAY_MSEC", "5000"))
        stub = self.stub()
        daemon = self.start(self.daemon(stub))
        self.create(stub, 60, sleep=0.5)
        stub.wait("completed", 10)
        stub.away(msec)
        eventually(lambda: self.source(daemon)["server"].get("cause") == "connect", "status tells the cause")
        source = self.source(daemon)
        self.assertEqual(source["state"], "failing")
        self.assertIn("check that the server runs", source["problem"]["message"])
        daemon.log.wait_for("is away")
        daemon.log.wait_for("answers again", timeout=msec / 1000 + 60)
        self.check_end(stub, daemon, 60, timeout=60)
        self.assertIsNone(self.source(daemon).get("problem"))
        text = daemon.log.text()
        self.assertEqual((text.count("is away"), text.count("answers again")), (1, 1))

    def test_a_server_that_is_away_at_start(self):
        stub = self.stub()
        self.create(stub, 20)
        stub.away(3000)
        daemon = self.start(self.daemon(stub))
        self.check_end(stub, daemon, 20)

    def test_a_dead_server_slows_no_other(self):
        dead, stub = self.stub(), self.stub()
        daemon = self.daemon(stub)
        with open(daemon.config_path, encoding="utf-8") as file:
            config = file.read()
        config = config.replace("sources: {", f'sources: {{ dead: {{ type = "conductor"; url = "{dead.url}"; }};')
        config = config.replace("pools: {", 'pools: { other: { source = "dead"; workers = 1; handler = '
                                '{ mode = "persistent"; command = "@DIR@/echo"; }; };')
        daemon.write("yardmaster.conf", config.replace("@DIR@", daemon.directory))
        dead.create("other", 1)
        dead.away(6000)
        self.start(daemon)
        daemon.log.wait_for("source 'dead' is away")
        self.create(stub, 200)
        self.check_end(stub, daemon, 200, timeout=30)
        self.assertNotIn("source 'prod' is away", daemon.log.text())
        self.back(dead)
        dead.wait("settled")

    def test_results_that_wait_survive_the_daemon(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        daemon.start()
        self.create(stub, 10, sleep=0.3)
        stub.wait("in-progress", 10)
        stub.away(4000)
        eventually(lambda: len([m for m in self.outbox(daemon) if m["state"] == "waiting"]) == 10, "results wait")
        daemon.kill()
        self.start(daemon)
        self.check_end(stub, daemon, 10)
        self.assertEqual(stub.counts()["handedBack"], 0)

    def test_one_bad_answer_stops_nothing_else(self):
        stub = self.stub()
        daemon = self.start(self.daemon(stub))
        stub.fault("status", UPDATE, method="POST", status=502, html=True, every=10, count=20)
        self.create(stub, 300)
        self.check_end(stub, daemon, 300)

    def test_a_refused_result_can_be_sent_again(self):
        stub = self.stub()
        daemon = self.start(self.daemon(stub))
        for status in 400, 404, 409, 413:
            with self.subTest(status):
                stub.fault("status", UPDATE, method="POST", status=status, durationMsec=60000)
                task_id, = self.create(stub, 1)
                dead = eventually(lambda: [m for m in self.outbox(daemon) if m["state"] == "dead"], "a dead letter")
                self.assertEqual([m["taskId"] for m in dead], [task_id])
                self.assertIn(f"HTTP {status}", dead[0]["reason"])
                stub.clear_faults()
                daemon.ctl("outbox", "retry", dead[0]["name"])
                stub.wait("settled")
                self.assertEqual(stub.wrong(), [])
                eventually(lambda: self.outbox(daemon) == [], "the outbox is empty")

    def test_what_the_server_dislikes_for_long_is_a_dead_letter(self):
        stub = self.stub()
        daemon = self.start(self.daemon(stub, 'outbox = { attempts = 1; backoff = "50ms"; backoff_max = "50ms"; };'))
        stub.fault("status", UPDATE, method="POST", status=500, retryable=False, durationMsec=60000)
        self.create(stub, 1)
        eventually(lambda: [m["state"] for m in self.outbox(daemon)] == ["dead"], "a dead letter")
        stub.clear_faults()
        daemon.ctl("outbox", "retry", "--all")
        self.check_end(stub, daemon, 1)


    def with_key(self, stub, secret, keys=""):
        daemon = self.daemon(
            stub, f'auth = {{ key_id = "the-key"; secret_file = "@DIR@/secret"; {keys} }};')
        daemon.write("secret", secret, 0o600)
        return daemon

    def test_tokens_that_expire(self):
        stub = self.stub("--auth=the-key:the-secret", "--token-ttl=2")
        daemon = self.start(self.with_key(stub, "the-secret"))
        self.create(stub, 200, sleep=0.15)
        for completed in 20, 60, 100:
            stub.wait("completed", completed)
            stub.call("POST", "/stub/expire-tokens")
        self.check_end(stub, daemon, 200)
        self.assertGreaterEqual(stub.stats()["tokens"], 4)
        self.assertEqual(stub.counts()["handedBack"], 0)
        self.assertNotIn("is away", daemon.log.text())
        self.check_secrecy(daemon, "the-secret")

    def test_tokens_are_renewed_before_they_expire(self):
        stub = self.stub("--auth=the-key:the-secret", "--token-ttl=3")
        daemon = self.start(self.with_key(stub, "the-secret", 'refresh = "2s";'))
        self.create(stub, 60, sleep=1)
        self.check_end(stub, daemon, 60)
        self.assertNotIn("is away", daemon.log.text())

    def test_a_refused_key(self):
        stub = self.stub("--auth=the-key:the-secret")
        self.create(stub, 10)
        daemon = self.start(self.with_key(stub, "another-secret"))
        daemon.log.wait_for(r"is away \(auth\)")
        source = eventually(lambda: self.source(daemon), "the source")
        self.assertEqual(source["server"]["cause"], "auth")
        self.assertIn("check auth.key_id", source["problem"]["message"])
        self.check_secrecy(daemon, "another-secret")
        daemon.write("secret", "the-secret", 0o600)
        daemon.ctl("reload")
        self.check_end(stub, daemon, 10)
        self.check_secrecy(daemon, "the-secret")

    def test_a_server_that_knows_no_tokens(self):
        stub = self.stub()
        daemon = self.start(self.with_key(stub, "the-secret"))
        self.create(stub, 10)
        self.check_end(stub, daemon, 10)
        self.assertEqual(daemon.log.text().count("knows no tokens"), 1)

    def check_secrecy(self, daemon, secret):
        shown = daemon.log.text() + daemon.ctl("config", "dump").stdout + daemon.ctl("status", "--json").stdout
        with open(f"/proc/{daemon.process.pid}/cmdline", encoding="utf-8") as file:
            shown += file.read()
        for text in secret, "stub-1", "stub-2":
            self.assertNotIn(text, shown)


if __name__ == "__main__":
    harness.main()
