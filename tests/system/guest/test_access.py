# SPDX-License-Identifier: Apache-2.0
"""Who may use the control socket, and that instances share nothing."""

import grp
import os
import pwd
import stat
import subprocess

import guest

UNREACHABLE, DENIED = 3, 7


def add_user(name, *groups):
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--user-group", "--groups", ",".join(groups), name], check=True)


class Access(guest.Scenario):
    MACHINE = "nspawn"

    def test_control_socket(self):
        subprocess.run(["groupadd", "--force", "yard-admins"], check=True)
        add_user("member", "yardmaster")
        add_user("admin", "yardmaster", "yard-admins")
        add_user("stranger")
        guest.configure("access", 'admin_group = "yard-admins";\n')
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)

        shown = os.stat(guest.CONTROL)
        self.assertEqual(stat.filemode(shown.st_mode), "srw-rw----")
        self.assertEqual(shown.st_gid, grp.getgrnam("yardmaster").gr_gid)

        for user in ("root", "admin", "member", "yardmaster"):
            guest.yardctl("status", user=user)
            guest.wait_task(guest.yardctl("submit", "echo", user=user).stdout.strip())
        for user in ("root", "admin", "yardmaster"):
            guest.yardctl("scale", "echo", "2", user=user)
        for arguments in (["scale", "echo", "3"], ["pause", "echo"], ["reload"], ["drain"]):
            guest.yardctl(*arguments, user="member", status=DENIED)
        self.assertEqual(guest.pool("echo")["wantedWorkers"], 2)
        for arguments in (["status"], ["submit", "echo"]):
            told = guest.yardctl(*arguments, user="stranger", status=DENIED)
            self.assertIn("yardmaster", told.stderr)

    def test_socket_is_the_same_after_a_restart(self):
        before = os.stat(guest.CONTROL)
        guest.systemctl("restart", guest.UNIT)
        after = os.stat(guest.CONTROL)
        self.assertEqual((before.st_ino, before.st_mode, before.st_gid), (after.st_ino, after.st_mode, after.st_gid))

    def test_files_are_nobody_elses(self):
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        guest.wait_task(guest.submit("echo", {"secret": 1}))
        add_user("member", "yardmaster")
        guest.run("ls", guest.STATE, user="member", status=2)
        owner = pwd.getpwnam("yardmaster").pw_uid
        for folder, folders, files in os.walk(guest.STATE):
            for name in folders + files:
                shown = os.lstat(os.path.join(folder, name))
                self.assertEqual((shown.st_uid, shown.st_mode & 0o077 if not stat.S_ISLNK(shown.st_mode) else 0),
                                 (owner, 0), name)

    def instance(self, name):
        folder = f"/etc/yardmaster/instances/{name}"
        guest.write(f"{folder}/yardmaster.conf", 'sources: { local: { type = "queue"; }; };\n')
        echo = guest.handler("echo", guest.ECHO)
        guest.write(f"{folder}/conf.d/{name}.conf", guest.pool_text(f"echo-{name}", echo))
        unit = f"yardmaster@{name}.service"
        self.addCleanup(guest.systemctl, "stop", unit)
        guest.systemctl("start", unit)
        return unit

    def test_two_instances(self):
        units = {name: self.instance(name) for name in ("north", "south")}
        pids = {guest.main_pid(), *(guest.main_pid(unit) for unit in units.values())}
        self.assertEqual(len(pids), 3)
        ids = {}
        for name, unit in units.items():
            status = guest.yardctl_json("--instance", name, "status")
            self.assertEqual(status["pid"], guest.main_pid(unit))
            self.assertEqual([pool["name"] for pool in status["pools"]], [f"echo-{name}"])
            ids[name] = guest.yardctl("--instance", name, "submit", f"echo-{name}", "--wait", "--json").stdout
            self.assertTrue(os.path.isdir(f"/var/lib/yardmaster-{name}"))
        # A stop of one leaves the other alone.
        guest.systemctl("stop", units["north"])
        guest.yardctl("--instance", "north", "status", status=UNREACHABLE)
        self.assertEqual(guest.show("ActiveState", unit=units["south"]), "active")
        guest.yardctl("--instance", "south", "submit", "echo-south", "--wait")
        guest.yardctl("status")


if __name__ == "__main__":
    guest.main()
