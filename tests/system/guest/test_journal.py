# SPDX-License-Identifier: Apache-2.0
"""What the journal has: lines of workers under their names, events with fields; and when it is stopped."""

import json
import time

import guest

TALK = """#!/bin/sh
echo "from the task $TASK_ID" >&2
echo "<3>it is bad" >&2
sh -c 'echo "from a child" >&2'
echo '{"status": "COMPLETED"}'
"""

# Two processes in turn: the second one has taken the place of the first.
TALK_ON = """#!/bin/sh
echo "before exec $$" >&2
exec python3 -u -c '
import json, os, subprocess, sys
print("after exec", os.getpid(), file=sys.stderr)
print("<4>careful", file=sys.stderr)
subprocess.run(["sh", "-c", "echo from a child $$ >&2"])
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        print("from the task", file=sys.stderr)
        print("stray")
        print(json.dumps({"type": "result", "taskId": message["task"]["taskId"], "status": "COMPLETED"}))
'
"""

# Says something all the time, and cares as little as most programs whether it could.
CHATTER = """#!/bin/sh
while read -r line; do
        id=$(printf '%s' "$line" | jq -r .task.taskId)
        [ "$id" != null ] || continue
        for i in $(seq "$(printf '%s' "$line" | jq -r .task.inputData.times)"); do
                echo "chatter $id $i $$" >&2
                sleep 0.02
        done
        printf '{"type": "result", "taskId": "%s", "status": "COMPLETED", "output": {"pid": %d}}\\n' "$id" $$
done
"""

JOURNALD = "systemd-journald.service"
JOURNALD_UNITS = (JOURNALD, "systemd-journald.socket", "systemd-journald-dev-log.socket")


def by_text(entries):
    return {entry["MESSAGE"]: entry for entry in entries if isinstance(entry.get("MESSAGE"), str)}


class JournalOfWorkers(guest.Scenario):
    MACHINE = "nspawn"

    def logs(self, *words, **options):
        guest.run("journalctl", "--sync")
        return guest.yardctl("logs", *words, **options)

    def logs_json(self, *words):
        return [json.loads(line) for line in self.logs("--json", *words).stdout.splitlines()]

    def reload(self, **pools):
        for name, text in pools.items():
            guest.configure(name, text)
        guest.systemctl("reload", guest.UNIT)

    def test_a_command_for_each_task(self):
        self.reload(talk=guest.pool_text("talk", guest.handler("talk", TALK)))
        task_id = guest.submit("talk")
        guest.wait_task(task_id)
        printed = by_text(self.logs_json("talk/1"))
        entry = printed[f"from the task {task_id}"]
        self.assertEqual(entry["SYSLOG_IDENTIFIER"], "talk/1")
        self.assertEqual(entry["PRIORITY"], "6")
        self.assertEqual(entry["YARDMASTER_POOL"], "talk")
        self.assertEqual(entry["YARDMASTER_WORKER"], "talk/1")
        self.assertEqual(entry["YARDMASTER_TASK_ID"], task_id)
        self.assertEqual(entry["YARDMASTER_TASK_TYPE"], "talk")
        self.assertNotEqual(entry["SYSLOG_PID"], entry["_PID"])
        self.assertEqual(entry["_PID"], str(guest.main_pid()))
        self.assertEqual(printed["it is bad"]["PRIORITY"], "3")
        self.assertEqual(printed["from a child"]["SYSLOG_PID"], entry["SYSLOG_PID"])
        # Nothing but what is about the task.
        shown = self.logs_json("--task", task_id)
        self.assertEqual({entry["YARDMASTER_TASK_ID"] for entry in shown}, {task_id})
        self.assertIn("it is bad", by_text(shown))

    def test_persistent(self):
        self.reload(on=guest.persistent("on", guest.handler("talk-on", TALK_ON)))
        guest.wait_task(guest.submit("on"))
        (worker,) = guest.workers("on")
        pid = str(worker["pid"])
        printed = by_text(self.logs_json("on/1"))
        for text in (f"before exec {pid}", f"after exec {pid}", "careful", "from the task"):
            self.assertEqual(printed[text]["_PID"], pid)
            self.assertEqual(printed[text]["SYSLOG_IDENTIFIER"], "on/1")
            self.assertEqual(printed[text]["_SYSTEMD_UNIT"], guest.UNIT)
        self.assertEqual(printed["careful"]["PRIORITY"], "4")
        child = next(text for text in printed if text.startswith("from a child"))
        self.assertEqual(printed[child]["_PID"], child.split()[-1])
        self.assertEqual(printed["stray"]["SYSLOG_PID"], pid)
        self.assertIn(f"on/1[{pid}]: after exec {pid}", self.logs("on").stdout)
        self.assertIn(f"on/1[{pid}]: from the task", guest.yardctl("status", "on/1").stdout)

    def test_library(self):
        guest.install("yardmaster-dev")
        self.reload(hash='pools: { hash: { source = "local"; handler = { library = "hash.so"; }; }; };\n')
        pid = guest.eventually(lambda: guest.workers("hash")[0].get("pid"), "a runner")
        self.assertTrue(guest.run("readlink", f"/proc/{pid}/fd/2").stdout.startswith("socket:"))

    def test_who_may_read(self):
        self.reload(talk=guest.pool_text("talk", guest.handler("talk", TALK)))
        guest.wait_task(guest.submit("talk"))
        guest.run("useradd", "--system", "outsider")
        self.addCleanup(guest.run, "userdel", "outsider")
        refused = self.logs("talk", user="outsider", status=7)
        self.assertIn("adduser USER systemd-journal", refused.stderr)
        guest.run("usermod", "--append", "--groups", "systemd-journal", "outsider")
        self.assertIn("it is bad", self.logs("talk", user="outsider").stdout)

    def test_of_instances(self):
        folder = "/etc/yardmaster/instances/blue"
        guest.write(folder + "/yardmaster.conf", 'sources = { local = { type = "queue"; }; };\n')
        self.addCleanup(guest.shutil.rmtree, folder)
        text = guest.pool_text("tenant", guest.handler("talk", TALK))
        guest.write(folder + "/conf.d/tenant.conf", text)
        self.addCleanup(guest.systemctl, "stop", "yardmaster@blue")
        guest.systemctl("start", "yardmaster@blue")
        self.reload(tenant=text)
        guest.wait_task(guest.submit("tenant"))
        guest.yardctl("--instance", "blue", "submit", "tenant", "--wait")
        for words, pid in ((), guest.main_pid()), (("--instance", "blue"), guest.main_pid("yardmaster@blue.service")):
            entries = self.logs_json("tenant", *words)
            self.assertEqual({entry["_PID"] for entry in entries}, {str(pid)})
            self.assertIn("it is bad", by_text(entries))
        # Stopped, it still has something to show.
        guest.systemctl("stop", "yardmaster@blue")
        shown = self.logs("tenant", "--instance", "blue")
        self.assertIn("the daemon cannot be asked", shown.stderr)
        self.assertIn("it is bad", shown.stdout)

    def test_start_refused(self):
        guest.configure("bad", "pools: { bad: { }; };\n")
        guest.systemctl("restart", guest.UNIT, status=1)
        told = by_text(self.journal.entries("PRIORITY=3", "_SYSTEMD_UNIT=" + guest.UNIT))
        self.assertTrue(any(text.startswith(guest.CONF_D + "/bad.conf:1:") for text in told), told)
        explained = guest.run("journalctl", "-x", "MESSAGE_ID=" + told["not started: the configuration is invalid"]["MESSAGE_ID"])
        self.assertIn("yardmasterd --check", explained.stdout)

    def chatter(self):
        """A pool of one such worker; its pid."""
        self.reload(chatter=guest.persistent("chatter", guest.handler("chatter", CHATTER)))
        return guest.wait_task(guest.submit("chatter", {"times": 1}))["output"]["pid"]

    def chatter_pid(self):
        return guest.workers("chatter")[0].get("pid")

    def test_journald_restarted(self):
        pid = self.chatter()
        task_id = guest.submit("chatter", {"times": 200})
        guest.wait_running(task_id)
        guest.systemctl("restart", JOURNALD)
        self.assertEqual(guest.wait_task(task_id)["output"]["pid"], pid)
        printed = by_text(self.logs_json("chatter/1"))
        self.assertEqual([i for i in range(1, 201) if f"chatter {task_id} {i} {pid}" not in printed], [])
        self.assertEqual(self.chatter_pid(), pid)

    def test_journald_stopped(self):
        daemon, pid = guest.main_pid(), self.chatter()
        task_id = guest.submit("chatter", {"times": 200})
        guest.wait_running(task_id)
        guest.systemctl("stop", *JOURNALD_UNITS)
        self.addCleanup(guest.systemctl, "start", *JOURNALD_UNITS)
        # It goes on, although what it prints cannot be kept, and then its successor takes over.
        done = guest.wait_task(task_id)
        self.assertEqual((done["output"]["pid"], done["attempts"]), (pid, 1))
        second = guest.eventually(lambda: self.chatter_pid() not in (None, pid) and self.chatter_pid(), "the worker is replaced")
        self.assertEqual(guest.wait_task(guest.submit("chatter", {"times": 2}))["output"]["pid"], second)
        self.assertGreater(guest.yardctl_json("status")["log"]["dropped"], 0)
        self.assertIn("lines are missing", guest.yardctl("status").stdout)

        guest.systemctl("start", *JOURNALD_UNITS)
        last = guest.submit("chatter", {"times": 2})
        guest.wait_task(last)
        printed = by_text(self.logs_json("chatter/1"))
        self.assertEqual(printed[f"chatter {last} 2 {second}"]["SYSLOG_PID"], str(second))
        self.assertIn("lines are missing here: the journal took none", self.logs().stdout)
        self.assertEqual((guest.main_pid(), guest.show("NRestarts")), (daemon, "0"))

    def test_journald_hangs(self):
        self.reload(talk=guest.pool_text("talk", guest.handler("talk", TALK)))
        guest.wait_task(guest.submit("talk"))
        guest.systemctl("kill", "--signal=STOP", JOURNALD)
        self.addCleanup(guest.systemctl, "kill", "--signal=CONT", JOURNALD)
        ids = [guest.submit("talk") for _ in range(300)]
        slowest = 0
        for task_id in ids:
            began = time.monotonic()
            self.assertEqual(guest.pool("talk")["state"], "running")
            slowest = max(slowest, time.monotonic() - began)
            guest.wait_task(task_id)
        print(f"# the slowest answer meanwhile: {1000 * slowest:.0f} ms")
        self.assertLess(slowest, 2)
        self.assertGreater(guest.yardctl_json("status")["log"]["dropped"], 0)
        guest.systemctl("kill", "--signal=CONT", JOURNALD)
        guest.wait_task(guest.submit("talk"))
        self.assertIn("lines are missing here: the journal took none", self.logs().stdout)


if __name__ == "__main__":
    guest.main()
