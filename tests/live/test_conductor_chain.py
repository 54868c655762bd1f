#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Results of a busy pool bring the next tasks along: no polls beside them, and none handed back."""

import harness
from conductorcase import ConductorCase
from harness import Daemon

N_TASKS = 2000

# Reads what there is and answers all of it in one write, as a fast worker does.
EAGER = """#!/usr/bin/env python3
import json, os
pending = b""
while data := os.read(0, 1 << 20):
    *lines, pending = (pending + data).split(b"\\n")
    tasks = [message["task"]["taskId"] for message in map(json.loads, lines) if message["type"] == "task"]
    results = "".join(json.dumps({"type": "result", "taskId": task, "status": "COMPLETED"}) + "\\n" for task in tasks)
    if os.write(1, results.encode()) != len(results):
        raise SystemExit("a short write")
"""


class Chain(ConductorCase):
    def run_all(self, pool):
        stub = self.stub()
        stub.create("work", N_TASKS)
        daemon = Daemon(self.config(stub, pool=pool), log_level="info")
        self.addCleanup(daemon.remove)
        daemon.script("worker", EAGER)
        daemon.start()
        self.addCleanup(daemon.stop)
        stub.wait("settled")
        stats = stub.stats()
        self.assertEqual([], stub.wrong())
        self.assertEqual((N_TASKS, 0), (stats["updates"], stats["handBacks"]))
        self.assertGreater(stats["updatesWithNext"], N_TASKS * 0.9)
        self.assertLess(stats["polls"], N_TASKS * 0.02)

    def test_many_results_in_one_read(self):
        self.run_all("workers = 1; concurrency = 100;")

    def test_several_workers(self):
        self.run_all("workers = 4; concurrency = 25;")


if __name__ == "__main__":
    harness.main()
