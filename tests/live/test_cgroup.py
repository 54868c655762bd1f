# SPDX-License-Identifier: Apache-2.0
"""Workers in cgroups: limits, figures, out of memory, fork bombs, what escapes, what is left behind.

All but the fall-back needs cgroup v2 with its controllers, and root to make a group as systemd does for
a service with Delegate=; the daemon itself runs as an ordinary user. tests/system runs it in a machine
that has them.
"""

import os
import signal
import tempfile
import unittest

import harness

ROOT = "/sys/fs/cgroup"
CONTROLLERS = "memory pids cpu"
NOBODY = 65534

WORKER = """#!/usr/bin/env python3
import json, os, signal, subprocess, sys, time
def escape():
    return subprocess.Popen(["/bin/sleep", "1000"], env={}, start_new_session=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    task, given, output = message["task"], message["task"]["inputData"], {"pid": os.getpid()}
    if given.get("do") == "leak":
        leaked = bytearray(given["bytes"])
    if given.get("do") == "child-leaks":
        subprocess.run([sys.executable, "-c", "bytearray(%d)" % given["bytes"]])
    if given.get("do") == "escape":
        output["escaped"] = escape()
    if given.get("do") == "burn":
        end = time.monotonic() + given["seconds"]
        while time.monotonic() < end:
            pass
    if given.get("do") == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(given["file"], "w") as file:
            file.write(str(escape()) + "\\n")
        time.sleep(1000)
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": "COMPLETED", "output": output}), flush=True)
"""

COMMAND = """#!/usr/bin/env python3
import json, os, subprocess, sys
given = json.load(sys.stdin)["inputData"]
output = {"pid": os.getpid(), "cgroup": open("/proc/self/cgroup").read().strip(), "ppid": os.getppid()}
if given.get("do") == "leak":
    leaked = bytearray(given["bytes"])
if given.get("do") == "bomb":
    refused, children = 0, []
    for _ in range(60):
        try:
            pid = os.fork()
        except OSError:
            refused += 1
            continue
        if pid == 0:
            os.setsid()
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        children.append(pid)
    output.update(refused=refused, children=children)
if given.get("do") == "escape":
    output["escaped"] = subprocess.Popen(["/bin/sleep", "1000"], env={}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
if given.get("do") == "child-leaks":
    subprocess.run([sys.executable, "-c", "bytearray(%d)" % given["bytes"]])
if given.get("do") == "divide":
    os.makedirs("/sys/fs/cgroup" + open("/proc/self/cgroup").read().strip()[3:] + "/app/.worker")
if given.get("do") == "kill":
    os.kill(os.getpid(), given["signal"])
if given.get("do") == "exit":
    sys.exit(given["status"])
print(json.dumps({"status": "COMPLETED", "output": output}))
"""

CONFIG = """
sources: {{ local: {{ type = "queue"; }}; }};
pools: {{
  work: {{ source = "local"; handler = {{ command = ["@DIR@/worker.py"]; mode = "persistent"; }};
          stop_timeout = "500ms"; retry = {{ attempts = 1; }};
          restart = {{ backoff = "20ms"; backoff_max = "200ms"; }}; {keys} }};
  other: {{ source = "local"; handler = {{ command = ["@DIR@/worker.py"]; mode = "persistent"; }}; }};
  once: {{ source = "local"; handler = {{ command = ["@DIR@/command.py"]; }}; retry = {{ attempts = 1; }};
          stop_timeout = "500ms"; {once} }};
  {pools}
}};
"""

# What systemd does: the daemon alone in its group. A successor that comes into one that is in use finds
# its place aside.
ENTER = ('echo 0 2>/dev/null >"$0/cgroup.procs" || echo 0 >"$0/supervisor/cgroup.procs" || exit 1; '
         f'exec setpriv --reuid={NOBODY} --clear-groups "$@"')


def has_controllers():
    try:
        with open(os.path.join(ROOT, "cgroup.controllers"), encoding="ascii") as file:
            return set(CONTROLLERS.split()) <= set(file.read().split())
    except OSError:
        return False


class UserDaemon(harness.Daemon):
    """A daemon in that group, as a user without privileges."""

    def __init__(self, group, config=""):
        super().__init__(config, wrapper=["sh", "-c", ENTER, group])
        os.chown(self.directory, NOBODY, NOBODY)

    def spawn(self, *arguments):
        before = os.umask(0)  # the daemon's user writes to the notify socket
        try:
            super().spawn(*arguments)
        finally:
            os.umask(before)


class CgroupDaemon(UserDaemon):
    """One in a group of its own, delegated as systemd does it."""

    def __init__(self, config, delegate=True):
        self.group = tempfile.mkdtemp(prefix="ym-", dir=ROOT)
        super().__init__(self.group)
        with open(os.path.join(ROOT, "cgroup.subtree_control"), "w", encoding="ascii") as file:
            file.write(" ".join("+" + name for name in CONTROLLERS.split()))
        if delegate:
            os.setxattr(self.group, "user.delegate", b"1")
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(os.path.join(self.group, name), NOBODY, NOBODY)
        self.script("worker.py", WORKER)
        self.script("command.py", COMMAND)
        self.write_config(config)

    def read(self, *names):
        with open(os.path.join(self.group, *names), encoding="ascii") as file:
            return file.read().strip()

    def groups(self):
        """Of workers, as "pool/n"."""
        return sorted(os.path.relpath(os.path.join(folder, name), self.group)
                      for folder, names, _ in os.walk(self.group) for name in names if folder != self.group)

    def members(self, name):
        return [int(pid) for pid in self.read(name, "cgroup.procs").split()]

    def remove(self):
        super().remove()
        with open(os.path.join(self.group, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")
        harness.eventually(lambda: "populated 0" in self.read("cgroup.events"), "an empty group")
        for folder, names, _ in os.walk(self.group, topdown=False):
            for name in names:
                os.rmdir(os.path.join(folder, name))
        os.rmdir(self.group)


class Fallback(unittest.TestCase):
    CONFIG = ('sources: { local: { type = "queue"; }; };\n'
              'pools: { work: { source = "local"; handler = { command = ["/bin/true"]; };\n'
              '  limits = { processes = 5; memory = "1G"; memory_high = "500M"; swap = "0"; cpu_quota = "50%";\n'
              '             cpu_weight = 10; }; }; };')

    def check(self, daemon):
        status = daemon.call("GetStatus")
        cgroups = status["cgroups"]
        self.assertFalse(cgroups["used"])
        self.assertEqual(cgroups["controllers"], [])
        self.assertTrue(cgroups["reason"])
        self.assertTrue(cgroups["remedy"])
        self.assertEqual(status["pools"][0]["unenforced"],
                         ["processes", "memory_high", "swap", "cpu_quota", "cpu_weight"])
        text = daemon.ctl("status").stdout
        self.assertIn(cgroups["reason"], text)
        self.assertIn(cgroups["remedy"], text)
        self.assertIn("memory_high", daemon.ctl("status", "work").stdout)
        return cgroups

    def test_without_cgroups_it_says_why(self):
        with harness.Daemon(self.CONFIG) as daemon:
            self.check(daemon)
            daemon.log.wait_for("workers get no cgroups: ")

    @unittest.skipUnless(has_controllers() and os.geteuid() == 0, "needs cgroup v2 and root")
    def test_not_delegated(self):
        daemon = CgroupDaemon(self.CONFIG, delegate=False)
        with daemon:
            self.assertIn("Delegate=", self.check(daemon)["reason"])
            self.assertEqual(daemon.groups(), [])
            self.assertEqual(daemon.read("cgroup.subtree_control"), "")


@unittest.skipUnless(has_controllers() and os.geteuid() == 0, "needs cgroup v2 and root")
class Cgroups(unittest.TestCase):
    def daemon(self, keys="", once="", pools="", **options):
        return CgroupDaemon(CONFIG.format(keys=keys, once=once, pools=pools), **options)

    def worker(self, daemon, pool="work"):
        return daemon.workers(pool)[0]

    def assert_gone(self, pid, what):
        harness.eventually(lambda: not harness.is_alive(pid), what)

    def test_every_worker_has_a_group(self):
        with self.daemon('workers = 2;', pools='supervisor: { source = "local"; handler = '
                         '{ command = ["@DIR@/worker.py"]; mode = "persistent"; }; };') as daemon:
            cgroups = daemon.call("GetStatus")["cgroups"]
            self.assertEqual(cgroups, {"used": True, "controllers": CONTROLLERS.split(), "path": daemon.group})
            self.assertIn(daemon.process.pid, daemon.members("supervisor"))
            self.assertEqual(daemon.read("cgroup.procs"), "")
            for worker in daemon.workers("work"):
                harness.eventually(lambda: daemon.members(worker["name"]) == [worker["pid"]], "the launcher's end")
            self.assertEqual(len(daemon.members("_supervisor/1")), 1)
            task = daemon.run_task("once")
            self.assertTrue(task["output"]["cgroup"].endswith("/once/1"), task)
            self.assertEqual(task["output"]["ppid"], daemon.process.pid)
            daemon.ctl("scale", "work", "1")
            harness.eventually(lambda: "work/2" not in daemon.groups(), "the second worker's group to go")
            self.assertIn("cgroups", daemon.ctl("status").stdout)
        self.assertFalse(os.path.exists(daemon.group))

    def test_nothing_is_left_at_the_end(self):
        daemon = self.daemon()
        with daemon:
            daemon.run_task("once")
            daemon.stop()
            self.assertEqual(daemon.groups(), [])
            self.assertEqual([entry.name for entry in os.scandir(daemon.group) if entry.is_dir()], ["supervisor"])

    def test_limits_are_written_and_change_live(self):
        limits = ('limits = { memory = "200M"; memory_high = "150M"; swap = "0"; processes = 20; '
                  'cpu_quota = "50%"; cpu_weight = 250; };')
        with self.daemon(limits, once='limits = { processes = 20; };') as daemon:
            pid = self.worker(daemon)["pid"]
            for name, value in (("memory.max", 200 << 20), ("memory.high", 150 << 20), ("memory.oom.group", 1),
                                ("pids.max", 20), ("cpu.max", "50000 100000")):
                self.assertEqual(daemon.read("work/1", name), str(value), name)
            self.assertEqual(daemon.read("work", "cpu.weight"), "250")
            self.assertEqual(daemon.read("other/1", "memory.max"), "max")
            self.assertEqual(daemon.pool("work")["unenforced"], [])
            daemon.ctl("set", "work", "limits.memory=300M", "limits.processes=0", "limits.cpu_quota=200%",
                       "limits.cpu_weight=0", "limits.swap=infinity")
            for name, value in (("memory.max", 300 << 20), ("pids.max", "max"), ("cpu.max", "200000 100000")):
                self.assertEqual(daemon.read("work/1", name), str(value), name)
            self.assertEqual(daemon.read("work", "cpu.weight"), "100")
            self.assertEqual(self.worker(daemon)["pid"], pid)
            daemon.run_task("once")
            self.assertEqual(daemon.read("once/1", "pids.max"), "21")

    def test_a_worker_that_may_be_one_process(self):
        with self.daemon('limits = { processes = 1; };') as daemon:
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertEqual(daemon.read("work/1", "pids.max"), "1")

    def test_figures(self):
        with self.daemon('limits = { cpu_quota = "20%"; };') as daemon:
            daemon.run_task("work", {"do": "burn", "seconds": 0.5})
            daemon.run_task("once")
            figures = self.worker(daemon)["cgroup"]
            for name in ("memoryBytes", "memoryPeakBytes", "cpuUsec", "throttledUsec", "processes"):
                self.assertGreater(figures[name], 0, name)
            self.assertGreaterEqual(figures["memoryPeakBytes"], figures["memoryBytes"])
            self.assertEqual(figures["oomKills"], 0)
            self.assertGreater(daemon.pool("once")["cgroup"]["cpuUsec"], 0)
            wide = daemon.ctl("list", "workers", "-o", "wide").stdout
            self.assertIn("PEAK", wide)
            self.assertIn("Cgroup", daemon.ctl("status", "work/1").stdout)
            metrics = daemon.call("GetMetrics")["text"]
            for name in ("pool_memory_bytes", "pool_memory_peak_bytes", "pool_cpu_seconds_total", "pool_processes"):
                self.assertRegex(metrics, rf'yardmaster_{name}{{pool="work"}} [0-9.e+]*[1-9]')

    def check_oom(self, daemon, task, pool):
        self.assertEqual(task["status"], "FAILED")
        self.assertIn("out of memory, limits.memory is 64M", task["reason"])
        line = daemon.log.wait_for("out of memory, limits.memory is 64M; killed by signal 9")
        self.assertIn(task["taskId"], line)
        self.assertIn(f'yardmaster_pool_worker_exits_total{{pool="{pool}",cause="oom"}} 1',
                      daemon.call("GetMetrics")["text"])
        self.assertEqual(self.worker(daemon, pool)["lastExitCause"], "oom")

    def test_out_of_memory_is_told_from_a_crash(self):
        with self.daemon('limits = { memory = "64M"; swap = "0"; };') as daemon:
            neighbour = self.worker(daemon, "other")["pid"]
            self.check_oom(daemon, daemon.run_task("work", {"do": "leak", "bytes": 120_000_000}), "work")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertEqual(self.worker(daemon, "other")["pid"], neighbour)
            pid = self.worker(daemon)["pid"]
            os.kill(pid, signal.SIGKILL)
            harness.eventually(lambda: self.worker(daemon)["lastExitCause"] == "crashed", "a crash")

    def test_a_child_out_of_memory_ends_the_worker(self):
        with self.daemon('limits = { memory = "64M"; swap = "0"; };') as daemon:
            self.check_oom(daemon, daemon.run_task("work", {"do": "child-leaks", "bytes": 200_000_000}), "work")

    def test_a_command_out_of_memory(self):
        with self.daemon(once='limits = { memory = "64M"; swap = "0"; };') as daemon:
            self.check_oom(daemon, daemon.run_task("once", {"do": "leak", "bytes": 120_000_000}), "once")
            self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")

    def test_what_one_command_survived_does_not_end_the_next(self):
        with self.daemon(once='leave_children = true; limits = { memory = "64M"; swap = "0"; };') as daemon:
            task = daemon.run_task("once", {"do": "child-leaks", "bytes": 200_000_000})
            self.assertEqual(task["status"], "COMPLETED")
            self.assertEqual(self.worker(daemon, "once")["cgroup"]["oomKills"], 1)
            self.assertIn("exit status 3", daemon.run_task("once", {"do": "exit", "status": 3})["reason"])

    def test_groups_that_a_command_made_go_with_its_own(self):
        with self.daemon() as daemon:
            daemon.run_task("once", {"do": "divide"})
            self.assertIn("once/1/app/.worker", daemon.groups())
            daemon.ctl("scale", "once", "0")
            harness.eventually(lambda: not any(name.startswith("once/") for name in daemon.groups()),
                               "the group's end")

    def test_a_fork_bomb_is_contained_and_told_once(self):
        with self.daemon(once='limits = { processes = 20; };') as daemon:
            for _ in range(2):
                output = daemon.run_task("once", {"do": "bomb"})["output"]
                self.assertGreater(output["refused"], 30)
                self.assertLess(len(output["children"]), 20)
                for child in output["children"]:
                    self.assert_gone(child, "a child of the bomb")
            daemon.log.wait_for("limits.processes allows .20.")
            self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")
            self.assertEqual(daemon.log.text().count("limits.processes allows"), 1)
            self.assertGreater(self.worker(daemon, "once")["cgroup"]["forksRefused"], 30)

    def test_what_escapes_goes_with_its_command(self):
        with self.daemon() as daemon:
            self.assert_gone(daemon.run_task("once", {"do": "escape"})["output"]["escaped"],
                             "a session without an environment")
            self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")

    def test_what_escapes_goes_with_its_worker(self):
        with self.daemon() as daemon:
            task = daemon.run_task("work", {"do": "escape"})["output"]
            self.assertTrue(harness.is_alive(task["escaped"]))
            os.kill(task["pid"], signal.SIGKILL)
            self.assert_gone(task["escaped"], "a session without an environment")
            task = daemon.run_task("work", {"do": "escape"})["output"]
            daemon.ctl("restart", "work")
            self.assert_gone(task["escaped"], "the same of a worker that was replaced")

    def test_children_may_stay(self):
        with self.daemon(once="leave_children = true;") as daemon:
            escaped = daemon.run_task("once", {"do": "escape"})["output"]["escaped"]
            daemon.run_task("once")
            self.assertTrue(harness.is_alive(escaped))

    def test_commands_end_as_without_groups(self):
        with self.daemon(pools='quick: { source = "local"; workers = 4; handler = { command = ["/bin/true"]; }; '
                         'retry = { attempts = 1; }; };') as daemon:
            task = daemon.run_task("once", {"do": "exit", "status": 3})
            self.assertIn("exit status 3", task["reason"])
            task = daemon.run_task("once", {"do": "kill", "signal": 11})
            self.assertIn("segmentation fault", task["reason"])
            # they are dead before anyone has heard of them
            ids = [daemon.submit("quick") for _ in range(100)]
            daemon.wait_task(*ids)
            self.assertTrue(all("it is empty" in daemon.task(i)["reason"] for i in ids))

    def test_a_launcher_that_is_killed_is_replaced(self):
        with self.daemon() as daemon:
            for _ in range(3):
                self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")
                launcher, = daemon.members("once/1")
                self.assertLess(int(daemon.read("once/1", "memory.stat").split()[1]), 100_000, "its own memory")
                os.kill(launcher, signal.SIGKILL)
                self.assert_gone(launcher, "the launcher")

    def test_a_launcher_that_hangs_is_replaced(self):
        with self.daemon() as daemon:
            self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")
            launcher, = daemon.members("once/1")
            os.kill(launcher, signal.SIGSTOP)
            task = daemon.submit("once")
            harness.eventually(lambda: daemon.task(task)["status"] == "IN_PROGRESS", "the start of the task")
            daemon.ctl("task", "cancel", task)
            self.assert_gone(launcher, "the launcher")
            self.assertEqual(daemon.run_task("once")["status"], "COMPLETED")

    def test_a_missing_launcher_is_named(self):
        daemon = self.daemon()
        daemon.environment["YARDMASTER_LAUNCHER_PATH"] = "/nonexistent"
        with daemon:
            self.assertIn("launch /nonexistent: no such file", daemon.pool("work")["lastError"]["message"])

    def test_a_hung_worker_is_killed_whole(self):
        with self.daemon() as daemon:
            path = daemon.path("escaped")
            task = daemon.submit("work", {"do": "hang", "file": path})
            harness.eventually(lambda: os.path.exists(path) and os.path.getsize(path), "the start of the task")
            daemon.ctl("task", "cancel", task)
            with open(path, encoding="ascii") as file:
                self.assert_gone(int(file.read()), "a session of a worker that was killed")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_a_second_daemon_leaves_the_first_alone(self):
        with self.daemon() as daemon:
            pid = self.worker(daemon)["pid"]
            with UserDaemon(daemon.group, Fallback.CONFIG) as second:
                self.assertIn("other processes live in", second.call("GetStatus")["cgroups"]["reason"])
            self.assertEqual(self.worker(daemon)["pid"], pid)
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_what_a_dead_daemon_left_is_removed(self):
        daemon = self.daemon()
        with daemon:
            escaped = daemon.run_task("work", {"do": "escape"})["output"]["escaped"]
            for name in ("old", "old/7"):
                os.mkdir(os.path.join(daemon.group, name))
                for file in ("", "cgroup.kill"):
                    os.chown(os.path.join(daemon.group, name, file), NOBODY, NOBODY)
            daemon.kill()
            self.assertTrue(harness.is_alive(escaped))
            self.assertIn("work/1", daemon.groups())
            daemon.start()
            daemon.log.wait_for("cgroups? that a dead daemon left behind")
            self.assert_gone(escaped, "the predecessor's child")
            self.assertNotIn("old/7", daemon.groups())
            self.assertFalse(os.path.exists(os.path.join(daemon.group, "old")))
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")


if __name__ == "__main__":
    harness.main()
