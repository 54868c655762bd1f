# SPDX-License-Identifier: Apache-2.0
"""A daemon that logs to a journal: systemd-journald, started in a mount namespace of this test alone.

What only a booted system shows (the unit, a journal that is stopped by systemd) is in tests/system.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import harness
from harness import Daemon, eventually

JOURNALD = "/lib/systemd/systemd-journald"
SOCKET = "/run/systemd/journal/socket"
STDOUT = "/run/systemd/journal/stdout"
CLONE_NEWNS = 0x00020000

PERSISTENT = """#!/usr/bin/env python3
import json, os, sys
print("<4>hello", file=sys.stderr, flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    for i in range(message["task"]["inputData"].get("times", 1)):
        print("line", i, file=sys.stderr, flush=True)
    print("stray", flush=True)
    print(json.dumps({"type": "result", "status": "COMPLETED", "output": {"pid": os.getpid()}}), flush=True)
"""

PER_TASK = """#!/bin/sh
echo "of $TASK_ID" >&2
echo "<3>bad" >&2
echo '{"status": "COMPLETED"}'
"""

CONFIG = """
sources: { local: { type = "queue"; durability = "normal"; }; };
pools: {
  on: { source = "local"; handler = { command = ["@DIR@/persistent"]; mode = "persistent"; }; };
  each: { source = "local"; handler = { command = ["@DIR@/per-task"]; }; };
};
"""


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def listens():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(STDOUT) == 0


def enter_namespace():
    """Why there can be no journal here, or None: then /run and /var/log are this process's own."""
    if os.geteuid() != 0:
        return "only root starts a journal"
    if not os.path.exists(JOURNALD) or not shutil.which("journalctl"):
        return "systemd-journald is missing"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return "a mount namespace is refused: " + os.strerror(ctypes.get_errno())
    run("mount", "--make-rprivate", "/")
    for folder in ("/run", "/var/log"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    os.makedirs("/run/systemd/journal")
    return None


class WithJournal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.problem = enter_namespace()

    def setUp(self):
        if self.problem:
            self.skipTest(self.problem)
        self.journald = None
        self.start_journald()
        self.addCleanup(self.stop_journald)
        # JOURNAL_STREAM is what systemd would set for the stream that systemd-cat opens.
        self.daemon = Daemon(CONFIG, wrapper=["systemd-cat", "--identifier=yardmasterd", "sh", "-c",
                                              'JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec "$@"', "sh"])
        self.addCleanup(self.daemon.remove)
        self.daemon.script("persistent", PERSISTENT)
        self.daemon.script("per-task", PER_TASK)

    def start_journald(self):
        self.journald = subprocess.Popen([JOURNALD], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        eventually(listens, "the journal listens")

    def stop_journald(self):
        if self.journald:
            self.journald.send_signal(signal.SIGCONT)
            self.journald.terminate()
            self.journald.wait()
            # Where systemd holds the sockets these go with its units.
            os.unlink(SOCKET)
            os.unlink(STDOUT)
        self.journald = None

    def run_task(self, task_type, **given):
        shown = self.daemon.wait_task(self.daemon.submit(task_type, given))
        self.assertEqual((shown["status"], shown["attempts"]), ("COMPLETED", 1), shown)
        return shown

    def worker_pid(self):
        (worker,) = self.daemon.call("ListWorkers", {"pool": "on"})["workers"]
        return worker.get("pid")

    def entries(self, *words):
        run("journalctl", "--sync")
        text = self.daemon.ctl("logs", "--json", "-n", "all", *words).stdout
        return [json.loads(line) for line in text.splitlines()]

    def messages(self, *words):
        return {entry["MESSAGE"]: entry for entry in self.entries(*words)}

    def test_entries(self):
        self.daemon.start()
        pid = str(self.run_task("on")["output"]["pid"])
        task_id = self.run_task("each")["taskId"]
        of_worker = self.messages("on/1")
        self.assertEqual((of_worker["hello"]["_PID"], of_worker["hello"]["PRIORITY"]), (pid, "4"))
        self.assertEqual(of_worker["stray"]["SYSLOG_PID"], pid)
        self.assertEqual(of_worker["line 0"]["SYSLOG_IDENTIFIER"], "on/1")
        of_task = self.messages("--task", task_id)
        self.assertEqual(of_task["bad"]["PRIORITY"], "3")
        self.assertEqual(of_task[f"of {task_id}"]["YARDMASTER_WORKER"], "each/1")
        self.assertNotIn("bad", self.messages("on"))
        self.assertTrue(any(text.startswith("ready: ") for text in self.messages()))
        self.assertEqual(self.daemon.call("GetStatus")["log"]["journal"], True)

    def test_hangs(self):
        self.daemon.start()
        self.run_task("on")
        self.journald.send_signal(signal.SIGSTOP)
        slowest = 0
        for _ in range(100):
            began = time.monotonic()
            self.daemon.call("GetStatus")
            slowest = max(slowest, time.monotonic() - began)
            self.run_task("each")
        print(f"# the slowest answer: {1000 * slowest:.0f} ms")
        self.assertLess(slowest, 5)
        self.assertGreater(self.daemon.call("GetStatus")["log"]["dropped"], 0)
        self.assertRegex(self.daemon.call("GetMetrics")["text"], r"(?m)^yardmaster_log_lines_dropped_total [1-9]")
        # What starts meanwhile has no stream that could hang.
        self.daemon.call("RestartPool", {"pool": "on"})
        self.run_task("on", times=1000)
        self.journald.send_signal(signal.SIGCONT)
        self.run_task("each")
        self.assertTrue(any("lines are missing here" in text for text in self.messages()))

    def test_goes(self):
        self.daemon.start()
        pid = self.run_task("on")["output"]["pid"]
        self.stop_journald()
        # An idle worker is replaced before it could lose a line, or fail over one.
        second = eventually(lambda: self.worker_pid() not in (None, pid) and self.worker_pid(), "the worker is replaced")
        self.assertEqual(self.run_task("on")["output"]["pid"], second)
        self.start_journald()
        self.assertEqual(self.run_task("on")["output"]["pid"], second)
        told = self.messages("on/1")
        self.assertEqual(told["line 0"]["SYSLOG_PID"], str(second))


if __name__ == "__main__":
    harness.main()
