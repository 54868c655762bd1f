# SPDX-License-Identifier: Apache-2.0
"""From an installation to a running pool, and what a wrong file does at a reload and at a start."""

import guest


class Configuration(guest.Scenario):
    MACHINE = "nspawn"

    def test_install(self):
        guest.install()
        guest.wait_state("active")
        shown = guest.show("SubState", "Result", "NRestarts", "UnitFileState", "StatusText", "User")
        self.assertEqual(shown["SubState"], "running")
        self.assertEqual(shown["Result"], "success")
        self.assertEqual(shown["NRestarts"], "0")
        self.assertEqual(shown["UnitFileState"], "enabled")
        self.assertEqual(shown["User"], "yardmaster")
        status = guest.yardctl_json("status")
        self.assertEqual(status["pools"], [])
        self.assertEqual(status["pid"], guest.main_pid())

    def test_install_and_reload_a_pool(self):
        guest.echo_pool()
        pid = guest.main_pid()
        guest.systemctl("reload", guest.UNIT)
        self.assertEqual(guest.show("ActiveState"), "active")
        self.assertEqual(guest.main_pid(), pid)
        # The reload was synchronous: the pool is there at once.
        self.assertEqual(guest.pool("echo")["state"], "running")
        done = guest.wait_task(guest.submit("echo", {"name": "Ada"}))
        self.assertEqual(done["output"], {"name": "Ada"})


if __name__ == "__main__":
    guest.main()
