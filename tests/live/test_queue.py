# SPDX-License-Identifier: Apache-2.0
"""What the embedded queue promises, as a user sees it through the socket."""

import sqlite3
import time
import unittest

import harness

WORKER = """#!/usr/bin/env python3
# Answers with what it was given; waits for a file to appear where the input names one.
import json, os, sys, time
order = open("order", "a")
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    task = message["task"]
    given = task["inputData"]
    order.write(str(given.get("name")) + "\\n")
    order.flush()
    while "gate" in given and not os.path.exists(given["gate"]):
        time.sleep(0.005)
    status = "FAILED" if task["retryCount"] < given.get("failures", 0) else "COMPLETED"
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": status,
                      "reason": "not yet", "output": given}), flush=True)
"""

CONFIG = """
sources: {{ local: {{ type = "queue"; {source} }}; }};
pools: {{
  work: {{ source = "local"; working_directory = "@DIR@";
          handler = {{ command = ["@DIR@/worker.py"]; mode = "persistent"; }};
          retry = {{ attempts = 2; backoff = "10ms"; backoff_max = "10ms"; }}; {pool} }};
}};
"""


class Queue(unittest.TestCase):
    def daemon(self, source="", pool=""):
        daemon = harness.Daemon()
        daemon.script("worker.py", WORKER)
        daemon.write_config(CONFIG.format(source=source, pool=pool))
        return daemon

    def order(self, daemon):
        """Names of the tasks that the worker has begun."""
        try:
            with open(daemon.path("order"), encoding="utf-8") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def hold(self, daemon):
        """A task that keeps the only worker busy until the gate opens."""
        gate = daemon.path("gate")
        task_id = daemon.submit("work", {"name": "first", "gate": gate})
        harness.eventually(lambda: "first" in self.order(daemon), "the worker is busy")
        return task_id, lambda: open(gate, "w", encoding="utf-8").close()

    def test_higher_priority_goes_first(self):
        with self.daemon() as daemon:
            _, open_gate = self.hold(daemon)
            ids = [daemon.submit("work", {"name": name}, priority=priority)
                   for name, priority in (("low", -5), ("normal", 0), ("high", 5))]
            open_gate()
            daemon.wait_task(*ids)
            self.assertEqual(self.order(daemon), ["first", "high", "normal", "low"])

    def test_an_old_task_of_low_priority_does_not_starve(self):
        with self.daemon(source='priority_step = "10ms";') as daemon:
            _, open_gate = self.hold(daemon)
            old = daemon.submit("work", {"name": "old"}, priority=-1)
            created = daemon.task(old)["scheduledTime"]
            harness.eventually(lambda: time.time() * 1000 > created + 50, "the old one has waited")
            new = daemon.submit("work", {"name": "new"}, priority=1)
            open_gate()
            daemon.wait_task(old, new)
            self.assertEqual(self.order(daemon), ["first", "old", "new"])

    def test_delay_and_run_time(self):
        with self.daemon() as daemon:
            task = daemon.run_task("work", {}, delayMsec=150)
            self.assertGreaterEqual(task["startTime"], task["scheduledTime"] + 150)
            at = int(time.time() * 1000) + 200
            task = daemon.run_task("work", {}, runTime=at)
            self.assertGreaterEqual(task["startTime"], at)

    def test_unique_keys(self):
        with self.daemon() as daemon:
            first, open_gate = self.hold(daemon)
            keyed = daemon.submit("work", {"name": "a"}, unique="k")
            with self.assertRaises(harness.VarlinkError) as caught:
                daemon.submit("work", {"name": "b"}, unique="k")
            self.assertEqual(caught.exception.name, "io.yardmaster.Manager.DuplicateTask")
            self.assertEqual(caught.exception.parameters["taskId"], keyed)
            self.assertEqual(daemon.submit("work", {}, unique="k", conflict="return_existing"), keyed)
            replaced = daemon.submit("work", {"name": "c"}, unique="k", conflict="replace")
            open_gate()
            self.assertEqual(daemon.wait_task(replaced)["output"], {"name": "c"})
            self.assertNotIn("a", self.order(daemon))
            # A finished task no longer holds its key.
            self.assertEqual(daemon.run_task("work", {}, unique="k")["status"], "COMPLETED")

    def test_attempts_of_the_task_win_over_the_pool(self):
        with self.daemon() as daemon:
            self.assertEqual(daemon.run_task("work", {"failures": 3})["status"], "FAILED")
            task = daemon.run_task("work", {"failures": 3}, attempts=4)
            self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 4))
            self.assertEqual([attempt["attempt"] for attempt in task["history"]], [1, 2, 3])

    def test_deadline_of_a_waiting_and_of_a_running_task(self):
        with self.daemon() as daemon:
            _, open_gate = self.hold(daemon)
            soon = int(time.time() * 1000) + 200
            task = daemon.run_task("work", {"name": "late"}, deadlineTime=soon)
            self.assertEqual(task["status"], "TIMED_OUT")
            open_gate()
            self.assertNotIn("late", self.order(daemon))
        with self.daemon(pool='stop_timeout = "100ms";') as daemon:
            soon = int(time.time() * 1000) + 300
            task = daemon.run_task("work", {"gate": "/nonexistent"}, deadlineTime=soon)
            self.assertEqual(task["status"], "TIMED_OUT")
            self.assertEqual(daemon.run_task("work", {})["status"], "COMPLETED")

    def test_cancel_a_waiting_and_a_running_task(self):
        with self.daemon(pool='stop_timeout = "100ms";') as daemon:
            running, _ = self.hold(daemon)
            waiting = daemon.submit("work", {"name": "never"})
            count = daemon.call("CancelTasks", {"filter": {"ids": [waiting, running]}})["count"]
            self.assertEqual(count, 2)
            self.assertEqual(daemon.wait_task(waiting, running)["status"], "CANCELED")
            self.assertEqual(daemon.run_task("work", {"name": "next"})["status"], "COMPLETED")
            self.assertEqual(self.order(daemon), ["first", "next"])

    def test_retry_update_delete(self):
        with self.daemon() as daemon:
            failed = daemon.run_task("work", {"failures": 2})["taskId"]
            daemon.call("RetryTasks", {"filter": {"ids": [failed]}})
            self.assertEqual(daemon.wait_task(failed)["status"], "FAILED", "it starts afresh")
            _, open_gate = self.hold(daemon)
            settled = daemon.submit("work", {})
            daemon.call("UpdateTasks", {"filter": {"ids": [settled]}, "status": "COMPLETED",
                                        "output": {"by": "hand"}, "reason": "seen to"})
            task = daemon.wait_task(settled)
            self.assertEqual((task["status"], task["output"]), ("COMPLETED", {"by": "hand"}))
            open_gate()
            self.assertEqual(daemon.call("DeleteTasks", {"filter": {"ids": [settled]}})["count"], 1)
            with self.assertRaises(harness.VarlinkError) as caught:
                daemon.task(settled)
            self.assertEqual(caught.exception.name, "io.yardmaster.Manager.NoSuchTask")

    def test_filters_count_before_they_change(self):
        with self.daemon() as daemon:
            _, open_gate = self.hold(daemon)
            ids = [daemon.submit("work", {}) for _ in range(5)]
            waiting = {"type": "w*", "status": ["SCHEDULED"]}
            self.assertEqual(daemon.call("CancelTasks", {"filter": waiting, "dryRun": True})["count"], 5)
            self.assertEqual(daemon.task(ids[0])["status"], "SCHEDULED")
            self.assertEqual(daemon.call("CancelTasks", {"filter": waiting})["count"], 5)
            self.assertEqual(daemon.task(ids[4])["status"], "CANCELED")
            open_gate()

    def test_full_queue_refuses_and_recovers(self):
        with self.daemon(source="max_tasks = 3;") as daemon:
            first, open_gate = self.hold(daemon)
            daemon.submit("work")
            last = daemon.submit("work")
            with self.assertRaises(harness.VarlinkError) as caught:
                daemon.submit("work")
            self.assertEqual(caught.exception.name, "io.yardmaster.Manager.QueueFull")
            self.assertIn("max_tasks", caught.exception.parameters["message"])
            open_gate()
            daemon.wait_task(first, last)
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_pause_and_resume(self):
        with self.daemon() as daemon:
            daemon.call("PausePool", {"pool": "work"})
            task_id = daemon.submit("work")
            self.assertEqual(daemon.pool("work")["state"], "paused")
            self.assertEqual(daemon.task(task_id)["status"], "SCHEDULED")
            daemon.call("ResumePool", {"pool": "work"})
            self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")

    def test_retention(self):
        with self.daemon(source='retention = "100ms";') as daemon:
            task_id = daemon.run_task("work")["taskId"]

            def gone():
                try:
                    return not daemon.task(task_id)
                except harness.VarlinkError as error:
                    return error.name == "io.yardmaster.Manager.NoSuchTask"
            harness.eventually(gone, "the finished task is forgotten")

    def test_oldest_age(self):
        with self.daemon() as daemon:
            daemon.call("PausePool", {"pool": "work"})
            daemon.submit("work")
            harness.eventually(lambda: daemon.pool("work")["oldestAgeUsec"] > 50_000, "the age grows")

    def test_backup_while_in_use(self):
        with self.daemon() as daemon:
            ids = [daemon.submit("work", {"n": n}) for n in range(50)]
            daemon.ctl("backup", daemon.path("copy.db"))
            daemon.wait_task(*ids)
            copy = sqlite3.connect(daemon.path("copy.db"))
            self.assertEqual(copy.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(copy.execute("SELECT count(*) FROM task").fetchone(), (50,))
            copy.close()
            daemon.ctl("backup", daemon.path("copy.db"), status=1)

    def test_survives_a_kill(self):
        daemon = self.daemon()
        with daemon:
            running, open_gate = self.hold(daemon)
            waiting = daemon.submit("work", {"name": "second"})
            daemon.kill()
            daemon.start()
            open_gate()
            task = daemon.wait_task(waiting, running)
            self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1), "a crash uses no attempt")

    def test_poison_task_fails_at_the_third_crash(self):
        daemon = self.daemon()
        with daemon:
            running, _ = self.hold(daemon)
            for _ in range(3):
                daemon.kill()
                daemon.start()
                harness.eventually(lambda: daemon.task(running)["status"] != "SCHEDULED", "handed out again")
            task = daemon.wait_task(running)
            self.assertEqual(task["status"], "FAILED")
            self.assertIn("daemon", task["reason"])

    def refused(self, daemon, *words):
        daemon.spawn()
        self.assertNotEqual(daemon.wait(), 0)
        for word in words:
            self.assertIn(word, daemon.log.text())

    def test_newer_and_corrupt_databases_are_refused(self):
        daemon = self.daemon()
        self.addCleanup(daemon.remove)
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        path = daemon.path("state", "queue-local.db")
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 999")
        database.commit()
        database.close()
        self.refused(daemon, "queue-local.db", "newer version")
        garbage = b"this is no database, and must stay as it is" * 100
        with open(path, "wb") as file:
            file.write(garbage)
        self.refused(daemon, "queue-local.db")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), garbage)


if __name__ == "__main__":
    harness.main()
