# SPDX-License-Identifier: Apache-2.0
"""A slow disk and a full one: the loop never waits for either, and nothing acknowledged is lost."""

import os
import threading
import time
import unittest

import harness

FSYNC_MSEC = 100
WATCHDOG_USEC = 1_000_000
STATUS_P99 = 0.020
CONFIG = """
sources: { local: { type = "queue"; durability = "full"; }; };
pools: { work: { source = "local"; handler = { command = ["@DIR@/worker.sh"]; }; workers = 2; }; };
"""
WORKER = """#!/bin/sh
cat >/dev/null
echo '{"status":"COMPLETED","output":{}}'
"""


@unittest.skipIf(os.environ.get("YARDMASTER_SANITIZED"), "a sanitizer's runtime must be loaded first")
class Disk(unittest.TestCase):
    def daemon(self, **environment):
        preload = {"LD_PRELOAD": os.environ["YARDMASTER_TEST_SLOW_FSYNC"], **environment}
        daemon = harness.Daemon(environment=preload, log_level="info")
        daemon.script("worker.sh", WORKER)
        daemon.write_config(CONFIG)
        return daemon

    def test_status_and_watchdog_while_every_sync_takes_long(self):
        with self.daemon(SLOW_FSYNC_MSEC=str(FSYNC_MSEC), WATCHDOG_USEC=str(WATCHDOG_USEC)) as daemon:
            submitters = [threading.Thread(target=self.submit, args=(daemon, 100)) for _ in range(10)]
            pings = []
            watcher = threading.Thread(target=self.watch, args=(daemon, pings), daemon=True)
            watcher.start()
            for thread in submitters:
                thread.start()
            latencies = []
            with daemon.varlink() as client:
                while any(thread.is_alive() for thread in submitters):
                    start = time.monotonic()
                    client.call("GetStatus")
                    latencies.append(time.monotonic() - start)
                    time.sleep(0.005)
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

    def test_full_disk(self):
        daemon = self.daemon(FULL_DISK_FILE="full")
        with daemon:
            flag = daemon.path("full")
            daemon.process.poll()
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            open(flag, "w", encoding="utf-8").close()
            with self.assertRaises(harness.VarlinkError) as caught:
                for _ in range(2000):
                    daemon.submit("work", {"text": "x" * 10000})
            self.assertEqual(caught.exception.name, "io.yardmaster.Manager.QueueFull")
            self.assertIn("no space left", caught.exception.parameters["message"])
            os.unlink(flag)

            def works_again():
                try:
                    return daemon.submit("work")
                except harness.VarlinkError:
                    return None
            task_id = harness.eventually(works_again, "submitting works again")
            self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")


if __name__ == "__main__":
    harness.main()
