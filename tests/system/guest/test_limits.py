# SPDX-License-Identifier: Apache-2.0
"""Workers in the cgroups that the unit delegates: what they may have, and what becomes of one that takes
more. The cases of every kind of handler are in tests/live/test_cgroup.py."""

import os
import re
import signal

import guest

GROUP = "/sys/fs/cgroup/system.slice/" + guest.UNIT

WORKER = """#!/usr/bin/python3
import json, os, signal, subprocess, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    task, given, output = message["task"], message["task"]["inputData"], {"pid": os.getpid()}
    if "bytes" in given:
        leaked = bytearray(given["bytes"])
    if "burn" in given:
        end = time.process_time() + given["burn"]
        while time.process_time() < end:
            pass
    if "escape" in given:
        output["escaped"] = subprocess.Popen(["/bin/sleep", "1000"], env={}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": "COMPLETED", "output": output}), flush=True)
"""

# Every process of it goes on starting others, in sessions of their own; the first one ends as if nothing were.
BOMB = """#!/usr/bin/python3
import os, sys, time
def bomb():
    os.setsid()
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.2)
if os.fork() == 0:
    os.close(1)
    bomb()
time.sleep(3)
print('{"status": "COMPLETED"}')
"""


def group(*names):
    return guest.read(os.path.join(GROUP, *names)).strip()


def fields(entries, text):
    return next(entry for entry in entries if text in entry["MESSAGE"])


class Limits(guest.Scenario):
    MACHINE = "qemu"

    def setUp(self):
        super().setUp()
        self.worker = guest.handler("worker", WORKER)

    def pools(self, **limits):
        """hungry, with these limits, and its neighbour."""
        text = " ".join(f"{key} = {value};" for key, value in limits.items())
        guest.configure("hungry", guest.persistent("hungry", self.worker, retry="{ attempts = 1; }",
                                                   restart='{ backoff = "50ms"; }', limits=f"{{ {text} }}"))
        guest.configure("other", guest.persistent("other", self.worker))
        guest.systemctl("reload", guest.UNIT)

    def assert_unharmed(self, pid):
        self.assertEqual(guest.main_pid(), pid)
        self.assertEqual(guest.show("ActiveState", "NRestarts", "Result"),
                         {"ActiveState": "active", "NRestarts": "0", "Result": "success"})

    def test_groups(self):
        self.pools(memory='"100M"', processes=10, cpu_weight=50)
        status = guest.yardctl_json("status")
        self.assertEqual(status["cgroups"], {"used": True, "controllers": ["memory", "pids", "cpu"], "path": GROUP})
        self.assertIn("cgroups", guest.yardctl("status").stdout)
        (worker,) = guest.workers("hungry")
        guest.eventually(lambda: group("hungry/1/cgroup.procs") == str(worker["pid"]), "the worker alone in its group")
        self.assertEqual(group("supervisor/cgroup.procs"), str(guest.main_pid()))
        self.assertEqual((group("hungry/1/memory.max"), group("hungry/1/pids.max"), group("hungry/cpu.weight")),
                         (str(100 << 20), "10", "50"))
        self.assertEqual(group("supervisor/cpu.weight"), "1000")
        # the unit's own attributes are its administrator's
        self.assertEqual((group("memory.max"), group("cpu.weight")), ("max", "100"))
        shown = guest.systemctl("status", "--no-pager", guest.UNIT).stdout
        for name in ("supervisor", "hungry", "other"):
            self.assertRegex(shown, rf"[├└]─{name}\b")
        guest.systemctl("stop", guest.UNIT)
        self.assertFalse(os.path.exists(GROUP))

    def test_out_of_memory(self):
        self.pools(memory='"64M"')
        pid, (neighbour,) = guest.main_pid(), guest.workers("other")
        failed = guest.submit("hungry", {"bytes": 150_000_000})
        self.assertIn("out of memory, limits.memory is 64M", guest.wait_task(failed, "FAILED")["reason"])
        guest.wait_task(guest.submit("hungry"))
        guest.wait_task(guest.submit("other"))
        self.assertEqual(guest.workers("other")[0]["pid"], neighbour["pid"])
        self.assertEqual(guest.workers("hungry")[0]["lastExitCause"], "oom")
        self.assert_unharmed(pid)
        self.journal.wait_for("out of memory, limits.memory is 64M; killed")
        entry = fields(self.journal.entries("YARDMASTER_POOL=hungry"), "limits.memory is 64M; killed")
        self.assertEqual((entry["YARDMASTER_WORKER"], entry["YARDMASTER_TASK_ID"]), ("hungry/1", failed))
        explained = guest.run("journalctl", "--no-pager", "-x", "MESSAGE_ID=" + entry["MESSAGE_ID"]).stdout
        self.assertIn("ran out of memory and was killed by the kernel", explained)
        self.assertIn('yardmaster_pool_worker_exits_total{pool="hungry",cause="oom"} 1', guest.yardctl("metrics").stdout)

    def test_out_of_the_services_memory(self):
        self.pools()
        guest.systemctl("set-property", "--runtime", guest.UNIT, "MemoryMax=150M", "MemorySwapMax=0")
        self.addCleanup(guest.systemctl, "revert", guest.UNIT)
        pid = guest.main_pid()
        task = guest.wait_task(guest.submit("hungry", {"bytes": 300_000_000}), "FAILED")
        self.assertIn("the service's (MemoryMax=)", task["reason"])
        guest.wait_task(guest.submit("other"))
        self.assert_unharmed(pid)

    def test_fork_bomb(self):
        guest.configure("bomb", guest.pool_text("bomb", guest.handler("bomb", BOMB), retry="{ attempts = 1; }",
                                                limits="{ processes = 30; }"))
        guest.configure("other", guest.persistent("other", self.worker))
        guest.systemctl("reload", guest.UNIT)
        pid = guest.main_pid()
        bomb = guest.submit("bomb")
        guest.wait_task(guest.submit("other"))
        self.journal.wait_for("limits.processes allows (30)")
        guest.wait_task(bomb)
        guest.eventually(lambda: len(group("bomb/1/cgroup.procs").split()) <= 1, "nothing is left of the bomb")
        self.assertEqual(len([m for m in self.journal.messages() if "limits.processes allows" in m]), 1)
        self.assertGreater(guest.workers("bomb")[0]["cgroup"]["forksRefused"], 0)
        self.assert_unharmed(pid)

    def test_what_escapes_goes_with_its_worker(self):
        self.pools()
        output = guest.wait_task(guest.submit("hungry", {"escape": True}))["output"]
        os.kill(output["pid"], signal.SIGKILL)
        guest.eventually(lambda: not guest.harness.is_alive(output["escaped"]), "a session without an environment ends")

    def test_quota_and_figures(self):
        self.pools(cpu_quota='"20%"')
        self.assertEqual(group("hungry/1/cpu.max"), "20000 100000")
        guest.wait_task(guest.submit("hungry", {"burn": 0.3}))
        (worker,) = guest.workers("hungry")
        for name in ("memoryBytes", "memoryPeakBytes", "cpuUsec", "throttledUsec", "processes"):
            self.assertGreater(worker["cgroup"][name], 0, name)
        guest.yardctl("set", "hungry", "limits.cpu_quota=300%")
        self.assertEqual(group("hungry/1/cpu.max"), "300000 100000")
        row = guest.yardctl("list", "workers", "hungry", "-o", "wide").stdout
        self.assertIn("PEAK", row)
        metrics = guest.yardctl("metrics").stdout
        self.assertTrue(re.search(r'yardmaster_pool_cpu_seconds_total\{pool="hungry"\} [0-9.]*[1-9]', metrics), metrics)

    def test_a_killed_daemon_leaves_nothing(self):
        self.pools()
        output = guest.wait_task(guest.submit("hungry", {"escape": True}))["output"]
        before = guest.main_pid()
        os.kill(before, signal.SIGKILL)
        guest.eventually(lambda: guest.show("NRestarts") == "1" and guest.show("ActiveState") == "active", "it is back")
        self.assertNotEqual(guest.main_pid(), before)
        self.assertFalse(guest.harness.is_alive(output["escaped"]))
        self.assertTrue(guest.yardctl_json("status")["cgroups"]["used"])
        guest.wait_task(guest.submit("hungry"))

    def test_cases_of_handlers(self):
        """Of tests/live/test_cgroup.py those that the service's own scenarios do not have."""
        cases = ["test_a_command_out_of_memory", "test_what_a_dead_daemon_left_is_removed",
                 "test_a_launcher_that_is_killed_is_replaced", "test_commands_end_as_without_groups"]
        script = guest.PAYLOAD + "/live/test_cgroup.py"
        result = guest.run("python3", script, *cases, status=None, timeout=guest.TIMEOUT * 3)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(len(re.findall("(?m)^ok .*$", result.stdout)), len(cases), result.stdout)
        self.assertNotIn("SKIP", result.stdout)

    def test_without_delegation(self):
        guest.drop_in("no-delegate", "[Service]\nDelegate=no\n")
        guest.systemctl("restart", guest.UNIT)
        self.pools(memory='"64M"', processes=10)
        status = guest.yardctl_json("status")
        self.assertFalse(status["cgroups"]["used"])
        self.assertIn("Delegate=", status["cgroups"]["reason"])
        self.assertIn("Delegate=", guest.yardctl("status").stdout)
        self.assertEqual(guest.pool("hungry")["unenforced"], ["processes"])
        guest.wait_task(guest.submit("hungry"))


if __name__ == "__main__":
    guest.main()
