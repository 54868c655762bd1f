# SPDX-License-Identifier: Apache-2.0
"""From an installation to a running pool, and what a wrong file does at a reload and at a start."""

import os
import signal

import guest

EX_CONFIG = "78"
EXIT_CREDENTIALS = "243"
WRONG = 'pools: { wrong: { source = "nowhere"; handler = { command = ["true"]; }; }; };\n'


class Configuration(guest.Scenario):
    MACHINE = "nspawn"

    def test_install(self):
        guest.install()
        guest.wait_state("active")
        shown = guest.show("SubState", "Result", "NRestarts", "UnitFileState", "StatusText", "User", "Delegate")
        self.assertEqual(shown["SubState"], "running")
        self.assertEqual(shown["Result"], "success")
        self.assertEqual(shown["NRestarts"], "0")
        self.assertEqual(shown["UnitFileState"], "enabled")
        self.assertEqual(shown["User"], "yardmaster")
        status = guest.yardctl_json("status")
        self.assertEqual(status["pools"], [])
        self.assertEqual(status["pid"], guest.main_pid())
        # What to do next stands where an administrator looks first.
        self.assertIn("/etc/yardmaster/conf.d", shown["StatusText"])

    def test_pool_added_by_reload(self):
        guest.echo_pool()
        pid = guest.main_pid()
        guest.systemctl("reload", guest.UNIT)
        # The reload was synchronous: the pool is there at once, in the same process.
        self.assertEqual(guest.pool("echo")["state"], "running")
        self.assertEqual(guest.main_pid(), pid)
        self.assertEqual(guest.wait_task(guest.submit("echo", {"name": "Ada"}))["output"], {"name": "Ada"})

    def test_bad_file_at_reload(self):
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        pid = guest.main_pid()
        path = guest.configure("wrong", WRONG)
        guest.systemctl("reload", guest.UNIT, status=1)
        shown = guest.show("ActiveState", "SubState", "MainPID", "NRestarts", "ReloadResult")
        self.assertEqual((shown["ActiveState"], shown["SubState"]), ("active", "running"))
        self.assertEqual((shown["MainPID"], shown["NRestarts"]), (str(pid), "0"))
        # The reason stands in the journal, and in status until it is mended; the old pools go on.
        self.journal.wait_for("conf.d/wrong.conf:1")
        self.assertIn("nowhere", guest.yardctl_json("status")["configProblem"])
        guest.wait_task(guest.submit("echo"))
        os.unlink(path)
        guest.systemctl("reload", guest.UNIT)
        self.assertFalse(guest.yardctl_json("status").get("configProblem"))

    def test_bad_file_at_start(self):
        path = guest.configure("wrong", WRONG)
        guest.systemctl("restart", guest.UNIT, status=1)
        shown = guest.show("ActiveState", "Result", "ExecMainStatus", "NRestarts")
        self.assertEqual(shown, {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": EX_CONFIG,
                                 "NRestarts": "0"})
        self.journal.wait_for("conf.d/wrong.conf:1")
        # No restart is under way or comes later: it waits for the administrator.
        self.assertEqual(guest.show("SubState"), "failed")
        self.assertEqual(guest.systemctl("list-jobs", "--no-legend").stdout.strip(), "")
        os.unlink(path)
        guest.systemctl("start", guest.UNIT)
        self.assertEqual(guest.show("ActiveState"), "active")

    def test_credential_missing_to_systemd(self):
        guest.drop_in("credential", "[Service]\nLoadCredential=key:/etc/no-such-secret\n")
        guest.systemctl("restart", guest.UNIT, status=1)
        shown = guest.show("ActiveState", "ExecMainStatus", "NRestarts")
        self.assertEqual(shown, {"ActiveState": "failed", "ExecMainStatus": EXIT_CREDENTIALS, "NRestarts": "0"})
        guest.write("/etc/no-such-secret", "sesame\n", 0o600)
        self.addCleanup(os.unlink, "/etc/no-such-secret")
        guest.systemctl("start", guest.UNIT)

    def test_credential_missing_to_a_pool(self):
        name = guest.handler("secret", '#!/bin/sh\njq -n --rawfile key "$CREDENTIALS_DIRECTORY/key" '
                                       '\'{status: "COMPLETED", output: {key: $key}}\'\n')
        guest.configure("secret", guest.pool_text("secret", name, credentials='["key"]'))
        # A running daemon refuses it by name, a starting one ends with the exit code of a wrong file.
        guest.systemctl("reload", guest.UNIT, status=1)
        self.assertIn("key", guest.yardctl_json("status")["configProblem"])
        guest.systemctl("restart", guest.UNIT, status=1)
        self.assertEqual(guest.show("ExecMainStatus", "NRestarts"), {"ExecMainStatus": EX_CONFIG, "NRestarts": "0"})
        # Given by systemd, which alone could read it, it reaches the handler of the pool that lists it.
        guest.write("/etc/a-secret", "sesame\n", 0o600)
        self.addCleanup(os.unlink, "/etc/a-secret")
        guest.drop_in("credential", "[Service]\nLoadCredential=key:/etc/a-secret\n")
        guest.systemctl("start", guest.UNIT)
        self.assertEqual(guest.wait_task(guest.submit("secret"))["output"], {"key": "sesame\n"})

    def test_killed_daemon_comes_back(self):
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        pid = guest.main_pid()
        os.kill(pid, signal.SIGKILL)
        guest.eventually(lambda: guest.show("NRestarts") == "1", "a restart")
        guest.wait_state("active")
        guest.wait_task(guest.submit("echo"))


if __name__ == "__main__":
    guest.main()
