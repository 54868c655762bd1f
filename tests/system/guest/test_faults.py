# SPDX-License-Identifier: Apache-2.0
"""What the system around the service may do to it: a full disk, a journal that is away or hangs."""

import os
import signal
import subprocess

import guest

JOURNAL_UNITS = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket",
                 "systemd-journald.service"]
DISK_BYTES = 8 << 20
N_TASKS = 20
# It says something on both ways to the journal.
TALKATIVE = """#!/bin/sh
cat >/dev/null
echo "a line of the handler" >&2
echo '{"status": "COMPLETED", "logs": ["a line of the task"]}'
"""


class Faults(guest.Scenario):
    MACHINE = "nspawn"

    def full_disk(self):
        """The state folder becomes a disk of its own; returns what fills it."""
        guest.systemctl("stop", guest.UNIT)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", guest.STATE], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", guest.STATE], check=True)
        self.addCleanup(guest.systemctl, "stop", guest.UNIT)
        guest.systemctl("start", guest.UNIT)
        filler = guest.STATE + "/filler"

        def fill():
            with open(filler, "wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
        return fill, filler

    def test_full_disk(self):
        fill, filler = self.full_disk()
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        pid = guest.main_pid()
        before = guest.wait_task(guest.submit("echo", {"n": "before"}))
        guest.yardctl("pause", "echo")
        waiting = guest.submit("echo", {"n": "waiting"})
        fill()
        # What cannot be kept is refused, by its reason; what was accepted stays.
        big = '{"text": "' + "x" * 200_000 + '"}'
        refused = guest.yardctl("submit", "echo", "-", input=big, status=1)
        self.assertRegex(refused.stderr, "(?i)disk|full|space")
        self.assertEqual(guest.show("ActiveState", "NRestarts"), {"ActiveState": "active", "NRestarts": "0"})
        self.assertEqual(guest.main_pid(), pid)
        self.assertEqual(guest.task(waiting)["status"], "SCHEDULED")
        guest.yardctl("resume", "echo")
        os.unlink(filler)
        guest.wait_task(waiting)
        guest.wait_task(guest.submit("echo", {"n": "after"}))
        self.assertEqual(guest.task(before["taskId"])["status"], "COMPLETED")

    def test_start_on_a_full_disk(self):
        fill, filler = self.full_disk()
        guest.systemctl("stop", guest.UNIT)
        for name in os.listdir(guest.STATE):
            subprocess.run(["rm", "-rf", os.path.join(guest.STATE, name)], check=True)
        fill()
        subprocess.run(["systemctl", "start", "--no-block", guest.UNIT], check=True)
        # It is tried again, for as long as it takes, and says why.
        guest.eventually(lambda: int(guest.show("NRestarts")) >= 2 or guest.show("ActiveState") == "active", "two tries")
        if guest.show("ActiveState") != "active":
            self.journal.wait_for("space", "_SYSTEMD_UNIT=" + guest.UNIT)
        os.unlink(filler)
        guest.wait_state("active")
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        guest.wait_task(guest.submit("echo"))

    def talkative(self):
        guest.configure("talkative", guest.pool_text("talkative", guest.handler("talkative", TALKATIVE), workers=2))
        guest.systemctl("reload", guest.UNIT)

    def run_tasks(self):
        lines = '{"type": "talkative"}\n' * N_TASKS
        ids = guest.yardctl("submit", "--from", "-", "--ids", input=lines).stdout.split()
        self.assertEqual(len(ids), N_TASKS)
        guest.yardctl("wait", *ids)

    def stop_journald(self):
        def start():
            guest.systemctl("start", *JOURNAL_UNITS[:2], JOURNAL_UNITS[-1], status=None)
        self.addCleanup(start)
        guest.systemctl("stop", *JOURNAL_UNITS, status=None)
        self.assertEqual(guest.show("ActiveState", unit="systemd-journald.service"), "inactive")
        return start

    def test_journald_stopped(self):
        self.talkative()
        pid = guest.main_pid()
        start = self.stop_journald()
        self.run_tasks()
        guest.systemctl("reload", guest.UNIT)
        start()
        # It says what it has to say as soon as somebody listens again.
        journal = guest.Journal()
        self.run_tasks()
        journal.wait_for("a line of the handler")
        self.assertEqual((guest.main_pid(), guest.show("NRestarts")), (pid, "0"))

    def test_start_without_journald(self):
        self.talkative()
        start = self.stop_journald()
        guest.systemctl("restart", guest.UNIT)
        self.run_tasks()
        start()
        self.run_tasks()
        self.assertEqual(guest.show("ActiveState", "NRestarts"), {"ActiveState": "active", "NRestarts": "0"})
        # It was given /dev/null for its standard error, and speaks all the same.
        journal = guest.Journal(f"_SYSTEMD_UNIT={guest.UNIT}", "SYSLOG_IDENTIFIER=yardmasterd")
        guest.systemctl("reload", guest.UNIT)
        journal.wait_for("reloaded")

    def test_journald_hangs(self):
        self.talkative()
        pid = guest.main_pid()
        journald = guest.main_pid("systemd-journald.service")
        os.kill(journald, signal.SIGSTOP)
        try:
            for _ in range(5):
                self.run_tasks()
        finally:
            os.kill(journald, signal.SIGCONT)
        self.assertEqual((guest.main_pid(), guest.show("NRestarts")), (pid, "0"))


if __name__ == "__main__":
    guest.main()
