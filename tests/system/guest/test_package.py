# SPDX-License-Identifier: Apache-2.0
"""The packages beyond one service: README's first steps, instances, a file that became invalid, the client."""

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess

import guest
from test_stop import GATE, open_gate
from test_upgrade import NEWER

README = os.path.join(guest.PAYLOAD, "README.md")
INSTANCES = guest.ETC + "/instances"
INVALID = guest.CONF_D + "/invalid.conf"
# It runs until the gate is opened.
GATED = f"""#!/bin/sh
cat >/dev/null
until [ -e {GATE} ]; do sleep 0.1; done
echo '{{"status": "COMPLETED"}}'
"""


def first_steps():
    """The commands that README has for installing the service."""
    section = guest.read(README).split("## Install as a service\n")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


def apt(*arguments, **options):
    return guest.run("apt-get", "-y", "-q", *arguments, timeout=guest.TIMEOUT * 5,
                     environment={"DEBIAN_FRONTEND": "noninteractive"}, **options).stdout


def newer():
    return guest.packages("yardmaster", "yardctl", folder=NEWER)


def upgrade():
    return apt("install", *newer())


def downgrade():
    return apt("install", "--allow-downgrades", *guest.packages("yardmaster", "yardctl"))


def unit_of(instance):
    return f"yardmaster@{instance}.service"


def control_of(instance):
    return f"/run/yardmaster-{instance}/control"


class Package(guest.Scenario):
    MACHINE = "nspawn"

    def setUp(self):
        super().setUp()
        self.instances = []

    def tearDown(self):
        open_gate()
        for name in self.instances:
            guest.systemctl("disable", "--now", unit_of(name), status=None, timeout=guest.TIMEOUT * 3)
            shutil.rmtree(f"{INSTANCES}/{name}", ignore_errors=True)
        if self.instances:
            downgrade()

    def instance(self, name, *how):
        """An instance with a pool whose tasks wait for open_gate(), started or enabled as how says."""
        self.instances.append(name)
        text = 'sources: { local: { type = "queue"; }; };\n' + guest.pool_text("gated", guest.handler("gated", GATED))
        guest.write(f"{INSTANCES}/{name}/yardmaster.conf", text)
        if how:
            guest.systemctl(*how, unit_of(name))

    def submit_to(self, name):
        return guest.yardctl("--socket", control_of(name), "submit", "gated", "{}").stdout.strip()

    def test_what_the_readme_says(self):
        apt("purge", "yardmaster", "yardctl", "yardmaster-dev")
        build, *commands = [command.removeprefix("sudo ") for command in first_steps()]
        self.assertEqual(build, "packaging/build-deb")
        self.assertEqual(len(commands), 4)
        for command in commands:
            output = guest.run("sh", "-c", command.replace("./build-deb/", guest.DEBS + "/"),
                               timeout=guest.TIMEOUT * 5).stdout
        with open("/etc/os-release", "rb") as file:
            self.assertEqual(json.loads(output)["digest"], hashlib.sha256(file.read()).hexdigest())
        self.assertRegex(guest.yardctl("status").stdout, r"(?m)^hash +running")

    def test_upgrade_restarts_instances(self):
        self.instance("enabled", "enable", "--now")
        self.instance("running", "start")
        self.instance("stopped")
        units = {name: unit_of(name) for name in ("enabled", "running")}
        pids = {name: guest.main_pid(unit) for name, unit in units.items()}
        tasks = {name: self.submit_to(name) for name in units}
        journal = guest.Journal(*(f"_SYSTEMD_UNIT={unit}" for unit in units.values()))
        upgrading = subprocess.Popen(["dpkg", "-i", *newer()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
        # Side by side: both drain before either is done.
        guest.eventually(lambda: sum(m.startswith("draining: 1 ") for m in journal.messages()) == 2, "both drain")
        open_gate()
        output = upgrading.communicate(timeout=guest.TIMEOUT * 5)[0]
        self.assertEqual(upgrading.returncode, 0, output)
        for name, unit in units.items():
            self.assertEqual(guest.show("ActiveState", "Result", unit=unit), {"ActiveState": "active", "Result": "success"})
            self.assertNotEqual(guest.main_pid(unit), pids[name])
            shown = json.loads(guest.yardctl("--json", "--socket", control_of(name), "task", "show", tasks[name]).stdout)
            self.assertEqual((shown["task"]["status"], shown["task"]["attempts"]), ("COMPLETED", 1))
        self.assertEqual(guest.show("ActiveState", unit=unit_of("stopped")), "inactive")

    def test_upgrade_leaves_running_what_would_not_start(self):
        self.instance("wrong", "start")
        self.instance("right", "start")
        pids = {unit: guest.main_pid(unit) for unit in (guest.UNIT, unit_of("wrong"), unit_of("right"))}
        for path in INVALID, f"{INSTANCES}/wrong/conf.d/invalid.conf":
            guest.write(path, "nonsense\n")
        output = upgrade()
        self.assertIn(INVALID + ":", output)
        for unit in guest.UNIT, unit_of("wrong"):
            self.assertIn(f"{unit} is not restarted", output)
            self.assertEqual(guest.main_pid(unit), pids[unit])
            self.assertEqual(guest.show("ActiveState", unit=unit), "active")
        self.assertNotEqual(guest.main_pid(unit_of("right")), pids[unit_of("right")])
        os.unlink(INVALID)
        guest.systemctl("restart", guest.UNIT)
        self.assertNotEqual(guest.main_pid(), pids[guest.UNIT])

    def test_upgrade_does_not_fail_with_the_service(self):
        self.instances.append("none")
        guest.systemctl("stop", guest.UNIT)
        guest.write(INVALID, "nonsense\n")
        upgrade()
        self.assertEqual(guest.show("ActiveState", "ExecMainStatus"), {"ActiveState": "failed", "ExecMainStatus": "78"})
        self.assertEqual(guest.run("dpkg", "--audit").stdout, "")
        os.unlink(INVALID)
        # The next package starts what has failed.
        downgrade()
        self.assertEqual(guest.show("ActiveState"), "active")

    def test_remove_install_purge_of_instances(self):
        self.instance("kept", "enable", "--now")
        task = self.submit_to("kept")
        open_gate()
        apt("remove", "yardmaster")
        self.assertEqual(guest.show("ActiveState", unit=unit_of("kept")), "inactive")
        self.assertFalse(glob.glob("/run/yardmaster*"))
        guest.install()
        self.assertEqual(guest.show("ActiveState", unit=unit_of("kept")), "active")
        guest.run("yardctl", "--socket", control_of("kept"), "wait", task, "--timeout", f"{guest.TIMEOUT}s")
        apt("purge", "yardmaster")
        for pattern in (guest.ETC, guest.STATE + "*", "/run/yardmaster*", "/etc/systemd/system/*.wants/yardmaster[.@]*"):
            self.assertEqual(glob.glob(pattern), [])
        # Files elsewhere may be theirs.
        guest.run("getent", "passwd", "yardmaster")
        guest.run("getent", "group", "yardmaster")
        guest.install()
        self.assertEqual(guest.show("ActiveState"), "active")
        self.assertEqual(guest.yardctl_json("status")["pools"], [])

    def test_client_alone(self):
        apt("purge", "yardmaster")
        for command in ("status", "list tasks", "submit x {}"):
            answer = guest.yardctl(*command.split(), status=3)
            self.assertIn("/run/yardmaster/control", answer.stderr)
            self.assertIn("--socket", answer.stderr)
        guest.install()


if __name__ == "__main__":
    guest.main()
