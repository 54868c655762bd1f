#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a daemon that serves a Conductor server: each task ends with its handler's result, once."""

import os
import random
import time

import harness
from conductorcase import ConductorCase
from harness import SOURCE_ROOT, eventually

# How long daemons are killed under load.
CHAOS_SECONDS = 20
# Each leaves some ten tasks whose answer nobody read; the next daemons hand back twenty of them a second.
KILLS_MAX = 60
SETTLE_SECONDS = 120


class Crash(ConductorCase):
    def caught(self, stub, fault, n=1):
        eventually(lambda: stub.faults()[fault]["fired"] >= n, "the answer is held back")

    def between_result_and_answer(self, **fault):
        stub = self.stub()
        daemon = self.daemon(stub)
        held = stub.fault("never", "/api/tasks*", method="POST", count=3, **fault)
        tasks = stub.create("work", 3, expect={})
        self.caught(stub, held, 3)
        daemon.kill()
        stub.clear_faults()
        daemon.start()
        self.wait_empty(daemon)
        stub.wait("settled")
        self.assertEqual([], stub.wrong())
        self.assertEqual(3, len(self.runs(daemon)))
        # it cannot know whether the server went on
        self.assertEqual(3, stub.stats()["decides"])
        return [stub.task(task)["ignored"] for task in tasks]

    def test_result_that_the_server_has(self):
        self.assertEqual([1, 1, 1], self.between_result_and_answer())

    def test_result_that_the_server_has_not(self):
        self.assertEqual([0, 0, 0], self.between_result_and_answer(apply=False))

    def test_tasks_in_hand_go_back(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        tasks = stub.create("work", 8, input={"gate": "gate"})
        self.wait_runs(daemon, 8)
        daemon.kill()
        self.open_gate(daemon)
        daemon.start()
        stub.wait("settled", timeout=10)
        for task in map(stub.task, tasks):
            self.assertEqual(("COMPLETED", 2, 0, 1),
                             tuple(task[name] for name in ("status", "pollCount", "retryCount", "handedBack")))
        daemon.log.wait_for("handing back 8 tasks")
        self.wait_empty(daemon)

    def test_tasks_in_hand_that_another_has_by_now(self):
        stub = self.stub()
        # full, so that no poll is left behind that would get it
        daemon = self.daemon(stub, pool="workers = 1;")
        task = stub.create("work", 1, input={"gate": "never"})[0]
        self.wait_runs(daemon, 1)
        daemon.kill()
        flow = stub.task(task)["workflowInstanceId"]
        stub.call("POST", "/api/tasks", {"taskId": task, "workflowInstanceId": flow, "status": "IN_PROGRESS"})
        stub.call("GET", "/api/tasks/poll/batch/work?workerid=other&count=1&timeout=1000")
        daemon.start()
        daemon.log.wait_for("is dropped")
        self.wait_empty(daemon)
        after = stub.task(task)
        self.assertEqual(("IN_PROGRESS", "other", 2), tuple(after[n] for n in ("status", "workerId", "pollCount")))

    def test_the_third_time_it_is_poison(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        task = stub.create("work", 1, input={"gate": "never"})[0]
        for run in range(3):
            self.wait_runs(daemon, run + 1)
            self.restart(daemon)
        stub.wait("settled", timeout=10)
        after = stub.task(task)
        self.assertEqual("FAILED", after["status"])
        self.assertIn("3 daemons in a row died", after["reasonForIncompletion"])
        self.assertEqual(3, len(self.runs(daemon)))

    def test_two_crashes_and_a_drain_are_no_poison(self):
        stub = self.stub()
        daemon = self.daemon(stub, top='drain_timeout = "100ms";', pool='workers = 1; stop_timeout = "100ms";')
        task = stub.create("work", 1, input={"gate": "gate"})[0]
        for run in range(2):
            self.wait_runs(daemon, run + 1)
            self.restart(daemon)
        self.wait_runs(daemon, 3)
        self.assertEqual(0, daemon.stop())
        daemon.start()
        self.wait_runs(daemon, 4)
        self.restart(daemon)
        self.wait_runs(daemon, 5)
        self.open_gate(daemon)
        stub.wait("settled")
        self.assertEqual("COMPLETED", stub.task(task)["status"])

    def test_while_the_server_is_away(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        stub.create("work", 8, input={"gate": "gate"}, expect={})
        self.wait_runs(daemon, 8)
        stub.away(5000)
        self.open_gate(daemon)
        eventually(lambda: len(self.outbox(daemon, "waiting")) == 8, "the results wait")
        for _ in range(2):
            self.restart(daemon)
            self.assertEqual(8, len(self.outbox(daemon, "waiting")))
        daemon.log.wait_for("answers again")
        stub.wait("settled")
        self.assertEqual([], stub.wrong())
        self.assertEqual(8, len(self.runs(daemon)))
        self.wait_empty(daemon)

    def test_in_hand_while_the_server_is_away(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        stub.create("work", 4, input={"gate": "gate"}, expect={})
        self.wait_runs(daemon, 4)
        stub.away(4000)
        self.restart(daemon)
        self.open_gate(daemon)
        daemon.log.wait_for("answers again")
        stub.wait("settled")
        self.assertEqual([], stub.wrong())
        self.assertEqual((4, 0), (stub.counts()["handedBack"], stub.counts()["retries"]))


class Chaos(ConductorCase):
    def test_killed_at_random(self):
        stub = self.stub()
        daemon = self.daemon(stub, pool="workers = 2; concurrency = 8;")
        witness = os.path.join(SOURCE_ROOT, "tests", "handlers", "witness.py")
        daemon.script("worker", f'#!/bin/sh\nexec python3 "{witness}" "{daemon.path("witness")}" persistent\n')
        daemon.ctl("restart", "work")
        chance = random.Random(4)
        end = time.monotonic() + CHAOS_SECONDS
        n_kills = 0
        while time.monotonic() < end and n_kills < KILLS_MAX:
            # each daemon gets something done before it dies, at a point that nobody chose
            done = stub.counts()["COMPLETED"]
            stub.create("work", 200)
            stub.wait("completed", done + chance.randrange(50, 150))
            time.sleep(chance.random() * 0.05)
            self.restart(daemon)
            n_kills += 1
        stub.wait("settled", timeout=SETTLE_SECONDS)
        self.wait_empty(daemon)
        self.account(stub, daemon)
        print(f"# {n_kills} kills, {stub.counts()}")

    def account(self, stub, daemon):
        with open(daemon.path("witness"), encoding="utf-8") as file:
            told = {tuple(line.split()[:3]) for line in file if line.strip()}
        poisoned = [task for task in stub.wrong() if "3 daemons" in task.get("reasonForIncompletion", "")]
        self.assertEqual([], [task for task in stub.wrong() if task not in poisoned])
        counts = stub.counts()
        # a task that came back may meet two more crashes
        self.assertLess(len(poisoned), 3 + counts["handedBack"] / 20)
        self.assertEqual((0, 0, 0), tuple(counts[name] for name in ("IN_PROGRESS", "undecided", "retries")))
        for task in stub.call("GET", "/stub/tasks", limit=100_000)["tasks"]:
            if task["status"] == "COMPLETED":
                output = task["outputData"]
                self.assertIn((task["taskId"], str(output["attempt"]), output["nonce"]), told)


if __name__ == "__main__":
    harness.main()
