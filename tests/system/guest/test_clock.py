# SPDX-License-Identifier: Apache-2.0
"""The wall clock jumps while tasks run: their time limits, the watchdog and the daemon itself do not notice."""

import os
import time

import guest
from harness import eventually

JUMP_SECONDS = 3 * 3600
GATE = os.path.join(guest.HANDLERS, "gate")
# Ends when the gate is there; $0 may be read, nothing else of the machine may be written.
WAIT = f"""#!/bin/sh
while [ ! -e {GATE} ]; do sleep 0.1; done
echo '{{"status": "COMPLETED", "output": {{"waited": true}}}}'
"""


def jump(seconds):
    guest.run("date", "-s", f"@{int(time.time()) + seconds}")


class Clock(guest.Scenario):
    MACHINE = "qemu"  # a container's clock is its host's

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: os.path.exists(GATE) and os.unlink(GATE))
        guest.configure("wait", guest.pool_text("wait", guest.handler("wait", WAIT), task_timeout='"1h"', workers="2"))
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        self.pid = guest.main_pid()

    def check(self, seconds):
        running = [guest.submit("wait") for _ in range(2)]
        for task in running:
            guest.wait_running(task)
        pings = self.watchdog_pings()
        jump(seconds)
        self.addCleanup(jump, -seconds)
        self.assertEqual(guest.wait_task(guest.submit("echo", {"n": 1}))["output"], {"n": 1})
        eventually(lambda: self.watchdog_pings() != pings, "the daemon still answers the watchdog")
        self.assertEqual([guest.task(task)["status"] for task in running], ["IN_PROGRESS"] * 2)
        guest.write(GATE, "")
        for task in running:
            self.assertEqual(guest.wait_task(task)["attempts"], 1)
        self.assertEqual((guest.main_pid(), guest.show("NRestarts")), (self.pid, "0"))

    @staticmethod
    def watchdog_pings():
        return guest.show("WatchdogTimestampMonotonic")

    def test_forward(self):
        """By more than the tasks' time limit."""
        self.check(JUMP_SECONDS)

    def test_backward(self):
        self.check(-JUMP_SECONDS)


if __name__ == "__main__":
    guest.main()
