# SPDX-License-Identifier: Apache-2.0
"""Workers that misbehave, and the handlers of the examples, under the unit's full confinement."""

import glob
import os
import re
import shutil

import guest

EXAMPLES = "/usr/share/yardmaster/examples"
DROP_IN_TEMPLATES = "/usr/share/yardmaster/systemd"
MISBEHAVE = guest.PAYLOAD + "/handlers/misbehave.py"
# The most that "systemd-analyze security" may find.
EXPOSURE_MAX = 1.5


class Workers(guest.Scenario):
    MACHINE = "nspawn"

    def test_crash_loop(self):
        good = guest.HANDLERS + "/mended"
        looping = guest.handler("looping", f"#!/bin/sh\n[ -e {good} ] || exit 9\nexec {MISBEHAVE} persistent\n")
        guest.configure("looping", guest.persistent("looping", looping, workers=1, retry="{ attempts = 100; }",
                                                    restart='{ backoff = "100ms"; backoff_max = "1s"; }'))
        guest.systemctl("reload", guest.UNIT)
        one = guest.submit("looping", {"value": 1})
        guest.eventually(lambda: guest.pool("looping")["state"] == "failed", "the pool has failed")
        (worker,) = guest.workers("looping")
        self.assertIn("9", worker["lastExit"])
        # It is slowed down, and the daemon has nothing to do with it.
        self.assertEqual(guest.show("ActiveState", "NRestarts"), {"ActiveState": "active", "NRestarts": "0"})
        health = guest.yardctl("health", status=1)
        self.assertIn("looping", health.stdout + health.stderr)
        self.assertEqual(guest.task(one)["status"], "SCHEDULED")
        guest.write(good, "")
        self.assertEqual(guest.wait_task(one)["output"]["echo"], 1)
        guest.eventually(lambda: guest.pool("looping")["state"] == "running", "the pool has recovered")

    def test_hung_worker(self):
        guest.configure("hung", guest.persistent("hung", [MISBEHAVE, "persistent"], workers=1, watchdog='"2s"',
                                                 stop_timeout='"1s"', retry="{ attempts = 1; }"))
        guest.systemctl("reload", guest.UNIT)
        pid = guest.main_pid()
        (worker,) = guest.workers("hung")
        hung = guest.wait_task(guest.submit("hung", {"do": "hang"}), "FAILED")
        self.assertIn("watchdog", hung["reason"])
        # Another process serves what comes next; the daemon is the same.
        again = guest.wait_task(guest.submit("hung", {"value": 2}))
        self.assertNotEqual(again["output"]["pid"], worker["pid"])
        self.assertFalse(guest.harness.is_alive(worker["pid"]))
        self.assertEqual(guest.main_pid(), pid)
        self.assertEqual(guest.show("NRestarts"), "0")

    def example(self, name):
        """As the head of NAME.conf says."""
        for path in glob.glob(f"{EXAMPLES}/{name}.*"):
            shutil.copy(path, guest.CONF_D)
            self.addCleanup(os.unlink, os.path.join(guest.CONF_D, os.path.basename(path)))
        guest.systemctl("reload", guest.UNIT)

    def test_examples_under_confinement(self):
        guest.install("yardmaster-dev")
        with open("/etc/os-release", "rb") as file:
            content = file.read()
        self.example("hash")
        self.example("count")
        self.example("file-size")
        given = {"path": "/etc/os-release"}
        digest = guest.run("sha256sum", "/etc/os-release").stdout.split()[0]
        self.assertEqual(guest.wait_task(guest.submit("hash", given))["output"]["digest"], digest)
        self.assertEqual(guest.wait_task(guest.submit("count", given))["output"]["lines"], content.count(b"\n"))
        self.assertEqual(guest.wait_task(guest.submit("file-size", given))["output"]["bytes"], len(content))

    def test_node_needs_its_drop_in(self):
        guest.install("yardmaster-dev")
        self.example("letters")
        given = {"template": "Dear {{name}},", "rows": [{"name": "Ada"}]}
        one = guest.submit("letters", given)
        # Without it Node.js cannot make the code that it compiles executable.
        guest.eventually(lambda: guest.pool("letters")["state"] == "failed", "Node.js ends at start")
        guest.drop_in("20-jit", open(f"{DROP_IN_TEMPLATES}/20-jit.conf", encoding="utf-8").read())
        guest.systemctl("restart", guest.UNIT)
        self.assertEqual(guest.wait_task(one)["output"], {"letters": ["Dear Ada,"]})

    def test_exposure(self):
        text = guest.run("systemd-analyze", "security", "--no-pager", guest.UNIT, status=None).stdout
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", text)
        self.assertLessEqual(float(exposure[1]), EXPOSURE_MAX, text)
        # Of the daemon as it runs, not only of its file.
        with open(f"/proc/{guest.main_pid()}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(int(status["CapBnd"], 16), 0)
        self.assertEqual(status["Seccomp"], "2")


if __name__ == "__main__":
    guest.main()
