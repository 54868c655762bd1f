#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Oddities of Conductor servers, and of what stands before them, that a daemon must not stumble over."""

import json
import signal
import time

import harness
from conductorcase import ConductorCase
from harness import eventually

HASTY = 'drain_timeout = "100ms";'
SMALL = 'workers = 1; stop_timeout = "100ms";'
QUICK = 'outbox = { backoff = "20ms"; backoff_max = "100ms"; };'
HTML = "<!doctype html><html><head><title>Sign in</title></head><body></body></html>"


class Polls(ConductorCase):
    def test_a_domain_is_kept_alive_without_taking_anything(self):
        """A negative count is all tasks, one is one too many."""
        stub = self.stub()
        daemon = self.daemon(stub, pool='workers = 1; domain = "eu";')
        stub.create("work", 4, domain="eu", input={"gate": "gate"})
        self.wait_runs(daemon, 1)
        queue = lambda: next(queue for queue in stub.queues() if queue.get("domain") == "eu")
        polls = queue()["polls"]
        eventually(lambda: queue()["polls"] > polls, "a poll that keeps the domain alive", 12)
        self.assertEqual((3, 0), (queue()["ready"], stub.counts()["handedBack"]))
        self.open_gate(daemon)
        stub.wait("settled")
        self.assertEqual(0, stub.counts()["polledAgain"])

    def test_a_task_in_hand_that_is_given_out_again(self):
        """A requeue does that. It is being done, and is done once."""
        stub = self.stub()
        daemon = self.daemon(stub)
        task, = stub.create("work", 1, input={"gate": "gate"})
        self.wait_runs(daemon, 1)
        flow = stub.task(task)["workflowInstanceId"]
        again = {"taskId": task, "taskType": "work", "workflowInstanceId": flow, "status": "IN_PROGRESS",
                 "inputData": {}, "pollCount": 2}
        fault = stub.fault("status", "/api/tasks/poll/*", status=200, body=json.dumps([again]))
        eventually(lambda: stub.faults()[fault]["fired"], "it is given out again", 20)
        stub.create("work", 1)
        stub.wait("completed", 1)
        self.open_gate(daemon)
        stub.wait("settled")
        self.assertEqual(1, [run[0] for run in self.runs(daemon)].count(task))
        self.assertEqual(0, stub.task(task)["ignored"])

    def test_a_lost_answer_makes_the_daemon_look_for_its_tasks_at_once(self):
        """Not only when it starts: the looks of a start are over 30 s later."""
        for path in ("/api/tasks/poll/*", "/api/tasks/update-v2"):
            with self.subTest(path):
                stub = self.stub()
                self.daemon(stub)
                eventually(lambda: stub.stats()["searches"] >= 1, "the look at the start")
                stub.reset_stats()
                stub.fault("reset-after", path)
                stub.create("work", 1)
                # one of the start, five seconds after the first; two for the answer
                eventually(lambda: stub.stats()["searches"] >= 3, "the looks for what the answer brought", 20)
                stub.wait("settled")
                self.assertEqual(0, stub.counts()["retries"])

    def test_a_page_instead_of_an_answer(self):
        """Of a proxy that wants a login, with status 200: no task, and none is lost."""
        stub = self.stub()
        self.daemon(stub)
        stub.wait("polls")
        stub.fault("status", "/api/tasks/poll/*", status=200, body=HTML, contentType="text/html", count=3)
        stub.create("work", 20)
        stub.wait("settled")
        self.assertEqual([], stub.wrong())


class Results(ConductorCase):
    N = 40

    def check(self, kind, *options, **fault):
        stub = self.stub(*options)
        daemon = self.daemon(stub, source=QUICK)
        rule = stub.fault(kind, "/api/tasks*", method="POST", **{"every": 5, "count": 6, **fault})
        stub.create("work", self.N, input={"output": {"n": "@n@"}}, expect={"n": "@n@"})
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual([], stub.wrong())
        self.assertGreater(stub.faults()[rule]["fired"], 0)
        counts = stub.counts()
        self.assertEqual((self.N, 0, 0), tuple(counts[name] for name in ("COMPLETED", "undecided", "retries")))
        self.assertNotIn("dead letter", daemon.log.text())
        if kind == "status":
            self.assertEqual(0, counts["polledAgain"])
        return stub

    def test_not_found_says_a_proxy(self):
        """Not the server: so it may well know the task."""
        self.check("status", status=404, body=HTML, contentType="text/html", every=20, count=2)

    def test_not_found_without_a_word(self):
        self.check("status", status=404, body="", contentType="text/plain", every=20, count=2)

    def test_a_page_with_status_200(self):
        """Nothing has been accepted."""
        for options in ((), ("--no-update-v2",)):
            with self.subTest(options):
                self.check("status", *options, status=200, body=HTML, contentType="text/html", every=15, count=2)

    def test_a_server_may_take_eleven_seconds(self):
        """A write to its SQLite did. Whoever gives up sooner sends everything again, to a server that is slow."""
        stub = self.check("slow", delayMsec=11_000, every=1, count=1)
        self.assertEqual((self.N, 0), tuple(stub.stats()[name] for name in ("updates", "decides")))

    def test_empty_log_lines(self):
        """The server stores such a result and fails then; here it is accepted at the first try."""
        stub = self.stub()
        daemon = self.daemon(stub)
        lines = ["", {"log": ""}, {"log": None}, {}, None, "a", *[""] * 20]
        task, = stub.create("work", 1, input={"result": {"status": "COMPLETED", "logs": lines}})
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual((1, 0), tuple(stub.stats()[name] for name in ("updates", "decides")))
        self.assertEqual(1, stub.task(task)["logs"])

    def test_connections_that_end_after_some_requests(self):
        """That is no failure: nothing is sent twice, nothing is looked for."""
        stub = self.stub("--requests-per-connection=3")
        daemon = self.daemon(stub)
        stub.create("work", 500)
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual([], stub.wrong())
        stats = stub.stats()
        self.assertEqual((500, 0), (stats["updates"], stats["decides"]))
        self.assertGreater(stats["connections"], 100)
        self.assertNotIn("is away", daemon.log.text())


class HandBack(ConductorCase):
    """pollTimeoutSeconds is over: a hand-back is timed out in that very request unless its delay says otherwise."""

    def held(self, **keys):
        stub = self.stub()
        stub.define("work", retryCount=0, pollTimeoutSeconds=1, responseTimeoutSeconds=600)
        daemon = self.daemon(stub, pool=SMALL, top=HASTY, **keys)
        task, = stub.create("work", 1, input={"gate": "gate"})
        self.wait_runs(daemon, 1)
        # so long that the least delay of a hand-back does not save it
        over = time.time() + 2.1
        eventually(lambda: time.time() > over, "its poll timeout is over")
        return stub, daemon, task

    def finishes(self, stub, daemon, task):
        self.open_gate(daemon)
        stub.wait("settled", timeout=20)
        self.assertEqual(("COMPLETED", 0, 2), tuple(stub.task(task)[n] for n in ("status", "retryCount", "pollCount")))

    def test_at_a_drain(self):
        stub, daemon, task = self.held()
        self.assertEqual(0, daemon.stop())
        self.assertEqual(("SCHEDULED", 1), tuple(stub.task(task)[n] for n in ("status", "handedBack")))
        daemon.start()
        self.finishes(stub, daemon, task)

    def test_after_a_crash(self):
        stub, daemon, task = self.held()
        self.restart(daemon)
        eventually(lambda: stub.task(task)["handedBack"] == 1, "it goes back")
        self.finishes(stub, daemon, task)

    def test_of_the_handlers_own(self):
        stub = self.stub()
        stub.define("work", retryCount=0, pollTimeoutSeconds=1, responseTimeoutSeconds=600)
        self.daemon(stub)
        task, = stub.create("work", 1, input={"sleep": 2.5, "result": {"status": "IN_PROGRESS", "callbackAfterSeconds": 1},
                                              "again": {"status": "COMPLETED"}})
        stub.wait("settled", timeout=20)
        self.assertEqual(("COMPLETED", 2), tuple(stub.task(task)[n] for n in ("status", "pollCount")))


class Drain(ConductorCase):
    def test_results_bring_no_task(self):
        """An update-v2 would; it would only go back."""
        stub = self.stub()
        daemon = self.daemon(stub, pool="workers = 1; concurrency = 4;")
        stub.create("work", 20, input={"gate": "gate"})
        self.wait_runs(daemon, 4)
        daemon.signal(signal.SIGTERM)
        daemon.log.wait_for("draining: 4 tasks")
        self.open_gate(daemon)
        self.assertEqual(0, daemon.wait())
        counts = stub.counts()
        self.assertEqual((4, 16, 0), tuple(counts[name] for name in ("COMPLETED", "SCHEDULED", "handedBack")))


class Full(ConductorCase):
    def test_a_full_outbox_fetches_nothing(self):
        """And drops nothing."""
        stub = self.stub()
        daemon = self.daemon(stub, source='outbox = { max_bytes = "1M"; backoff = "20ms"; backoff_max = "100ms"; };')
        fault = stub.fault("status", "/api/tasks*", method="POST", status=500, retryable=True, count=1_000_000)
        stub.create("work", 40, input={"output": {"data": "x" * 100_000}})
        server = lambda: daemon.pool("work")["server"]
        eventually(lambda: self.outbox(daemon, "waiting") and server()["polls"] == 0 and server()["inHand"] == 0,
                   "it polls no more")
        self.assertGreater(stub.counts()["SCHEDULED"], 0)
        self.assertGreater(stub.faults()[fault]["fired"], 0)
        stub.clear_faults()
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual((40, 0), (stub.counts()["COMPLETED"], stub.counts()["polledAgain"]))
        self.assertEqual(40, len(self.runs(daemon)))


if __name__ == "__main__":
    harness.main()
