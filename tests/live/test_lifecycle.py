# SPDX-License-Identifier: Apache-2.0
"""Start, stop, reload: the daemon as an administrator and as systemd see it."""

import os
import resource
import signal
import sqlite3
import subprocess
import unittest

import harness

WORKER = """#!/usr/bin/env python3
# Answers at once, or when the gate that its input names exists; says "cancelled" if asked to stop.
import json, os, select, sys
pending = {}
def answer(task, status="COMPLETED", **more):
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": status,
                      "output": {"pid": os.getpid()}, **more}), flush=True)
buffer = b""
while True:
    ready = select.select([0], [], [], 0.01 if pending else None)[0]
    if ready:
        data = os.read(0, 65536)
        if not data:
            break
        buffer += data
        *lines, buffer = buffer.split(b"\\n")
        for line in lines:
            message = json.loads(line)
            if message["type"] == "task":
                pending[message["task"]["taskId"]] = message["task"]
            elif message["type"] == "cancel" and message["taskId"] in pending:
                answer(pending.pop(message["taskId"]), "FAILED", reason="cancelled")
    for task_id, task in list(pending.items()):
        gate = task["inputData"].get("gate")
        if not gate or os.path.exists(gate):
            answer(pending.pop(task_id))
"""

POOL = """
  {name}: {{ source = "local"; handler = {{ command = ["@DIR@/worker.py"{argument}]; mode = "persistent"; }};
          stop_timeout = "1s"; {keys} }};
"""


def config(*pools, head=""):
    return head + 'sources: { local: { type = "queue"; }; };\npools: {' + "".join(pools) + "};\n"


def pool(name, keys="", argument=""):
    return POOL.format(name=name, keys=keys, argument=argument)


class Lifecycle(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.daemon.script("worker.py", WORKER)
        self.addCleanup(self.daemon.remove)

    def start(self, *pools, head=""):
        self.daemon.write_config(config(*pools, head=head))
        return self.daemon.start()

    def gate(self):
        return self.daemon.path("gate")

    def open_gate(self):
        open(self.gate(), "w", encoding="utf-8").close()

    def busy(self, name, n=1):
        harness.eventually(lambda: self.daemon.pool(name)["tasksInHand"] == n, f"{name} holds {n} tasks")

    def pids(self, name):
        return {worker["name"]: worker["pid"] for worker in self.daemon.workers(name) if "pid" in worker}

    def all_pids(self, name, n):
        return harness.eventually(lambda: len(self.pids(name)) == n and self.pids(name), f"{n} workers of {name}")

    def test_zero_pools(self):
        self.daemon.write_config("")
        self.daemon.start()
        self.assertIn("no pools", self.daemon.ctl("status").stdout.lower())
        self.assertEqual(self.daemon.stop(), 0)

    def test_open_files(self):
        """The daemon may open all that the hard limit allows; its workers get what it was given."""
        daemon = self.start(pool("work"))
        pid = next(iter(self.all_pids("work", 1).values()))
        soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        self.assertEqual(soft, hard)
        self.assertEqual(resource.prlimit(pid, resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_NOFILE))

    def test_drain_finishes_what_runs_and_returns_the_rest(self):
        daemon = self.start(pool("work"))
        running = daemon.submit("work", {"gate": self.gate()})
        self.busy("work")
        waiting = daemon.submit("work")
        daemon.signal(signal.SIGTERM)
        daemon.notify.wait_for("STOPPING=1")
        self.open_gate()
        self.assertEqual(daemon.wait(), 0)
        daemon.start()
        self.assertEqual(daemon.task(running)["status"], "COMPLETED")
        task = daemon.wait_task(waiting)
        self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))

    def test_at_the_deadline_running_tasks_go_back_without_using_an_attempt(self):
        daemon = self.start(pool("work"), head='drain_timeout = "300ms";\n')
        running = daemon.submit("work", {"gate": self.gate()})
        self.busy("work")
        self.assertEqual(daemon.stop(), 0)
        self.open_gate()
        daemon.start()
        task = daemon.wait_task(running)
        self.assertEqual((task["status"], task["attempts"], task["pollCount"]), ("COMPLETED", 1, 2))

    def test_second_signal_cuts_the_drain_short(self):
        daemon = self.start(pool("work"), head='drain_timeout = "1h";\n')
        daemon.submit("work", {"gate": self.gate()})
        self.busy("work")
        pid = self.pids("work")["work/1"]
        daemon.signal(signal.SIGTERM)
        daemon.notify.wait_for("STOPPING=1")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertFalse(harness.is_alive(pid))

    def test_a_drain_ends_though_the_disk_takes_nothing(self):
        daemon = self.start(pool("work"), head='drain_timeout = "100ms";\n')
        task_id = daemon.submit("work", {"gate": self.gate()})
        self.busy("work")
        lock = sqlite3.connect(daemon.path("state", "queue-local.db"), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        daemon.signal(signal.SIGTERM)
        daemon.notify.wait_for("STOPPING=1")
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 1)
        self.assertIn("runs again at the next start", daemon.log.text())
        lock.close()
        self.open_gate()
        daemon.start()
        task = daemon.wait_task(task_id)
        self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))

    def test_kill_leaves_no_worker(self):
        daemon = self.start(pool("work", "workers = 3;"))
        pids = self.all_pids("work", 3).values()
        daemon.kill()
        for pid in pids:
            harness.eventually(lambda p=pid: not harness.is_alive(p), "the worker is gone")

    def test_reload_keeps_unchanged_and_live_changed_workers(self):
        daemon = self.start(pool("same"), pool("live"), pool("changed"), pool("gone"))
        before = {name: self.pids(name) for name in ("same", "live", "changed")}
        gone = self.pids("gone")["gone/1"]
        daemon.write_config(config(pool("same"), pool("live", 'task_timeout = "7s"; workers = 2;'),
                                   pool("changed", argument=', "--new"'), pool("added")))
        result = daemon.call("Reload")
        self.assertEqual((result["added"], result["removed"]), (["added"], ["gone"]))
        self.assertEqual(self.pids("same"), before["same"])
        self.all_pids("live", 2)
        self.assertEqual(self.pids("live")["live/1"], before["live"]["live/1"])
        harness.eventually(lambda: self.pids("changed").get("changed/1") not in (None, before["changed"]["changed/1"]),
                           "the changed pool's worker is replaced")
        harness.eventually(lambda: not harness.is_alive(gone), "the removed pool's worker is gone")
        for name in ("same", "live", "changed", "added"):
            self.assertEqual(daemon.run_task(name)["status"], "COMPLETED", name)
        self.assertEqual(daemon.stop(), 0)

    def test_a_rejected_file_changes_nothing(self):
        daemon = self.start(pool("work"))
        before = self.pids("work")
        daemon.write_config(config(pool("work", "wrokers = 3;")))
        result = daemon.ctl("reload", status=1)
        self.assertIn("wrokers", result.stderr)
        self.assertIn("did you mean 'workers'", result.stderr)
        self.assertEqual(self.pids("work"), before)
        self.assertIn("wrokers", daemon.call("GetStatus")["configProblem"])
        daemon.write_config(config(pool("work")))
        daemon.ctl("reload")
        self.assertFalse(daemon.call("GetStatus").get("configProblem"))

    def test_hangup_reloads_and_tells_systemd(self):
        daemon = self.start(pool("work"))
        daemon.write_config(config(pool("work"), pool("more")))
        daemon.signal(signal.SIGHUP)
        message = daemon.notify.wait_for("RELOADING=1")
        self.assertIn("MONOTONIC_USEC=", message)
        daemon.notify.wait_for("READY=1")
        self.assertEqual(daemon.run_task("more")["status"], "COMPLETED")

    def test_reload_during_work_loses_nothing(self):
        daemon = self.start(pool("work", "workers = 2; concurrency = 2;"))
        ids = [daemon.submit("work", {"gate": self.gate()}) for _ in range(10)]
        self.busy("work", 4)
        daemon.write_config(config(pool("work", "workers = 2; concurrency = 2;", argument=', "--new"')))
        daemon.call("Reload")
        self.open_gate()
        daemon.wait_task(*ids)
        for task_id in ids:
            task = daemon.task(task_id)
            self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))

    def test_scale_does_not_touch_busy_workers(self):
        daemon = self.start(pool("work", "workers = 2;"))
        ids = [daemon.submit("work", {"gate": self.gate()}) for _ in range(2)]
        self.busy("work", 2)
        before = self.pids("work")
        daemon.ctl("scale", "work", "+2")
        self.all_pids("work", 4)
        daemon.ctl("scale", "work", "1")
        self.assertEqual(self.all_pids("work", 2), before)
        self.open_gate()
        daemon.wait_task(*ids)
        self.all_pids("work", 1)

    def test_set_changes_a_live_key_until_restart(self):
        daemon = self.start(pool("work"))
        before = self.pids("work")
        daemon.ctl("set", "work", "task_timeout=200ms")
        task = daemon.run_task("work", {"gate": "/nonexistent"}, attempts=1)
        self.assertIn("timed out after 200ms", task["reason"])
        daemon.ctl("set", "work", "task_timeout=soon", status=1)
        daemon.ctl("set", "work", "handler.mode=library", status=1)
        self.assertEqual(set(before), set(self.pids("work")))

    def test_second_daemon_is_told_the_first_ones_pid(self):
        daemon = self.start(pool("work"))
        second = subprocess.run([harness.YARDMASTERD, "--config", daemon.config_path],
                                capture_output=True, text=True, timeout=harness.TIMEOUT, check=False)
        self.assertEqual(second.returncode, 75)
        self.assertIn(str(daemon.process.pid), second.stderr)
        self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_watchdog_pings_while_it_works(self):
        self.daemon.environment["WATCHDOG_USEC"] = "200000"
        daemon = self.start(pool("work"))
        for _ in range(5):
            daemon.notify.wait_for("WATCHDOG=1")

    def test_check_prints_every_error(self):
        self.daemon.write_config(config(pool("work", 'wrokers = 1; task_timeout = "soon";')))
        result = subprocess.run([harness.YARDMASTERD, "--config", self.daemon.config_path, "--check"],
                                capture_output=True, text=True, timeout=harness.TIMEOUT, check=False)
        self.assertEqual(result.returncode, 78)
        self.assertIn("wrokers", result.stderr)
        self.assertIn("task_timeout", result.stderr)
        self.daemon.spawn()
        self.assertEqual(self.daemon.wait(), 78)
        self.assertFalse(os.path.exists(self.daemon.socket_path))

    def run_once(self, *arguments, **options):
        return subprocess.run([harness.YARDMASTERD, "run", "try", "--once", *arguments], capture_output=True,
                              text=True, timeout=harness.TIMEOUT, cwd=self.daemon.directory, check=False, **options)

    def test_run_once(self):
        self.daemon.script("upper.sh", '#!/bin/sh\nread task\nprintf \'{"status":"COMPLETED","output":{"type":"%s"}}\' '
                                       '"$TASK_TYPE"\n')
        result = self.run_once("--input", '{"a": 1}', "--", "./upper.sh")
        self.assertEqual((result.returncode, result.stdout.strip()), (0, '{"type":"try"}'), result.stderr)
        result = self.run_once("--input", "{}", "--mode", "persistent", "--", "./worker.py")
        self.assertEqual(result.returncode, 0, result.stderr)
        result = self.run_once("--input", "{}", "--", "false")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("exit status 1", result.stderr)
        result = self.run_once("--input", "{not json", "--", "true")
        self.assertNotEqual(result.returncode, 0)


if __name__ == "__main__":
    harness.main()
