# SPDX-License-Identifier: Apache-2.0
"""The way of one task: submitted over the socket, run by each kind of handler, seen by yardctl."""

import json
import unittest

import harness

PER_TASK = """#!/bin/sh
cat >/dev/null
printf '{"status":"COMPLETED","output":{"id":"%s"}}' "$TASK_ID"
"""

PERSISTENT = """#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        task = message["task"]
        result = {"type": "result", "taskId": task["taskId"], "status": "COMPLETED",
                  "output": {"double": 2 * task["inputData"]["n"]}}
        print(json.dumps(result), flush=True)
"""

CONFIG = """
sources: { local: { type = "queue"; }; };
pools: {
  shell: { source = "local"; handler = { command = ["./shell.sh"]; }; };
  double: { source = "local"; handler = { command = ["./double.py"]; mode = "persistent"; }; };
};
"""


class First(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.daemon.script("shell.sh", PER_TASK)
        self.daemon.script("double.py", PERSISTENT)
        self.daemon.write_config(CONFIG)
        self.addCleanup(self.daemon.remove)

    def test_per_task(self):
        with self.daemon as daemon:
            task = daemon.run_task("shell")
            self.assertEqual(task["status"], "COMPLETED")
            self.assertEqual(task["output"], {"id": task["taskId"]})

    def test_persistent(self):
        with self.daemon as daemon:
            task = daemon.run_task("double", {"n": 21})
            self.assertEqual(task["output"], {"double": 42})

    def test_yardctl_submit_and_wait(self):
        with self.daemon as daemon:
            result = daemon.ctl("submit", "double", '{"n": 4}', "--wait")
            self.assertEqual(json.loads(result.stdout), {"double": 8})
            status = daemon.ctl("status").stdout
            self.assertIn("double", status)


if __name__ == "__main__":
    harness.main()
