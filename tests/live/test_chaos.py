# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random under load, of the daemon and of its workers: nothing is lost, nothing is done wrong.

Handlers write down every execution (witness.py) before they answer, and a Monitor connection what
the daemon says has ended. In the end every task whose id was given to a client has exactly one
final state, its output is that of its last execution, that execution was witnessed, none came
after it, and it was announced no more than once.
"""

import collections
import os
import random
import signal
import sqlite3
import threading
import time
import unittest

import harness

N_TASKS = int(os.environ.get("YARDMASTER_CHAOS_TASKS", "10000"))
N_DAEMON_KILLS = 20
N_WORKER_KILLS = 100
BATCH = 50
# Chance may let three daemons in a row die while the same task waits in a worker; that, too, is an end.
N_POISON_MAX = 3
# Submissions go on to the last kill: each round between two kills has its share of them.
BATCHES_PER_ROUND = -(-N_TASKS // BATCH // N_DAEMON_KILLS)
WORKER_KILLS_PER_ROUND = N_WORKER_KILLS // N_DAEMON_KILLS + 1
ENOUGH = {"many": 40, "each": 4}
PATIENCE = harness.TIMEOUT * 5
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


class Recorder(threading.Thread):
    """What the daemons say of the ends of tasks, one after the other."""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect = connect
        self.changed = threading.Condition()
        self.ended = collections.defaultdict(list)  # task id: (when, event, status)
        self.pools = collections.Counter()
        self.start()

    def run(self):
        types = ["task_completed", "task_failed", "task_canceled"]
        while True:
            client = self.connect()
            try:
                for event in client.stream("Monitor", {"types": types}):
                    if "taskId" in event:
                        self.note(event)
            except (OSError, EOFError):
                client.close()

    def note(self, event):
        with self.changed:
            self.ended[event["taskId"]].append((time.monotonic_ns(), event["event"], event.get("status")))
            self.pools[event["pool"]] += 1
            self.changed.notify_all()

    def wait_for_some_of_each(self, before):
        """Until either pool has completed more tasks since then than it holds at a time."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: all(self.pools[pool] >= before[pool] + n for pool, n in ENOUGH.items()), PATIENCE):
                raise AssertionError("no task ends between two kills")

    def count(self):
        with self.changed:
            return self.pools.copy()


def is_poison(task):
    """Whether its end is the one of a task that three daemons in a row died over."""
    return task["status"] == "FAILED" and "poison task" in task["reason"]


class Chaos(unittest.TestCase):
    def setUp(self):
        seed = os.environ.get("YARDMASTER_CHAOS_SEED") or str(random.randrange(1 << 32))
        print(f"# YARDMASTER_CHAOS_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.daemon = harness.Daemon(CONFIG, log_level="warning")
        self.addCleanup(self.daemon.remove)
        self.ids = {}
        self.share = threading.Semaphore(0)
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
            self.share.acquire()
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
        """One that holds a task, if there is any."""
        try:
            with self.daemon.varlink() as client:
                workers = client.call("ListWorkers", {})["workers"]
        except (OSError, EOFError, harness.VarlinkError):
            return
        running = [worker for worker in workers if worker.get("pid")]
        busy = [worker for worker in running if worker["tasks"]]
        if running:
            try:
                os.kill(self.random.choice(busy or running)["pid"], signal.SIGKILL)
                self.n_worker_kills += 1
            except ProcessLookupError:
                pass

    def round(self, recorder):
        before = recorder.count()
        for _ in range(BATCHES_PER_ROUND):
            self.share.release()
        for _ in range(WORKER_KILLS_PER_ROUND):
            self.kill_a_worker()
            time.sleep(self.random.uniform(0, 0.1))
        # A task that three daemons in a row die over is taken for the cause: each gets something done.
        recorder.wait_for_some_of_each(before)
        time.sleep(self.random.uniform(0, 0.05))
        self.daemon.kill()
        self.daemon.start()

    def unfinished(self):
        tasks = self.daemon.call("ListTasks", {"filter": {"status": ["SCHEDULED", "IN_PROGRESS"]}, "limit": 1})
        return tasks["tasks"]

    def test_nothing_is_lost(self):
        self.daemon.start()
        recorder = Recorder(self.reconnect)
        submitter = threading.Thread(target=self.submit_all, daemon=True)
        submitter.start()
        for _ in range(N_DAEMON_KILLS):
            self.round(recorder)
        while self.n_worker_kills < N_WORKER_KILLS:
            self.kill_a_worker()
        self.assertTrue(self.submitted.wait(PATIENCE), "all tasks are submitted")
        harness.eventually(lambda: not self.unfinished(), "every task has ended", PATIENCE)
        tasks = self.check_tasks()
        self.assertEqual(self.daemon.stop(), 0)
        self.check_witnesses(tasks, recorder)
        self.check_database()
        self.check_orphans()

    def check_tasks(self):
        """Each has ended well, and the chaos has met tasks in hand."""
        tasks, poison, causes = {}, 0, collections.Counter()
        with self.daemon.varlink() as client:
            for task_id in self.ids:
                task = client.call("GetTask", {"taskId": task_id})["task"]
                if is_poison(task):
                    poison += 1
                    continue
                tasks[task_id] = task
                self.assertEqual(task["status"], "COMPLETED", task)
                self.assertEqual(task["output"]["attempt"], task["pollCount"], "the output is the last execution's")
                causes.update(attempt["status"] for attempt in task.get("history", []))
        self.assertGreaterEqual(len(tasks) + poison, N_TASKS)
        self.assertLessEqual(poison, N_POISON_MAX)
        self.assertEqual(set(self.ids.values()), {f"task-{number}" for number in range(N_TASKS)})
        self.assertGreaterEqual(causes["DAEMON_CRASHED"], N_DAEMON_KILLS, causes)
        self.assertGreaterEqual(causes["FAILED"], N_WORKER_KILLS / 4, causes)
        self.assertEqual(set(causes) - {"DAEMON_CRASHED", "FAILED", "HANDED_BACK"}, set())
        print(f"# {len(tasks)} tasks, {N_DAEMON_KILLS} daemons and {self.n_worker_kills} workers killed; "
              f"executions cut short: {dict(causes)}", flush=True)
        return tasks

    def check_witnesses(self, tasks, recorder):
        """The execution whose output is kept is the last there was, and ended once."""
        witnessed = collections.defaultdict(list)
        with open(self.daemon.path("witness"), encoding="utf-8") as file:
            for line in file:
                # What kill -9 cut short (a write may end at a page) has no full stop, and was never answered.
                if not line.endswith(" .\n"):
                    continue
                task_id, attempt, nonce, at, _ = line.split()
                witnessed[task_id].append((int(attempt), nonce, int(at)))
        for task_id, task in tasks.items():
            lines, output = witnessed[task_id], task["output"]
            self.assertEqual(lines[-1][:2], (output["attempt"], output["nonce"]), (task, lines))
            self.assertEqual(len({attempt for attempt, _, _ in lines}), len(lines), "no attempt runs twice")
            ends = recorder.ended[task_id]
            self.assertLessEqual(len(ends), 1, (task, ends))
            for at, event, status in ends:
                self.assertEqual((event, status), ("task_completed", "COMPLETED"))
                self.assertLessEqual(lines[-1][2], at, "nothing runs after the end")
        self.assertGreater(sum(len(ends) for ends in recorder.ended.values()), N_TASKS / 2)

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
