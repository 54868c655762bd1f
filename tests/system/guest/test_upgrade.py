# SPDX-License-Identifier: Apache-2.0
"""The life of the package: an upgrade under load, its removal, and what only a purge deletes."""

import os
import subprocess

import guest
from test_stop import GATED, N_WORKERS, STARTED, open_gate, started

NEWER = guest.DEBS + "/newer"


def version(name="yardmaster"):
    return guest.run("dpkg-query", "-W", "-f", "${Version}", name).stdout


class Upgrade(guest.Scenario):
    MACHINE = "nspawn"

    def gated_pool(self):
        guest.configure("gated", 'drain_timeout = "10m";\n' + guest.pool_text(
            "gated", guest.handler("gated", GATED), workers=N_WORKERS, environment=f'{{ STARTED = "{STARTED}"; }}'))
        guest.systemctl("reload", guest.UNIT)
        ids = [guest.submit("gated", {"n": number}) for number in range(N_WORKERS + 2)]
        guest.eventually(lambda: len(started()) == N_WORKERS, "tasks run")
        return ids

    def test_upgrade_with_tasks_in_flight(self):
        before, pid = version(), guest.main_pid()
        changed = guest.write(guest.ETC + "/yardmaster.conf", guest.read(guest.ETC + "/yardmaster.conf") + "# ours\n")
        ids = self.gated_pool()
        upgrade = subprocess.Popen(["apt-get", "install", "-y", "-q", *guest.packages("yardmaster", "yardctl", folder=NEWER)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        # It waits for what runs, takes nothing new, and then goes on in the new daemon.
        guest.eventually(lambda: guest.show("ActiveState") in ("deactivating", "reloading") or upgrade.poll() is not None,
                         "the upgrade drains")
        self.assertEqual(guest.show("ActiveState"), "deactivating")
        open_gate()
        output = upgrade.communicate(timeout=guest.TIMEOUT * 5)[0]
        self.assertEqual(upgrade.returncode, 0, output)
        self.assertNotEqual(version(), before)
        self.assertEqual(guest.show("ActiveState", "NRestarts"), {"ActiveState": "active", "NRestarts": "0"})
        self.assertNotEqual(guest.main_pid(), pid)
        for one in ids:
            self.assertEqual(guest.wait_task(one)["attempts"], 1)
        self.assertEqual(len(started()), len(ids))
        # A file of the administrator stays as it is.
        self.assertIn("# ours", guest.read(changed))

    def test_upgrade_of_a_stopped_service(self):
        guest.systemctl("disable", "--now", guest.UNIT)
        guest.run("apt-get", "install", "-y", "-q", "--allow-downgrades", *guest.packages("yardmaster", "yardctl"),
                  timeout=guest.TIMEOUT * 5)
        self.assertEqual(guest.show("ActiveState", "UnitFileState"), {"ActiveState": "inactive", "UnitFileState": "disabled"})
        guest.systemctl("enable", guest.UNIT)

    def test_remove_and_purge(self):
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        one = guest.submit("echo", {"n": 1})
        guest.wait_task(one)
        guest.run("apt-get", "remove", "-y", "-q", "yardmaster", timeout=guest.TIMEOUT * 5)
        self.assertEqual(guest.run("systemctl", "is-active", guest.UNIT, status=None).stdout.strip(), "inactive")
        self.assertTrue(os.path.exists(guest.CONF_D + "/echo.conf"))
        self.assertTrue(os.path.exists(guest.ETC + "/yardmaster.conf"))
        self.assertFalse(os.path.exists(guest.CONTROL))
        # Installed again, it goes on where it was.
        guest.install("yardmaster")
        guest.wait_state("active")
        self.assertEqual(guest.task(one)["output"], {"n": 1})
        guest.run("apt-get", "purge", "-y", "-q", "yardmaster", timeout=guest.TIMEOUT * 5)
        for path in (guest.ETC, guest.STATE, os.path.dirname(guest.CONTROL)):
            self.assertFalse(os.path.exists(path), path)
        self.assertEqual(guest.run("systemctl", "list-unit-files", "--no-legend", "yardmaster*", status=None).stdout
                         .replace("yardmaster-tests.service", "").split(), ["enabled", "enabled"])


if __name__ == "__main__":
    guest.main()
