# SPDX-License-Identifier: Apache-2.0
"""What the unit forbids and what its drop-ins allow, secrets, and instances with users of their own."""

import glob
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import threading

import guest

DROP_INS = "/usr/share/yardmaster/systemd"
UNREACHABLE, DENIED = 3, 7

# Does what its input names and tells what came of it: "ok", or the error's name.
PROBE = r'''#!/usr/bin/python3
import ctypes, errno, json, mmap, os, socket, sys

libc = ctypes.CDLL(None, use_errno=True)

def call(result):
    if result in (-1, 2**64 - 1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "")

def write(path):
    with open(path, "w") as file:
        file.write("x")

def read(path):
    return os.listdir(path) if os.path.isdir(path) else open(path).read()

def execute_written():
    m = libc.mmap
    m.restype = ctypes.c_void_p
    call(m(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)))

PROBES = {
    "write": write,
    "read": read,
    "jit": lambda _: execute_written(),
    "netlink": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "inet": lambda _: socket.socket(socket.AF_INET6).close(),
    "namespace": lambda _: call(libc.unshare(0x10000000)),
    "chown": lambda path: os.chown(path, 0, 0),
    "nice": lambda _: os.setpriority(os.PRIO_PROCESS, 0, 19),
    "realtime": lambda _: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "setuid": lambda path: os.chmod(path, 0o4755),
    "process": lambda pid: os.stat("/proc/%s" % pid),
    "priority": lambda _: os.getpriority(os.PRIO_PROCESS, 0),
    "umask": lambda path: (write(path), oct(os.stat(path).st_mode & 0o777))[1],
}
result = {}
for name, argument in json.load(sys.stdin)["inputData"].items():
    try:
        value = PROBES[name.split()[0]](argument)
        result[name] = "ok" if value is None or isinstance(value, (os.stat_result, list)) else value
    except OSError as error:
        result[name] = errno.errorcode.get(error.errno, str(error.errno))
print(json.dumps({"status": "COMPLETED", "output": result}))
'''


class Confinement(guest.Scenario):
    MACHINE = "nspawn"

    def probe(self, **keys):
        guest.configure("probe", guest.pool_text("probe", guest.handler("probe", PROBE), **keys))

    def ask(self, **probes):
        return guest.wait_task(guest.submit("probe", {name.replace("_", " "): given for name, given in probes.items()}))["output"]

    def enable(self, *names, unit=guest.UNIT):
        """As the manual says it."""
        for name in names:
            guest.run("install", "-D", "-m", "644", "-t", f"/etc/systemd/system/{unit}.d", f"{DROP_INS}/20-{name}.conf")
        guest.systemctl("daemon-reload")

    def test_what_is_forbidden_fails_and_kills_nobody(self):
        self.probe(nice=7)
        guest.systemctl("reload", guest.UNIT)
        said = self.ask(write_here="/var/lib/yardmaster/made", write_tmp="/tmp/made", write_etc="/etc/made",
                        write_srv="/srv/made", write_usr="/usr/made", read_home="/home", read_meminfo="/proc/meminfo",
                        jit=0, netlink=0, inet=0, namespace=0, chown="/var/lib/yardmaster/made", nice=0, realtime=0,
                        setuid="/var/lib/yardmaster/made", process="1", umask="/var/lib/yardmaster/masked")
        self.assertEqual(said, {
            "write here": "ok", "write tmp": "ok", "write etc": "EROFS", "write srv": "EROFS", "write usr": "EROFS",
            "read home": "EACCES", "read meminfo": "ENOENT", "jit": "EPERM", "netlink": "EAFNOSUPPORT", "inet": "ok",
            "namespace": "EPERM", "chown": "EPERM", "nice": "ok", "realtime": "EPERM", "setuid": "EPERM",
            "process": "ENOENT", "umask": "0o600"})
        # what it wrote to /tmp is nobody else's
        self.assertFalse(os.path.exists("/tmp/made"))
        self.assertEqual(self.ask(priority=0), {"priority": 7})
        self.assertEqual([worker["restarts"] for worker in guest.workers("probe")], [0])

    def test_drop_ins_allow_one_thing_each(self):
        self.probe()
        os.makedirs("/srv/yardmaster", exist_ok=True)
        shutil.chown("/srv/yardmaster", "yardmaster")
        self.addCleanup(shutil.rmtree, "/srv/yardmaster")
        given = {"jit": 0, "read_meminfo": "/proc/meminfo", "process": "1", "netlink": 0, "read_home": "/home",
                 "write_srv": "/srv/yardmaster/made", "namespace": 0}
        allowed = {"jit": ["jit"], "proc": ["read meminfo", "process"], "network": ["netlink"], "home": ["read home"],
                   "write": ["write srv"]}
        for name, probes in allowed.items():
            with self.subTest(drop_in=name):
                shutil.rmtree(guest.DROP_INS, ignore_errors=True)
                self.enable(name)
                guest.systemctl("restart", guest.UNIT)
                said = {key: "ok" if key == "read meminfo" and "MemTotal" in value else value
                        for key, value in self.ask(**given).items()}
                self.assertEqual(sorted(key for key, value in said.items() if value == "ok"), sorted(probes), said)

    def test_a_sandbox_of_its_own(self):
        name = guest.handler("sandbox", "#!/bin/sh\ncat >/dev/null\nunshare --user --map-root-user --pid --fork --mount-proc "
                                        "sh -c 'mount -t tmpfs none /mnt && id -u && ls -d /proc/[0-9]* | wc -l' >&2 || exit 1\n"
                                        "echo '{\"status\": \"COMPLETED\"}'\n")
        guest.configure("sandbox", guest.pool_text("sandbox", name, retry="{ attempts = 1; }"))
        guest.systemctl("reload", guest.UNIT)
        refused = guest.wait_task(guest.submit("sandbox"), "FAILED")
        self.assertIn("unshare failed: Operation not permitted", refused["reason"])
        self.enable("namespaces")
        guest.systemctl("restart", guest.UNIT)
        guest.wait_task(guest.submit("sandbox"))

    def test_every_drop_in_together(self):
        guest.write("/etc/credstore/conductor-secret", "sesame\n", 0o600)
        self.addCleanup(os.unlink, "/etc/credstore/conductor-secret")
        names = [os.path.basename(path)[3:-5] for path in glob.glob(DROP_INS + "/20-*.conf")]
        self.enable(*(name for name in names if name != "instance"))
        guest.systemctl("restart", guest.UNIT)
        self.assertEqual(guest.show("ActiveState"), "active")
        self.assertNotIn("Unknown", "\n".join(self.journal.messages("_PID=1")))

    def test_a_folder_that_is_read_only(self):
        folder = "/srv/results"
        os.makedirs(folder, exist_ok=True)
        shutil.chown(folder, "yardmaster")
        self.addCleanup(shutil.rmtree, folder)
        self.probe(working_directory=f'"{folder}"')
        line = f"ReadWritePaths={folder}"
        # told to who looks before, who reloads, who asks the daemon, and in the journal
        self.assertIn(line, guest.run("yardmasterd", "--check").stderr)
        self.assertIn(line, guest.systemctl("reload", guest.UNIT).stderr + "\n".join(self.journal.messages()))
        self.assertIn(line, guest.yardctl("config", "check").stdout)
        self.assertIn(line, guest.yardctl("status", "probe").stdout)
        self.assertEqual(self.ask(write="made"), {"write": "EROFS"})
        guest.drop_in("writable", f"[Service]\n{line}\n")
        guest.systemctl("restart", guest.UNIT)
        self.assertEqual(self.ask(write="made"), {"write": "ok"})
        self.assertEqual(guest.run("yardmasterd", "--check").stderr, "")
        self.assertNotIn(line, guest.yardctl("config", "check").stdout)

    def test_a_home_that_the_service_does_not_see(self):
        os.makedirs("/home/user/bin", exist_ok=True)
        self.addCleanup(shutil.rmtree, "/home/user")
        guest.write("/home/user/bin/probe", PROBE, 0o755)
        guest.configure("home", guest.pool_text("home", "/home/user/bin/probe"))
        told = guest.systemctl("reload", guest.UNIT, status=1)
        self.journal.wait_for("a service sees it only with ProtectHome=read-only")
        self.assertEqual(told.returncode, 1)
        self.enable("home")
        guest.systemctl("restart", guest.UNIT)
        self.assertEqual(guest.wait_task(guest.submit("home", {"nice": 0}))["output"], {"nice": "ok"})

    def test_a_secret_of_the_credential_store(self):
        secret = guest.handler("secret", '#!/bin/sh\njq -n --arg seen "$(cat "$CREDENTIALS_DIRECTORY/conductor-secret")" '
                                         '\'{status: "COMPLETED", output: {seen: $seen}}\'\n')
        guest.configure("secret", guest.pool_text("secret", secret, credentials='["conductor-secret"]'))
        self.enable("credentials")
        guest.systemctl("restart", guest.UNIT, status=1)
        # systemd leaves it to the daemon to say that it is not there
        self.assertEqual(guest.show("ExecMainStatus", "NRestarts"), {"ExecMainStatus": "78", "NRestarts": "0"})
        self.journal.wait_for("no credential 'conductor-secret'")
        guest.write("/etc/credstore/conductor-secret", "sesame\n", 0o600)
        self.addCleanup(os.unlink, "/etc/credstore/conductor-secret")
        guest.systemctl("start", guest.UNIT)
        self.assertEqual(guest.wait_task(guest.submit("secret"))["output"], {"seen": "sesame"})

    # Restarts, as clients see them

    def test_no_call_fails_over_restarts(self):
        guest.echo_pool()
        guest.systemctl("reload", guest.UNIT)
        failures, n, stop = [], [], threading.Event()

        def call():
            while not stop.is_set():
                done = guest.run("yardctl", "status", status=None)
                n.append(1)
                if done.returncode != 0:
                    failures.append((done.returncode, done.stderr))

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        for _ in range(4):
            guest.systemctl("restart", guest.UNIT)
            calls = len(n)
            guest.eventually(lambda: len(n) > calls + 5, "calls come through")  # noqa: B023
        stop.set()
        for caller in callers:
            caller.join()
        self.assertEqual(failures, [])

    def test_who_waits_for_a_start_that_fails_is_told(self):
        pid = guest.main_pid()
        guest.configure("wrong", "nonsense")
        os.kill(pid, signal.SIGKILL)
        # systemd starts it again in two seconds, and that start will fail
        guest.eventually(lambda: guest.show("SubState") == "auto-restart", "a restart is due")
        told = guest.yardctl("status", status=UNREACHABLE)
        self.assertIn("systemctl start yardmaster", told.stderr)
        self.assertEqual(guest.show("ActiveState", "ExecMainStatus"), {"ActiveState": "failed", "ExecMainStatus": "78"})

    def test_a_removed_socket_is_made_again(self):
        os.unlink(guest.CONTROL)
        guest.yardctl("status", status=UNREACHABLE)
        guest.systemctl("restart", guest.UNIT)
        guest.yardctl("status")
        self.assertEqual(guest.show("NFileDescriptorStore"), "1")
        guest.systemctl("restart", guest.UNIT)
        guest.yardctl("status")

    def test_pools_may_take_their_time_to_start(self):
        slow = guest.handler("slow", "#!/usr/bin/python3\nimport time, subprocess, sys\ntime.sleep(6)\n"
                                     "subprocess.run(['systemd-notify', '--ready'], check=True)\nsys.stdin.read()\n")
        guest.configure("slow", guest.persistent("slow", slow, start_timeout='"30s"').replace("handler = {", "handler = { notify = true;"))
        guest.drop_in("impatient", "[Service]\nTimeoutStartSec=3\n")
        guest.systemctl("restart", guest.UNIT)
        self.assertEqual(guest.show("NRestarts", "Result"), {"NRestarts": "0", "Result": "success"})
        self.assertEqual(guest.pool("slow")["state"], "running")

    def test_without_pools_status_says_what_to_do(self):
        wanted = ("no pools: put a file in /etc/yardmaster/conf.d, see yardmaster.conf(5), then "
                  "systemctl reload yardmaster")
        self.assertEqual(guest.show("StatusText"), wanted)
        self.assertIn(wanted, guest.systemctl("status", guest.UNIT).stdout)


class Instances(guest.Scenario):
    MACHINE = "nspawn"

    def instance(self, name, text=""):
        folder = f"/etc/yardmaster/instances/{name}"
        self.addCleanup(shutil.rmtree, folder)
        guest.write(f"{folder}/yardmaster.conf", 'sources: { local: { type = "queue"; }; };\n' + text)
        guest.write(f"{folder}/conf.d/probe.conf", guest.pool_text("probe", guest.handler("probe", PROBE)))
        return f"yardmaster@{name}.service"

    def tenant(self, name):
        """An instance with a user and a group of its own, as 20-instance.conf has it."""
        user = f"yardmaster-{name}"
        if not any(entry.pw_name == user for entry in pwd.getpwall()):
            subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", user], check=True)
        unit = self.instance(name)
        guest.run("install", "-D", "-m", "644", "-t", f"/etc/systemd/system/{unit}.d", f"{DROP_INS}/20-instance.conf")
        self.addCleanup(guest.systemctl, "daemon-reload")
        self.addCleanup(shutil.rmtree, f"/etc/systemd/system/{unit}.d")
        guest.systemctl("daemon-reload")
        self.addCleanup(guest.systemctl, "stop", unit)
        guest.systemctl("start", unit)
        return unit

    def ask(self, instance, **probes):
        given = json.dumps({name.replace("_", " "): argument for name, argument in probes.items()})
        return guest.yardctl("--instance", instance, "submit", "probe", given, "--wait", "--json").stdout

    def test_tenants_see_nothing_of_each_other(self):
        for name in "red", "blue":
            self.tenant(name)
        shown = os.stat("/run/yardmaster-red/control")
        self.assertEqual((pwd.getpwuid(shown.st_uid).pw_name, grp.getgrgid(shown.st_gid).gr_name, shown.st_mode & 0o777),
                         ("yardmaster-red", "yardmaster-red", 0o660))
        blue = pwd.getpwnam("yardmaster-blue").pw_name
        for arguments in (["--instance", "red"], []):
            told = guest.yardctl(*arguments, "status", user=blue, status=DENIED)
            self.assertIn("member of group yardmaster", told.stderr)
        guest.yardctl("--instance", "blue", "status", user=blue)
        said = self.ask("blue", read_red="/var/lib/yardmaster-red", read_main="/var/lib/yardmaster",
                         process_red=guest.main_pid("yardmaster@red.service"), process_main=guest.main_pid())
        for name in "read red", "read main":
            self.assertRegex(said, f'"{name}": ?"EACCES"')
        for name in "process red", "process main":
            self.assertRegex(said, f'"{name}": ?"ENOENT"')

    def test_errors_name_the_instance(self):
        unit = self.instance("green", text="nonsense")
        guest.systemctl("start", unit, status=1)
        self.assertEqual(guest.show("ExecMainStatus", unit=unit), "78")
        self.journal.wait_for("instances/green/yardmaster.conf:2: ")
        told = guest.yardctl("--instance", "green", "status", status=UNREACHABLE).stderr
        self.assertIn("systemctl start yardmaster@green", told)
        self.assertIn("/run/yardmaster-green/control", told)

    def test_reload_and_restart_of_one(self):
        unit = self.tenant("red")
        guest.write("/etc/yardmaster/instances/red/conf.d/bad.conf", "nonsense")
        guest.systemctl("reload", unit, status=1)
        os.unlink("/etc/yardmaster/instances/red/conf.d/bad.conf")
        guest.systemctl("reload", unit)
        pid, main = guest.main_pid(unit), guest.main_pid()
        inode = os.stat("/run/yardmaster-red/control").st_ino
        guest.systemctl("restart", unit)
        self.assertNotEqual(guest.main_pid(unit), pid)
        self.assertEqual(guest.main_pid(), main)
        self.assertEqual(os.stat("/run/yardmaster-red/control").st_ino, inode)
        self.assertEqual(guest.yardctl_json("--instance", "red", "status")["pid"], guest.main_pid(unit))

    def test_without_pools_status_names_the_instance(self):
        unit = self.instance("empty")
        os.unlink("/etc/yardmaster/instances/empty/conf.d/probe.conf")
        self.addCleanup(guest.systemctl, "stop", unit)
        guest.systemctl("start", unit)
        self.assertEqual(guest.show("StatusText", unit=unit),
                         "no pools: put a file in /etc/yardmaster/instances/empty/conf.d, see yardmaster.conf(5), then "
                         "systemctl reload yardmaster@empty")


if __name__ == "__main__":
    guest.main()
