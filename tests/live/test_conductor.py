#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How results reach a Conductor server: every outcome, hand-backs, a server that refuses or is away."""

import signal
import time
import urllib.request

import harness
from conductorcase import ConductorCase
from harness import eventually


class Outcomes(ConductorCase):
    def test_every_status(self):
        stub = self.stub()
        stub.define("work", retryCount=1, retryDelaySeconds=0)
        daemon = self.daemon(stub)
        done = stub.create("work", 1, input={"output": {"big": 12345678901234567890123}})
        failed = stub.create("work", 1, input={"result": {"status": "FAILED", "reason": "not today"}})
        terminal = stub.create("work", 1, input={"result": {"status": "FAILED_WITH_TERMINAL_ERROR"}})
        later = stub.create("work", 1, input={"result": {"status": "IN_PROGRESS", "callbackAfterSeconds": 1},
                                              "again": {"status": "COMPLETED"}, "output": {"kept": 1}})
        stub.wait("settled")
        self.assertEqual("COMPLETED", stub.task(done[0])["status"])
        self.assertEqual(("FAILED", "not today"),
                         tuple(stub.task(failed[0])[name] for name in ("status", "reasonForIncompletion")))
        self.assertEqual("FAILED_WITH_TERMINAL_ERROR", stub.task(terminal[0])["status"])
        task = stub.task(later[0])
        self.assertEqual(("COMPLETED", 2, 0, 1),
                         tuple(task[name] for name in ("status", "pollCount", "retryCount", "handedBack")))
        counts = stub.counts()
        self.assertEqual((1, 0), (counts["retries"], counts["undecided"]))
        self.wait_empty(daemon)
        server = daemon.pool("work")["server"]
        self.assertEqual((2, 3, 1, 0), tuple(server[name] for name in ("completed", "failed", "putBack", "handedBack")))

    def test_results_stay_as_they_are(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        output = r'{"z": 1.50e+3, "a": 12345678901234567890123, "a": -0.0, "s": "\u00e9\/"}'
        daemon.script("worker", f"""#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    if '"task"' in line:
        name = json.loads(line)["task"]["taskId"]
        print('{{"type": "result", "taskId": "' + name + '", "status": "COMPLETED", "output": ' + {output!r} + '}}', flush=True)
""")
        daemon.ctl("restart", "work")
        task = stub.create("work")[0]
        stub.wait("settled")
        with urllib.request.urlopen(f"{stub.server}/stub/task?id={task}") as answer:
            self.assertIn(output, answer.read().decode())

    def test_log_lines(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        lines = ["", *(f"line {i}" for i in range(25)), ""]
        task = stub.create("work", 1, input={"result": {"status": "COMPLETED", "logs": lines}})[0]
        self.wait_empty_after(stub, daemon)
        # ten with the update, fifteen as one entry
        self.assertEqual(11, stub.task(task)["logs"])
        self.assertEqual(0, stub.stats()["logsEmpty"])

    def wait_empty_after(self, stub, daemon):
        stub.wait("settled")
        self.wait_empty(daemon)

    def test_null_characters(self):
        stub = self.stub("--reject-nul")
        self.daemon(stub)
        stub.create("work", 1, input={"output": {"a": "x\0y"},
                                      "result": {"status": "COMPLETED", "logs": ["\0"], "reason": "\0"}})
        stub.create("work", 1, input={"result": {"status": "FAILED", "reason": "a\0b"}})
        stub.wait("settled")
        counts = stub.counts()
        self.assertEqual((1, 1, 0), (counts["COMPLETED"], counts["FAILED"], counts["undecided"]))
        self.assertEqual((0, 2), (stub.stats()["decides"], stub.stats()["updates"]))

    def test_a_server_without_update_v2(self):
        stub = self.stub("--no-update-v2")
        daemon = self.daemon(stub)
        stub.create("work", 50)
        stub.wait("settled")
        daemon.log.wait_for("has no update-v2")
        self.assertEqual([], stub.wrong())
        self.assertEqual(1, sum("has no update-v2" in line for line in daemon.log.lines))


class Stop(ConductorCase):
    def stop(self, daemon):
        self.assertEqual(0, daemon.stop(), daemon.log.text())

    def test_what_cannot_finish_goes_back(self):
        stub = self.stub()
        stub.define("work", retryCount=3, responseTimeoutSeconds=3600)
        daemon = self.daemon(stub, top='drain_timeout = "1s";', pool='workers = 2; concurrency = 5; stop_timeout = "200ms";')
        tasks = stub.create("work", 10, input={"gate": "never"})
        self.wait_runs(daemon, 10)
        self.stop(daemon)
        counts = stub.counts()
        self.assertEqual((10, 10, 0, 0), tuple(counts[n] for n in ("SCHEDULED", "handedBack", "retries", "IN_PROGRESS")))
        # the next one gets them
        self.open_gate(daemon, "never")
        daemon.start()
        stub.wait("settled", timeout=5)
        self.assertEqual({2}, {stub.task(task)["pollCount"] for task in tasks})
        self.assertEqual(0, stub.counts()["retries"])

    def test_an_overdue_poll_time_out_is_not_set_off(self):
        stub = self.stub()
        stub.define("work", pollTimeoutSeconds=1, retryCount=1, retryDelaySeconds=0)
        daemon = self.daemon(stub, top='drain_timeout = "0s";', pool='workers = 1; stop_timeout = "100ms";')
        task = stub.create("work", 1, input={"gate": "gate"})[0]
        since = time.monotonic()
        self.wait_runs(daemon, 1)
        eventually(lambda: time.monotonic() > since + 2.5, "it is overdue")
        self.stop(daemon)
        self.assertEqual(("SCHEDULED", 1), tuple(stub.task(task)[name] for name in ("status", "handedBack")))
        self.open_gate(daemon)
        daemon.start()
        stub.wait("settled", timeout=10)
        self.assertEqual(("COMPLETED", 2), tuple(stub.task(task)[name] for name in ("status", "pollCount")))
        self.assertEqual(0, stub.counts()["retries"])

    def test_results_are_delivered_first(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        stub.fault("slow", "/api/tasks*", method="POST", delayMsec=700, count=100)
        stub.create("work", 20, input={"gate": "gate"})
        self.wait_runs(daemon, 8)
        self.open_gate(daemon)
        self.stop(daemon)
        self.assertEqual(0, stub.counts()["IN_PROGRESS"])
        self.assertEqual(len(self.runs(daemon)), stub.counts()["COMPLETED"])
        self.assertEqual([], [task for task in stub.wrong() if task["status"] != "SCHEDULED"])

    def test_a_server_that_is_away_holds_nothing_up(self):
        stub = self.stub()
        daemon = self.daemon(stub, top='drain_timeout = "30s";')
        stub.create("work", 8, input={"gate": "gate"})
        self.wait_runs(daemon, 8)
        stub.away(4000)
        self.open_gate(daemon)
        eventually(lambda: len(self.outbox(daemon, "waiting")) == 8, "the results wait")
        self.assertEqual(0, daemon.stop(timeout=15))
        daemon.start()
        daemon.log.wait_for("answers again")
        stub.wait("settled")
        self.assertEqual({"COMPLETED": 8, "retries": 0, "polledAgain": 0},
                         {name: stub.counts()[name] for name in ("COMPLETED", "retries", "polledAgain")})
        self.assertEqual(8, len(self.runs(daemon)))
        self.wait_empty(daemon)


    def test_a_server_that_does_not_answer_holds_nothing_up(self):
        stub = self.stub()
        daemon = self.daemon(stub, top='drain_timeout = "30s";')
        stub.fault("never", "/api/tasks*", method="POST", count=100, apply=False)
        stub.create("work", 4, input={"gate": "gate"}, expect={})
        self.wait_runs(daemon, 4)
        daemon.signal(signal.SIGTERM)
        daemon.log.wait_for("draining: 4 tasks")
        self.open_gate(daemon)
        self.assertEqual(0, daemon.wait(timeout=20))
        stub.clear_faults()
        daemon.start()
        stub.wait("settled")
        self.assertEqual(([], 4), (stub.wrong(), len(self.runs(daemon))))


class Faults(ConductorCase):
    """Each of these is met by results that are on their way; none is lost, none is owed a decide."""

    def check(self, *faults, options=(), n=60, **keys):
        stub = self.stub(*options)
        daemon = self.daemon(stub, source='outbox = { backoff = "50ms"; backoff_max = "200ms"; };', **keys)
        for kind, members in faults:
            stub.fault(kind, **members)
        stub.create("work", n, input={"n": "@n@"}, expect={})
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual([], stub.wrong())
        counts = stub.counts()
        self.assertEqual((n, 0, 0), (counts["COMPLETED"], counts["undecided"], counts["retries"]))
        return stub, daemon

    def update(self, kind, **members):
        return kind, {"method": "POST", "path": "/api/tasks*", "every": 5, "count": 8, **members}

    def test_stored_and_not_continued(self):
        stub, _ = self.check(self.update("undecided"))
        self.assertGreater(stub.stats()["decides"], 0)

    def test_busy(self):
        self.check(self.update("status", status=500, retryable=True))

    def test_doubtful(self):
        self.check(self.update("status", status=500, retryable=False, apply=True))

    def test_unavailable(self):
        self.check(self.update("status", status=503, every=20, count=2))

    def test_html(self):
        self.check(self.update("status", status=502, html=True, every=20, count=2))

    def test_cut_before(self):
        self.check(self.update("reset-before"))

    def test_cut_in_the_middle(self):
        self.check(self.update("reset-middle"))

    def test_cut_after(self):
        stub, _ = self.check(self.update("reset-after"), options=["--no-update-v2"])
        self.assertGreater(stub.stats()["decides"], 0)

    def lost_next(self, kind):
        """An update-v2 whose answer cannot be read has handed out the next task."""
        stub, _ = self.check((kind, {"method": "POST", "path": "/api/tasks/update-v2", "every": 10, "count": 3}), n=100)
        self.assertGreater(stub.counts()["handedBack"], 0)
        self.assertLessEqual(stub.stats()["updatesWithNext"], 100)

    def test_cut_with_the_next_task(self):
        self.lost_next("reset-after")

    def test_truncated_next_task(self):
        self.lost_next("truncate")

    def test_unreadable_next_task(self):
        self.lost_next("garbage")

    def test_slow(self):
        self.check(self.update("slow", delayMsec=300, byteMsec=1))

    def test_decide_fails(self):
        self.check(self.update("undecided"),
                   ("status", {"path": "/api/workflow/decide/*", "status": 500, "retryable": True, "count": 5}))

    def test_away(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        stub.create("work", 200, input={"sleep": 0.01}, expect={})
        stub.wait("completed", 20)
        stub.away(2500)
        daemon.log.wait_for("answers again")
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual([], stub.wrong())
        self.assertEqual(0, stub.counts()["retries"])
        daemon.log.wait_for("answers again")


class Retries(ConductorCase):
    N_REFUSED = 2000

    def test_what_is_refused_for_now_holds_up_nothing_else(self):
        stub = self.stub("--no-update-v2")
        daemon = self.daemon(stub, source='connections = 1; outbox = { backoff = "10ms"; backoff_max = "10ms"; };')
        fault = stub.fault("status", "/api/tasks/*/log", method="POST", count=10**6, status=500, retryable=True)
        lines = [f"line {i}" for i in range(12)]
        stub.create("work", self.N_REFUSED, input={"result": {"status": "COMPLETED", "logs": lines}})
        stub.wait("completed", self.N_REFUSED)
        eventually(lambda: stub.faults()[fault]["fired"] > 2 * self.N_REFUSED, "each was tried again")
        before = stub.faults()[fault]["fired"]
        stub.create("work", 1)
        stub.wait("completed", self.N_REFUSED + 1)
        self.assertLess(stub.faults()[fault]["fired"] - before, self.N_REFUSED / 2)
        stub.clear_faults()
        self.wait_empty(daemon)


class DeadLetters(ConductorCase):
    SOURCE = 'outbox = { backoff = "10ms"; backoff_max = "20ms"; attempts = 3; };'

    def bury(self, **fault):
        stub = self.stub("--no-update-v2")
        daemon = self.daemon(stub, source=self.SOURCE)
        stub.create("work", 1)
        stub.wait("settled")
        stub.fault("status", "/api/tasks", method="POST", count=1000, **fault)
        stub.create("work", 1)
        letter = eventually(lambda: self.outbox(daemon, "dead"), "a dead letter")[0]
        return stub, daemon, letter

    def test_refused_at_once(self):
        stub, daemon, letter = self.bury(status=400, retryable=False)
        self.assertIn("400", letter["reason"])
        self.assertEqual(1, stub.faults()[max(stub.faults())]["fired"])
        # it holds nothing up
        stub.clear_faults()
        stub.create("work", 3)
        stub.wait("completed", 4)
        daemon.ctl("outbox", "retry", letter["name"])
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual(5, stub.counts()["COMPLETED"])

    def test_refused_in_the_end(self):
        stub, daemon, letter = self.bury(status=500, retryable=False)
        self.assertIn("500", letter["reason"])
        # nothing else is accepted, so it was tried for longer
        self.assertEqual(30, stub.faults()[max(stub.faults())]["fired"])
        shown = daemon.ctl("outbox", "show", letter["name"]).stdout
        self.assertIn('"status":"COMPLETED"', shown)
        daemon.ctl("outbox", "drop", letter["name"], "--yes")
        self.assertEqual([], self.outbox(daemon))
        self.assertEqual(1, stub.counts()["IN_PROGRESS"])

    def test_they_survive(self):
        stub, daemon, letter = self.bury(status=400, retryable=False)
        daemon.signal(signal.SIGKILL)
        daemon.process.wait()
        stub.clear_faults()
        daemon.start()
        self.assertEqual([letter["name"]], [message["name"] for message in self.outbox(daemon, "dead")])
        daemon.ctl("outbox", "retry", "--all")
        stub.wait("settled")

    def test_what_waits_can_be_dropped(self):
        stub = self.stub("--no-update-v2")
        daemon = self.daemon(stub, source='outbox = { backoff = "1h"; backoff_max = "1h"; };')
        stub.fault("status", "/api/tasks*", method="POST", count=1000, status=500, retryable=True)
        stub.create("work", 1)
        letter = eventually(lambda: self.outbox(daemon, "waiting"), "it waits")[0]
        eventually(lambda: daemon.ctl("outbox", "drop", letter["name"], "--yes", status=None).returncode == 0, "dropped")
        self.assertEqual([], self.outbox(daemon))


if __name__ == "__main__":
    harness.main()
