# SPDX-License-Identifier: Apache-2.0
"""yardctl and the daemon together: each verb does what it says, and exits as it says."""

import json
import os
import subprocess
import threading
import unittest

import harness

CONFIG = """
sources: { local: { type = "queue"; }; other: { type = "queue"; }; };
pools: {
  echo: { source = "local"; handler = { command = ["@DIR@/echo.sh"]; }; workers = 2; };
  fail: { source = "local"; handler = { command = ["@DIR@/fail.sh"]; }; retry = { attempts = 1; }; };
  hold: { source = "local"; handler = { command = ["@DIR@/hold.sh"]; }; task_timeout = "1h"; };
};
"""
ECHO = """#!/bin/sh
exec jq -c '{status: "COMPLETED", output: .inputData, logs: ["a line"]}'
"""
FAIL = """#!/bin/sh
cat >/dev/null
echo '{"status": "FAILED", "reason": "as asked"}'
"""
# Runs until it is cancelled or the folder has a file of that name.
HOLD = """#!/bin/sh
cat >/dev/null
while [ ! -e "$(dirname "$0")/release" ]; do sleep 0.05; done
echo '{"status": "COMPLETED"}'
"""


class Yardctl(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon(CONFIG)
        self.addCleanup(self.daemon.remove)
        self.daemon.script("echo.sh", ECHO)
        self.daemon.script("fail.sh", FAIL)
        self.daemon.script("hold.sh", HOLD)
        self.daemon.start()
        self.ctl = self.daemon.ctl

    def tearDown(self):
        self.daemon.write("release", "")
        self.assertEqual(self.daemon.stop(), 0)

    def events(self, *words):
        """A monitor that has begun: its lines, as they come."""
        process = subprocess.Popen([harness.YARDCTL, "--socket", self.daemon.socket_path, "--json", "monitor", *words],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(json.loads(process.stdout.readline()), {})
        return (json.loads(line) for line in process.stdout)

    def hold(self):
        """A task that runs until it is released; its id."""
        events = self.events("hold", "--types", "task_started")
        task = self.ctl("submit", "hold").stdout.strip()
        self.assertEqual(next(events)["taskId"], task)
        return task

    def test_submit_and_exit_codes(self):
        echoed = self.ctl("submit", "echo", '{"a": [1, "\\u0000"]}', "--wait").stdout
        self.assertEqual(json.loads(echoed), {"a": [1, "\0"]})
        self.assertIn("as asked", self.ctl("submit", "fail", "--wait", status=5).stderr)
        self.assertIn("did you mean echo?", self.ctl("submit", "ehco", status=1).stderr)
        task = self.ctl("submit", "ehco", "--force", "--source", "other").stdout.strip()
        self.assertEqual(self.daemon.task(task)["status"], "SCHEDULED")
        self.ctl("submit", "echo", "--source", "nowhere", status=4)
        self.ctl("submit", "hold", "--wait", "--timeout", "50ms", status=6)
        self.ctl("wait", task, "--timeout", "50ms", status=6)
        self.ctl("task", "show", "no-such-task", status=4)
        self.ctl("status", "no-such-pool", status=4)
        self.ctl("status", "echo/99", status=4)
        self.ctl("scale", "no-such-pool", "1", status=4)
        self.assertIn("ehco", self.ctl("health", status=1).stdout)
        self.assertIn("Waiting tasks that no pool serves", self.ctl("status").stdout)

    def test_submit_options(self):
        task = self.ctl("submit", "ehco", "{}", "--force", "--source", "other", "--priority", "7", "--delay", "1h",
                        "--unique", "k", "--attempts", "4", "--deadline", "2h").stdout.strip()
        shown = self.daemon.task(task)
        self.assertEqual((shown["priority"], shown["uniqueKey"], shown["attemptsMax"]), (7, "k", 4))
        self.assertAlmostEqual(shown["runTime"] - shown["scheduledTime"], 3_600_000, delta=2000)
        self.assertAlmostEqual(shown["deadlineTime"] - shown["scheduledTime"], 7_200_000, delta=60_000)
        again = ["submit", "ehco", "--force", "--source", "other", "--unique", "k"]
        self.assertIn(task, self.ctl(*again, status=1).stderr)
        self.assertEqual(self.ctl(*again, "--conflict", "return_existing").stdout.strip(), task)
        self.ctl(*again[:2], '{"new": 1}', *again[2:], "--conflict", "replace")
        listed = self.daemon.ctl_json("list", "tasks", "--source", "other")["tasks"]
        waiting = [item["taskId"] for item in listed if item["status"] == "SCHEDULED"]
        self.assertEqual([self.daemon.task(each)["inputData"] for each in waiting], [{"new": 1}])

    def test_submit_file(self):
        lines = [json.dumps({"type": "echo", "input": {"n": n}, "priority": n % 3}) for n in range(2300)]
        lines[100] = '{"type": "echo", "priority": 1000}'
        lines[200] = '{"type": "nowhere"}'
        lines[300] = "nonsense"
        path = self.daemon.write("tasks.ndjson", "\n".join(lines) + "\n")
        events = self.events("echo", "--types", "task_completed")
        result = self.ctl("submit", "--from", path, "--ids", status=1)
        ids = result.stdout.split()
        self.assertEqual(len(set(ids)), 2297)
        for text in ("ndjson:101: ", "ndjson:201: ", "ndjson:301: no JSON", "2297 tasks submitted", "3 not"):
            self.assertIn(text, result.stderr)
        next(events)
        self.assertEqual(self.daemon.task(ids[-1])["inputData"], {"n": 2299})
        self.ctl("task", "cancel", "--type", "echo", "--yes")

    def test_tasks_by_filter(self):
        tasks = [self.ctl("submit", "fail").stdout.strip() for _ in range(3)]
        self.ctl("wait", *tasks, status=5)
        listed = self.daemon.ctl_json("list", "tasks", "--status", "failed", "--type", "f*", "--since", "1h")["tasks"]
        self.assertEqual([task["taskId"] for task in listed], tasks)
        self.assertEqual(len(self.ctl("list", "tasks", "--limit", "2", "--no-legend").stdout.splitlines()), 2)
        self.assertIn("3 tasks would be deleted", self.ctl("task", "delete", "--type", "fail", status=1).stderr)
        self.assertIn("3 tasks scheduled again", self.ctl("task", "retry", "--type", "fail", "--yes").stdout)
        self.ctl("wait", *tasks, status=5)
        self.assertIn("already ended", self.ctl("task", "cancel", tasks[0], status=1).stderr)
        self.ctl("task", "delete", *tasks)
        self.ctl("task", "show", tasks[0], status=4)

    def test_running_task(self):
        task = self.hold()
        out = self.ctl("status", "hold/1").stdout
        self.assertIn(task, out)
        self.assertIn(task, self.ctl("status", "hold").stdout)
        self.assertIn("1 in progress", self.ctl("status").stdout)
        self.ctl("task", "cancel", task)
        self.assertIn("CANCELED", self.ctl("wait", task, status=5).stdout)

    def test_update_from_outside(self):
        task = self.hold()
        self.ctl("task", "update", task, "--status", "COMPLETED", "--output", '{"by": "hand"}', "--reason", "settled")
        self.ctl("wait", task)
        shown = self.daemon.task(task)
        self.assertEqual((shown["output"], shown["reason"]), ({"by": "hand"}, "settled"))
        self.assertIn("already ended", self.ctl("task", "update", task, "--status", "FAILED", status=1).stderr)

    def test_pools(self):
        self.assertEqual(self.ctl("scale", "echo", "+1").stdout, "echo: 3 workers wanted\n")
        self.assertEqual(self.ctl("scale", "echo", "-2").stdout, "echo: 1 worker wanted\n")
        self.ctl("scale", "echo", "-5", status=None)
        self.ctl("pause", "echo")
        self.assertEqual(self.daemon.pool("echo")["state"], "paused")
        task = self.ctl("submit", "echo").stdout.strip()
        self.ctl("wait", task, "--timeout", "100ms", status=6)
        self.ctl("resume", "echo")
        self.ctl("wait", task)
        self.ctl("set", "echo", "task_timeout=5s", "retry.attempts=7")
        self.assertIn('task_timeout = "5s"', self.ctl("config", "dump").stdout)
        self.assertIn("did you mean", self.ctl("set", "echo", "task_timeuot=5s", status=1).stderr)
        self.assertIn("0 to go", self.ctl("restart", "echo").stdout)
        self.assertIn("0 to go", self.ctl("restart", "echo", "--rolling").stdout)

    def test_configuration(self):
        self.assertIn("valid", self.ctl("config", "check").stdout)
        text = self.ctl("config", "dump").stdout
        copy = self.daemon.write("copy.conf", text)
        subprocess.run([harness.YARDMASTERD, "--check", "--config", copy], check=True, capture_output=True)
        changed = CONFIG.replace("workers = 2", "workers = 3")
        self.daemon.write_config(changed + 'on_event = { command = ["/bin/true"]; };')
        self.assertIn("echo", self.ctl("reload").stdout)
        self.daemon.write_config(CONFIG.replace("retry", "rerty"))
        self.assertEqual(self.ctl("config", "check", status=1).returncode, 1)
        self.assertIn("rerty", self.ctl("reload", status=1).stderr)
        self.assertIn("the last reload was refused", self.ctl("status").stdout)
        self.assertEqual(self.daemon.pool("echo")["wantedWorkers"], 3)

    def test_monitor(self):
        events = self.events("--types", "task_completed,task_failed")
        first = self.ctl("submit", "echo").stdout.strip()
        event = next(events)
        self.assertEqual((event["event"], event["taskId"], event["status"]), ("task_completed", first, "COMPLETED"))
        second = self.ctl("submit", "fail").stdout.strip()
        event = next(events)
        self.assertEqual((event["event"], event["taskId"], event["message"]), ("task_failed", second, "as asked"))
        self.ctl("monitor", "--types", "nonsense", status=1)
        self.ctl("monitor", "no-such-pool", status=4)

    def test_figures(self):
        self.ctl("submit", "echo", "--wait")
        text = self.ctl("metrics").stdout
        self.assertTrue(text.endswith("\n"))
        families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
        self.assertEqual(len(families), len(set(families)))
        self.assertIn('pool="echo"', text)
        self.assertEqual(self.ctl("health").stdout, "ready\n")
        self.assertEqual(self.ctl("health", "--live").stdout, "live\n")

    def test_daemon_verbs(self):
        self.ctl("log-level", "warning")
        self.assertEqual(self.ctl("log-level").stdout, "warning\n")
        self.ctl("log-level", "loud", status=1)
        self.assertIn("yardmasterd ", self.ctl("version").stdout)
        self.ctl("submit", "echo", "--wait")
        self.ctl("backup", self.daemon.path("copy.db"), "--source", "local")
        self.assertGreater(os.path.getsize(self.daemon.path("copy.db")), 4096)
        self.ctl("backup", self.daemon.path("copy.db"), "--source", "local", status=1)
        self.ctl("backup", self.daemon.path("nowhere", "copy.db"), "--source", "local", status=1)
        self.assertEqual(self.ctl("__complete", "--", "pause", "").stdout.split(), ["echo", "fail", "hold"])
        self.assertIn("interfaces", self.ctl("call", "org.varlink.service.GetInfo").stdout)

    def test_json_is_what_the_interface_gives(self):
        self.assertEqual(self.daemon.ctl_json("list", "pools").keys(), self.daemon.call("ListPools").keys())
        status = self.daemon.ctl_json("status")
        self.assertEqual([pool["name"] for pool in status["pools"]], ["echo", "fail", "hold"])
        self.assertEqual([source["name"] for source in status["sources"]], ["local", "other"])

    def test_drain(self):
        task = self.hold()
        output = []
        drain = threading.Thread(target=lambda: output.append(self.ctl("drain", "--deadline", "30s").stdout))
        events = self.events("--types", "drain_begun")
        drain.start()
        self.assertEqual(next(events)["event"], "drain_begun")
        self.daemon.write("release", "")
        drain.join(harness.TIMEOUT)
        self.assertEqual(self.daemon.wait(), 0)
        self.assertIn("running", output[0])
        self.ctl("status", status=3)
        self.daemon.start()
        self.assertEqual(self.daemon.task(task)["status"], "COMPLETED")

    @unittest.skipIf(os.getuid() != 0, "only root can become another user")
    def test_permissions(self):
        nobody = 65534
        os.chmod(self.daemon.directory, 0o755)
        program = [harness.YARDCTL, "--socket", self.daemon.socket_path]

        def run(*words, group):
            return subprocess.run([*program, *words], user=nobody, group=group, extra_groups=[], capture_output=True,
                                  text=True, check=False, env=self.daemon.environment)

        result = run("status", group=nobody)
        self.assertEqual(result.returncode, 7)
        self.assertIn("member of group root", result.stderr)
        os.chown(self.daemon.socket_path, 0, nobody)
        self.assertEqual(run("status", group=nobody).returncode, 0)
        self.assertEqual(run("submit", "echo", "--wait", group=nobody).returncode, 0)
        for words in (["scale", "echo", "1"], ["set", "echo", "rate=1/s"], ["pause", "echo"], ["reload"], ["drain"],
                      ["log-level", "info"], ["backup", "/tmp/x"], ["task", "cancel", "x"],
                      ["task", "delete", "--type", "x", "--yes"]):
            result = run(*words, group=nobody)
            self.assertEqual(result.returncode, 7, words)
            self.assertIn("admin_group", result.stderr)
        self.daemon.log.wait_for("refused .* to uid 65534")
        self.daemon.write_config(CONFIG + 'admin_group = "nogroup";')
        self.ctl("reload")
        self.assertEqual(run("scale", "echo", "1", group=nobody).returncode, 0)


if __name__ == "__main__":
    harness.main()
