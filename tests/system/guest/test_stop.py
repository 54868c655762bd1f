# SPDX-License-Identifier: Apache-2.0
"""The ends of a daemon with tasks in flight: stops, restarts, a hang. None loses one."""

import os
import signal
import subprocess
import time

import guest

GATE = guest.HANDLERS + "/open"
# It runs until the gate is opened, and says who ran it.
GATED = f"""#!/bin/sh
cat >/dev/null
echo $$ >>"$STARTED"
until [ -e {GATE} ]; do sleep 0.1; done
echo '{{"status": "COMPLETED", "output": {{"pid": "'$$'"}}}}'
"""
STARTED = guest.STATE + "/started"
START_GATE = "/run/yardmaster-start"
N_WORKERS = 3


def open_gate():
    guest.write(GATE, "")


def started():
    """The processes that began a task, by pid, in their order."""
    try:
        with open(STARTED, encoding="utf-8") as file:
            return [int(line) for line in file]
    except FileNotFoundError:
        return []


def is_gone(pid):
    return not guest.harness.is_alive(pid)


class Stop(guest.Scenario):
    MACHINE = "nspawn"

    def pool(self, **top):
        """A pool whose tasks run until open_gate()."""
        keys = "".join(f'{key} = "{value}";\n' for key, value in top.items())
        guest.configure("gated", keys + guest.pool_text(
            "gated", guest.handler("gated", GATED), workers=N_WORKERS, stop_timeout='"2s"',
            environment=f'{{ STARTED = "{STARTED}"; }}'))
        guest.systemctl("reload", guest.UNIT)

    def tasks(self, n=N_WORKERS + 2):
        """More than can run; those that do, and those that wait."""
        ids = [guest.submit("gated", {"n": number}) for number in range(n)]
        guest.eventually(lambda: len(started()) == N_WORKERS, f"{N_WORKERS} tasks run")
        running = [one for one in ids if guest.task(one)["status"] == "IN_PROGRESS"]
        self.assertEqual(len(running), N_WORKERS)
        return running, [one for one in ids if one not in running]

    def finish(self, ids, attempts=1):
        """They all complete, each with its one attempt."""
        open_gate()
        for one in ids:
            self.assertEqual(guest.wait_task(one)["attempts"], attempts, guest.task(one))

    def begin_stop(self, verb="stop"):
        stopping = subprocess.Popen(["systemctl", verb, guest.UNIT])
        self.addCleanup(stopping.kill)
        guest.eventually(lambda: guest.yardctl_json("status")["state"] == "draining", "it drains")
        return stopping

    def assert_clean_end(self):
        shown = guest.show("ActiveState", "Result", "ExecMainStatus", "ControlGroup")
        self.assertEqual((shown["ActiveState"], shown["Result"], shown["ExecMainStatus"]), ("inactive", "success", "0"))
        guest.eventually(lambda: all(map(is_gone, started())), "no process of a handler is left")

    def test_stop_within_the_deadline(self):
        self.pool(drain_timeout="10m")
        running, waiting = self.tasks()
        stopping = self.begin_stop()
        self.assertEqual(guest.show("ActiveState", "StatusText")["ActiveState"], "deactivating")
        open_gate()
        self.assertEqual(stopping.wait(guest.TIMEOUT), 0)
        self.assert_clean_end()
        # What ran has its result, what waited has not begun.
        self.assertEqual(len(started()), N_WORKERS)
        os.unlink(GATE)
        guest.systemctl("start", guest.UNIT)
        for one in running:
            self.assertEqual(guest.task(one)["status"], "COMPLETED")
        self.finish(waiting)

    def test_stop_beyond_the_deadline(self):
        self.pool(drain_timeout="1s")
        running, waiting = self.tasks()
        began = time.monotonic()
        guest.systemctl("stop", guest.UNIT)
        self.assertLess(time.monotonic() - began, 30)
        self.assert_clean_end()
        guest.systemctl("start", guest.UNIT)
        self.finish(running + waiting)

    def test_second_stop(self):
        self.pool(drain_timeout="10m")
        running, waiting = self.tasks()
        stopping = self.begin_stop()
        guest.systemctl("kill", "--signal=TERM", "--kill-whom=main", guest.UNIT)
        self.assertEqual(stopping.wait(guest.TIMEOUT), 0)
        self.assert_clean_end()
        guest.systemctl("start", guest.UNIT)
        self.finish(running + waiting)

    def test_stop_longer_than_the_unit_allows(self):
        """While the drain makes progress the daemon asks for more time, and gets it."""
        self.pool(drain_timeout="10m")
        guest.drop_in("timeout", "[Service]\nTimeoutStopSec=3\n")
        running, waiting = self.tasks()
        began = time.monotonic()
        stopping = self.begin_stop()
        guest.eventually(lambda: time.monotonic() - began > 8, "more than twice TimeoutStopSec has passed")
        self.assertEqual(guest.show("ActiveState"), "deactivating")
        open_gate()
        self.assertEqual(stopping.wait(guest.TIMEOUT), 0)
        self.assert_clean_end()
        guest.systemctl("start", guest.UNIT)
        self.finish(running + waiting)

    @staticmethod
    def open_start_gate():
        # Read and write, so that it waits for no reader.
        gate = os.open(START_GATE, os.O_RDWR | os.O_NONBLOCK)
        os.write(gate, b"go\n")
        while guest.show("SubState") == "start-pre":
            time.sleep(0.05)
        os.close(gate)

    def test_restart(self):
        self.pool(drain_timeout="10m")
        # The new daemon starts when it is allowed to: until then there is none.
        subprocess.run(["mkfifo", "-m", "0666", START_GATE], check=True)
        self.addCleanup(os.unlink, START_GATE)
        self.addCleanup(self.open_start_gate)
        guest.drop_in("gate", f"[Service]\nExecStartPre=/bin/sh -c 'read line <{START_GATE}'\n")
        running, waiting = self.tasks()
        pid = guest.main_pid()
        restarting = self.begin_stop("restart")
        open_gate()
        guest.eventually(lambda: guest.show("SubState") == "start-pre", "the new one is about to start")
        self.assertTrue(is_gone(pid))
        # Who comes now waits, and is answered by the new one.
        status = subprocess.Popen(["yardctl", "--json", "status"], stdout=subprocess.PIPE, text=True)
        submit = subprocess.Popen(["yardctl", "submit", "gated"], stdout=subprocess.PIPE, text=True)
        with self.assertRaises(subprocess.TimeoutExpired):
            status.wait(1)
        self.open_start_gate()
        self.assertEqual(restarting.wait(guest.TIMEOUT), 0)
        self.assertIn(f'"pid":{guest.main_pid()}', status.communicate(timeout=guest.TIMEOUT)[0].replace(" ", ""))
        self.assertEqual(status.returncode, 0)
        waiting.append(submit.communicate(timeout=guest.TIMEOUT)[0].strip())
        self.assertEqual(submit.returncode, 0)
        for one in running:
            self.assertEqual(guest.task(one)["status"], "COMPLETED")
        self.finish(waiting)

    def test_restart_of_a_killed_daemon(self):
        self.pool()
        running, waiting = self.tasks()
        os.kill(guest.main_pid(), signal.SIGKILL)
        # RestartSec has not passed yet: the stored socket keeps who comes now.
        waiting.append(guest.submit("gated"))
        guest.wait_state("active")
        self.assertEqual(guest.show("NRestarts"), "1")
        for pid in started()[:N_WORKERS]:
            self.assertTrue(is_gone(pid))
        self.finish(running + waiting)

    def test_stopped_daemon_is_restarted_by_the_watchdog(self):
        self.pool()
        guest.drop_in("watchdog", "[Service]\nWatchdogSec=3\n")
        guest.systemctl("restart", guest.UNIT)
        running, waiting = self.tasks()
        pid, workers = guest.main_pid(), started()
        journal = guest.Journal("-u", guest.UNIT)
        os.kill(pid, signal.SIGSTOP)
        journal.wait_for("Watchdog timeout", "_PID=1")
        guest.eventually(lambda: guest.show("NRestarts") == "1", "a restart")
        guest.wait_state("active")
        self.assertNotEqual(guest.main_pid(), pid)
        guest.eventually(lambda: all(map(is_gone, [pid, *workers])), "nothing of the old daemon is left")
        self.finish(running + waiting)

    def test_yardctl_starts_nothing(self):
        guest.systemctl("stop", guest.UNIT)
        for arguments in (["status"], ["submit", "gated", "--force"], ["health"]):
            told = guest.yardctl(*arguments, status=3)
            self.assertIn("systemctl start yardmaster", told.stderr)
        self.assertEqual(guest.show("ActiveState", "NRestarts"), {"ActiveState": "inactive", "NRestarts": "0"})
        self.assertFalse(os.path.exists(guest.CONTROL))


if __name__ == "__main__":
    guest.main()
