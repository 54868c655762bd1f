# SPDX-License-Identifier: Apache-2.0
"""kill -9 of daemon, workers and server under load: each task ends once, with its handler's own result.

The server is this test's own. No response timeout comes to the rescue: they are all ten minutes.
"""

import contextlib
import http.client
import os
import random
import signal
import threading
import time

import conductor
import harness
import server

KILL_SECONDS = float(os.environ.get("YARDMASTER_CHAOS_SECONDS", "60"))
N_OUTSTANDING = 40
# Tasks of a lost answer are looked for after 30 s at the latest.
PATIENCE = harness.TIMEOUT * 3


class Feeder(threading.Thread):
    """Keeps some workflows going until it is stopped."""

    def __init__(self, api, names):
        super().__init__(daemon=True)
        self.api, self.names = api, names
        self.stopping = threading.Event()
        self.ids = {}  # workflow: its value
        self.open = set()
        self.start()

    def run(self):
        number = 0
        while not self.stopping.is_set():
            # Without a server there is nothing to start and nothing to look at.
            with contextlib.suppress(OSError, http.client.HTTPException, conductor.ApiError):
                if len(self.open) < N_OUTSTANDING:
                    number += 1
                    workflow = self.api.start(self.names[number % len(self.names)], {"value": number})
                    self.ids[workflow] = number
                    self.open.add(workflow)
                else:
                    for workflow in list(self.open):
                        if self.api.call("GET", f"/workflow/{workflow}/status")["status"] != "RUNNING":
                            self.open.discard(workflow)
            if self.stopping.wait(0.02 if len(self.open) < N_OUTSTANDING else 0.3):
                return

    def stop(self):
        self.stopping.set()
        self.join()
        return self.ids


class Chaos(conductor.Case):
    def setUp(self):
        seed = os.environ.get("YARDMASTER_CHAOS_SEED") or str(random.randrange(1 << 32))
        print(f"# YARDMASTER_CHAOS_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.server = self.enterContext(server.Server(say=lambda text: print("# " + text, flush=True)))
        self.api = conductor.Api(self.server.url)
        self.names = [self.api.define(retryCount=100) for _ in range(2)]
        pools = (conductor.pool(self.names[0], "workers = 2; concurrency = 4;"),
                 conductor.pool(self.names[1], "workers = 2;", mode="per-task"))
        top = 'defaults = { restart = { backoff = "10ms"; backoff_max = "100ms"; }; };'
        source = 'outbox = { backoff = "100ms"; backoff_max = "1s"; };'
        self.daemon = conductor.Daemon(conductor.configuration(*pools, url=self.server.url, top=top, source=source),
                                       log_level="info")
        self.addCleanup(self.end, self.daemon)
        self.daemon.start()
        self.feeder = Feeder(self.api, self.names)
        self.daemon.wait_witness("end", n=10)

    def kill_a_worker(self):
        try:
            with self.daemon.varlink() as client:
                workers = [worker for worker in client.call("ListWorkers", {})["workers"] if worker.get("pid")]
        except (OSError, EOFError, harness.VarlinkError):
            return 0
        busy = [worker for worker in workers if worker["tasks"]]
        if not workers:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(busy or workers)["pid"], signal.SIGKILL)
        return 1

    def check(self):
        """Nothing is lost, nothing is left over."""
        workflows = self.feeder.stop()
        self.assertGreater(len(workflows), 10)
        nonces = {line["nonce"]: line["taskId"] for line in self.daemon.witnessed()}
        for workflow_id, value in workflows.items():
            tasks = self.api.wait_workflow(workflow_id, timeout=PATIENCE)["tasks"]
            self.assertEqual([task["status"] for task in tasks[:-1]], ["FAILED"] * (len(tasks) - 1))
            output = tasks[-1]["outputData"]
            self.assertEqual((tasks[-1]["status"], output["echo"]), ("COMPLETED", value))
            nonces.update({line["nonce"]: line["taskId"] for line in self.daemon.witnessed()}
                          if output["nonce"] not in nonces else {})
            self.assertEqual(nonces[output["nonce"]], tasks[-1]["taskId"], "the output is its handler's")
        # The index may be wrong after kill -9 of its server; the tasks come from elsewhere.
        found = self.api.call("GET", "/tasks/search-v2", query="status=IN_PROGRESS", size=100)["results"]
        self.assertEqual([task for task in found if task["status"] == "IN_PROGRESS"], [])
        harness.eventually(lambda: not self.daemon.outbox(), "an empty outbox", 30)
        print(f"# {len(workflows)} workflows", flush=True)

    def test_daemon_and_workers(self):
        end = time.monotonic() + KILL_SECONDS
        n_daemons = n_workers = 0
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.2, 3))
            for _ in range(2):
                n_workers += self.kill_a_worker()
                time.sleep(self.random.uniform(0, 0.2))
            self.daemon.kill()
            n_daemons += 1
            self.daemon.start()
        print(f"# {n_daemons} daemons and {n_workers} workers killed", flush=True)
        self.check()

    def test_server(self):
        for _ in range(2):
            time.sleep(self.random.uniform(1, 4))
            self.server.kill()
            time.sleep(self.random.uniform(0, 2))
            self.server.start()
        time.sleep(2)
        self.check()

    def test_server_is_told_to_stop(self):
        """SIGTERM: polls are answered, everything else is refused until it is back."""
        self.server.stop()
        time.sleep(1)
        self.server.start()
        time.sleep(2)
        self.check()


if __name__ == "__main__":
    harness.main()
