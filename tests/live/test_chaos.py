# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random under load, of the daemon and of its workers: nothing is lost, nothing is done wrong.

Handlers write down every execution (witness.py) before they answer. In the end every task whose id
was given to a client has exactly one final state, its output is that of its last execution, and
that execution was witnessed.
"""

import os
import random
import signal
import sqlite3
import threading
import unittest

import harness

N_TASKS = int(os.environ.get("YARDMASTER_CHAOS_TASKS", "10000"))
N_DAEMON_KILLS = 20
N_WORKER_KILLS = 100
BATCH = 50
WITNESS = os.path.join(harness.SOURCE_ROOT, "tests", "handlers", "witness.py")
CONFIG = f"""
drain_timeout = "30s";
defaults = {{ restart = {{ backoff = "10ms"; backoff_max = "100ms"; }}; retry = {{ backoff = "10ms"; backoff_max = "50ms"; }}; }};
sources: {{ local: {{ type = "queue"; durability = "full"; }}; }};
pools: {{
  many: {{ source = "local"; workers = 3; concurrency = 4;
          handler = {{ command = ["{WITNESS}", "@DIR@/witness", "persistent"]; mode = "persistent"; }}; }};
  each: {{ source = "local"; workers = 2; handler = {{ command = ["{WITNESS}", "@DIR@/witness"]; }}; }};
}};
"""


class Chaos(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(os.environ.get("YARDMASTER_CHAOS_SEED"))
        self.daemon = harness.Daemon(CONFIG, log_level="warning")
        self.addCleanup(self.daemon.remove)
        self.ids = {}
        self.submitted = threading.Event()
        self.n_worker_kills = 0

    def reconnect(self):
        """A client, as soon as there is a daemon."""
        def connect():
            try:
                return self.daemon.varlink()
            except OSError:
                return None
        return harness.eventually(connect, "the daemon answers")

    def submit_all(self):
        """Each batch until it is acknowledged; its keys make a repetition harmless."""
        client = self.reconnect()
        for start in range(0, N_TASKS, BATCH):
            keys = [f"task-{number}" for number in range(start, min(start + BATCH, N_TASKS))]
            tasks = [
                {"type": "each" if number % 40 == 0 else "many", "unique": key, "attempts": 1000,
                 "conflict": "return_existing", "input": {"key": key}}
                for number, key in enumerate(keys, start)
            ]
            while True:
                try:
                    results = client.call("SubmitMany", {"tasks": tasks})["results"]
                    break
                except (OSError, EOFError):
                    client = self.reconnect()
            for key, result in zip(keys, results):
                # Finished tasks no longer hold their key: a lost acknowledgement may make a second task.
                self.ids[result["taskId"]] = key
        self.submitted.set()

    def kill_a_worker(self):
        try:
            with self.daemon.varlink() as client:
                workers = client.call("ListWorkers", {})["workers"]
        except (OSError, EOFError, harness.VarlinkError):
            return
        pids = [worker["pid"] for worker in workers if worker.get("pid")]
        if pids:
            try:
                os.kill(self.random.choice(pids), signal.SIGKILL)
                self.n_worker_kills += 1
            except ProcessLookupError:
                pass

    def unfinished(self):
        tasks = self.daemon.call("ListTasks", {"filter": {"status": ["SCHEDULED", "IN_PROGRESS"]}, "limit": 1})
        return tasks["tasks"]

    def test_nothing_is_lost(self):
        self.daemon.start()
        submitter = threading.Thread(target=self.submit_all, daemon=True)
        submitter.start()
        for _ in range(N_DAEMON_KILLS):
            for _ in range(N_WORKER_KILLS // N_DAEMON_KILLS + 1):
                self.kill_a_worker()
                threading.Event().wait(self.random.uniform(0, 0.15))
            self.daemon.kill()
            self.daemon.start()
        while self.n_worker_kills < N_WORKER_KILLS:
            self.kill_a_worker()
        self.assertTrue(self.submitted.wait(harness.TIMEOUT * 5), "all tasks are submitted")
        submitter.join()
        harness.eventually(lambda: not self.unfinished(), "every task has ended", harness.TIMEOUT * 5)
        self.check()
        self.assertEqual(self.daemon.stop(), 0)
        self.check_database()
        self.check_orphans()

    def check(self):
        with open(self.daemon.path("witness"), encoding="utf-8") as file:
            witnessed = {tuple(line.split()) for line in file}
        with self.daemon.varlink() as client:
            for task_id in self.ids:
                task = client.call("GetTask", {"taskId": task_id})["task"]
                self.assertEqual(task["status"], "COMPLETED", task)
                output = task["output"]
                self.assertEqual(output["attempt"], task["pollCount"], "the output is the last execution's")
                self.assertIn((task_id, str(output["attempt"]), output["nonce"]), witnessed)
        self.assertGreaterEqual(len(self.ids), N_TASKS)
        self.assertEqual(set(self.ids.values()), {f"task-{number}" for number in range(N_TASKS)})

    def check_database(self):
        database = sqlite3.connect(self.daemon.path("state", "queue-local.db"))
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        database.close()

    def check_orphans(self):
        directory = self.daemon.directory.encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    self.assertNotIn(directory, file.read(), f"process {pid} is left over")
            except OSError:
                continue


if __name__ == "__main__":
    harness.main()
