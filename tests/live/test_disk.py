# SPDX-License-Identifier: Apache-2.0
"""A disk that is slow, full, broken, or gone with the daemon in mid-write: the loop waits for none of
it, nobody is told a lie, and nothing acknowledged is lost."""

import os
import signal
import sqlite3
import threading
import time
import unittest

import harness

FSYNC_MSEC = 100
WATCHDOG_USEC = 1_000_000
STATUS_P99 = 0.020
N_SUBMITS = 1000
N_SUBMITTERS = 25
CONFIG = """
sources: { local: { type = "queue"; durability = "full"; }; };
pools: {
  work: { source = "local"; handler = { command = ["@DIR@/worker.sh"]; }; workers = 2; };
  gated: { source = "local"; handler = { command = ["@DIR@/gated.sh", "@DIR@/gate"]; }; workers = 2; };
};
"""
WORKER = """#!/bin/sh
cat >/dev/null
echo '{"status":"COMPLETED","output":{}}'
"""
GATED = """#!/bin/sh
cat >/dev/null
until [ -e "$1" ]; do sleep 0.01; done
echo '{"status":"COMPLETED","output":{}}'
"""
# Points in the life of a batch: two syncs of a submission and a result, some writes each.
KILLS = [*(("KILL_BEFORE_SYNC", number) for number in range(1, 11)),
         *(("KILL_AFTER_SYNC", number) for number in range(1, 11)),
         *(("KILL_BEFORE_WRITE", number) for number in range(1, 101, 10))]


def daemon_on_disk(environment, head=""):
    preload = {"LD_PRELOAD": os.environ["YARDMASTER_TEST_SLOW_FSYNC"], **environment}
    daemon = harness.Daemon(environment=preload, log_level="info")
    daemon.script("worker.sh", WORKER)
    daemon.script("gated.sh", GATED)
    daemon.write_config(head + CONFIG)
    return daemon


class Flag:
    """A file that says to the preloaded library: now."""

    def __init__(self, daemon, name):
        self.path = daemon.path(name)

    def __enter__(self):
        open(self.path, "w", encoding="utf-8").close()

    def __exit__(self, *_):
        os.unlink(self.path)


def source_state(daemon):
    return daemon.call("ListSources")["sources"][0]


def wait_for_state(daemon, state):
    return harness.eventually(
        lambda: (lambda source: source if source["state"] == state else None)(source_state(daemon)),
        f"the queue is {state}")


@unittest.skipIf(os.environ.get("YARDMASTER_SANITIZED"), "a sanitizer's runtime must be loaded first")
class SlowDisk(unittest.TestCase):
    def test_status_and_watchdog_while_every_sync_takes_long(self):
        environment = {"SLOW_FSYNC_MSEC": str(FSYNC_MSEC), "WATCHDOG_USEC": str(WATCHDOG_USEC)}
        with daemon_on_disk(environment) as daemon:
            submitters = [threading.Thread(target=self.submit, args=(daemon, N_SUBMITS // N_SUBMITTERS))
                          for _ in range(N_SUBMITTERS)]
            pings = []
            watcher = threading.Thread(target=self.watch, args=(daemon, pings), daemon=True)
            watcher.start()
            for thread in submitters:
                thread.start()
            latencies, begun = [], time.monotonic()
            with daemon.varlink() as client:
                while any(thread.is_alive() for thread in submitters):
                    start = time.monotonic()
                    client.call("GetStatus")
                    latencies.append(time.monotonic() - start)
                    time.sleep(0.005)
            self.assertGreaterEqual(time.monotonic() - begun, N_SUBMITS / N_SUBMITTERS * FSYNC_MSEC / 1000)
            latencies.sort()
            self.assertGreater(len(latencies), 100)
            self.assertLess(latencies[int(len(latencies) * 0.99)], STATUS_P99)
            gaps = [after - before for before, after in zip(pings, pings[1:])]
            self.assertGreater(len(gaps), 2)
            self.assertLessEqual(max(gaps), WATCHDOG_USEC / 1e6 / 2)

    def submit(self, daemon, n):
        with daemon.varlink() as client:
            for _ in range(n):
                client.call("Submit", {"task": {"type": "work"}})

    def watch(self, daemon, pings):
        try:
            while True:
                daemon.notify.wait_for("WATCHDOG=1", timeout=10)
                pings.append(time.monotonic())
        except (TimeoutError, OSError):
            pass


@unittest.skipIf(os.environ.get("YARDMASTER_SANITIZED"), "a sanitizer's runtime must be loaded first")
class FailingDisk(unittest.TestCase):
    def meet(self, environment, name, state, remedy):
        """Running tasks, a failure, results, refused submissions, recovery; all in its order."""
        with daemon_on_disk(environment) as daemon:
            gated = [daemon.submit("gated") for _ in range(2)]
            harness.eventually(lambda: daemon.pool("gated")["tasksInHand"] == 2, "both are at the gate")
            accepted = [daemon.submit("gated") for _ in range(20)]
            with Flag(daemon, name):
                with self.assertRaises(harness.VarlinkError) as caught:
                    daemon.submit("work", {"text": "x" * 10000})
                self.assertIn(remedy, caught.exception.parameters["message"])
                daemon.write("gate", "")
                harness.eventually(lambda: daemon.pool("gated")["processed"] == 2, "both have ended")
                # Neither a probe nor a status call nor an empty claim makes it well.
                for _ in range(10):
                    source = source_state(daemon)
                    self.assertEqual(source["state"], state)
                    self.assertIn(remedy, source["problem"]["message"])
                    with self.assertRaises(harness.VarlinkError):
                        daemon.submit("work")
                for task_id in gated:
                    self.assertEqual(daemon.task(task_id)["status"], "IN_PROGRESS")
                self.assertEqual(daemon.pool("gated")["tasksInHand"], 0, "nothing is fetched")
                listed = daemon.ctl("list", "sources").stdout
                self.assertIn(state, listed)
                self.assertIn(remedy, listed)
            wait_for_state(daemon, "ok")
            for task_id in gated:
                task = daemon.wait_task(task_id)
                self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))
            for task_id in accepted:
                self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertEqual(source_state(daemon)["finished"], len(gated) + len(accepted) + 1,
                             "what was refused is not there")

    def test_full(self):
        self.meet({"FULL_DISK_FILE": "full"}, "full", "full", "no space left")

    def test_broken(self):
        self.meet({"BROKEN_SYNC_FILE": "broken"}, "broken", "failing", "log of the kernel")

    def test_stop_while_full(self):
        """What could not be written down runs again: at least once, never lost."""
        daemon = daemon_on_disk({"FULL_DISK_FILE": "full"}, head='drain_timeout = "200ms";')
        self.addCleanup(daemon.remove)
        daemon.start()
        task_id = daemon.submit("gated")
        harness.eventually(lambda: daemon.pool("gated")["tasksInHand"] == 1, "it is at the gate")
        with Flag(daemon, "full"):
            daemon.write("gate", "")
            harness.eventually(lambda: daemon.pool("gated")["processed"] == 1, "it has ended")
            self.assertEqual(daemon.stop(), 1, "something is left to do")
        with daemon:
            self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")
            self.assertEqual(daemon.task(task_id)["history"][0]["status"], "DAEMON_CRASHED")

    def test_removed_while_running(self):
        """What lost its name would be lost at the end: nothing more is accepted into it."""
        with daemon_on_disk({}) as daemon:
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            os.rename(daemon.path("state"), daemon.path("elsewhere"))
            with self.assertRaises(harness.VarlinkError) as caught:
                daemon.submit("work")
            self.assertIn("removed or replaced", caught.exception.parameters["message"])
            self.assertEqual(source_state(daemon)["state"], "failing")
            self.assertEqual(daemon.ctl_json("status")["state"], "degraded")
            os.rename(daemon.path("elsewhere"), daemon.path("state"))
            wait_for_state(daemon, "ok")
            self.assertEqual(daemon.ctl_json("status")["state"], "running")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_locked_by_another_process(self):
        """Longer than a job waits for it."""
        with daemon_on_disk({}) as daemon:
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            visitor = sqlite3.connect(daemon.path("state", "queue-local.db"), isolation_level=None)
            visitor.execute("BEGIN IMMEDIATE")
            with self.assertRaises(harness.VarlinkError) as caught:
                daemon.submit("work")
            self.assertIn("locked", caught.exception.parameters["message"])
            self.assertEqual(source_state(daemon)["state"], "failing")
            visitor.execute("ROLLBACK")
            visitor.close()
            wait_for_state(daemon, "ok")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_locked_for_a_moment(self):
        with daemon_on_disk({}) as daemon:
            visitor = sqlite3.connect(daemon.path("state", "queue-local.db"), isolation_level=None,
                                      check_same_thread=False)
            visitor.execute("BEGIN IMMEDIATE")
            threading.Timer(0.5, visitor.execute, ["ROLLBACK"]).start()
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")


@unittest.skipIf(os.environ.get("YARDMASTER_SANITIZED"), "a sanitizer's runtime must be loaded first")
class PowerCut(unittest.TestCase):
    def test_what_was_acknowledged_is_there_afterwards(self):
        """Whatever was not synced is gone with the daemon; at durability "normal" this fails."""
        for name, number in KILLS:
            with self.subTest(f"{name}={number}"):
                self.die(name, number)

    def die(self, name, number):
        daemon = daemon_on_disk({name: str(number), "KILL_FROM_FILE": "from"})
        self.addCleanup(daemon.remove)
        acknowledged, completed = [], set()
        daemon.start()
        with Flag(daemon, "from"), self.assertRaises((OSError, EOFError)):
            with daemon.varlink() as client:
                while True:
                    acknowledged.append(client.call("Submit", {"task": {"type": "work"}})["taskId"])
                    if len(acknowledged) % 2 == 0:
                        client.call("WaitTasks", {"ids": acknowledged[-1:]})
                        completed.add(acknowledged[-1])
        self.assertEqual(daemon.process.wait(harness.TIMEOUT), -signal.SIGKILL)
        daemon.environment.pop(name)
        daemon.start()
        for task_id in acknowledged:
            self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")
        for task_id in completed:
            self.assertEqual(daemon.task(task_id)["pollCount"], 1, "its result had been told")
        self.assertEqual(daemon.stop(), 0)
        daemon.remove()


if __name__ == "__main__":
    harness.main()
