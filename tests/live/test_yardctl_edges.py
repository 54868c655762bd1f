# SPDX-License-Identifier: Apache-2.0
"""What yardctl does at the edges: a full queue, a daemon that dies, ctrl-c, pipes and terminals,
two shells; and what yardmasterd says on its own command line."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import unittest

import harness

CONFIG = """
sources: { local: { type = "queue"; max_tasks = 500; }; };
pools: {
  echo: { source = "local"; handler = { command = ["@DIR@/echo.sh"]; }; };
  gone: { source = "local"; handler = { command = ["@DIR@/gone.sh"]; }; };
};
"""
ECHO = "#!/bin/sh\nexec jq -c '{status: \"COMPLETED\", output: .inputData}'\n"


class Edges(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon(CONFIG)
        self.addCleanup(self.daemon.remove)
        self.daemon.script("echo.sh", ECHO)
        self.daemon.script("gone.sh", ECHO)
        self.daemon.start()
        self.ctl = self.daemon.ctl

    def start(self, *words, **options):
        process = subprocess.Popen([harness.YARDCTL, "--socket", self.daemon.socket_path, *words],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def monitor(self):
        """One that has begun: the first event has arrived."""
        process = self.start("--json", "monitor")
        self.assertEqual(process.stdout.readline(), "{}\n")
        self.ctl("submit", "echo", "--wait")
        self.assertIn("task_started", process.stdout.readline())
        return process

    def test_monitor_ends_on_ctrl_c(self):
        process = self.monitor()
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(harness.TIMEOUT), (0, -signal.SIGINT))
        self.assertEqual(process.stderr.read(), "")

    def test_monitor_ends_with_the_daemon(self):
        process = self.monitor()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(process.wait(harness.TIMEOUT), 3)
        self.assertIn("closed the connection", process.stderr.read())

    def test_wait_ends_with_the_daemon(self):
        task = self.ctl("submit", "echo", "--delay", "1h").stdout.strip()
        process = self.start("wait", task)
        harness.eventually(lambda: os.path.exists(f"/proc/{process.pid}/wchan"), "started")
        self.daemon.kill()
        self.assertEqual(process.wait(harness.TIMEOUT), 3)

    def test_full_queue(self):
        path = self.daemon.write("tasks", '{"type": "other"}\n' * 900)
        result = self.ctl("submit", "--from", path, "--force", status=1)
        self.assertIn("stopped at line 501: ", result.stderr)
        self.assertIn("raise the limit", result.stderr)
        self.assertIn("500 tasks submitted", result.stderr)
        self.assertLess(len(result.stderr.splitlines()), 5)
        self.assertIn("max_tasks = 500", self.ctl("submit", "echo", status=1).stderr)
        findings = self.ctl("health", status=1).stdout
        self.assertIn("source local: ", findings)
        self.assertIn("type other: 500 tasks wait", findings)
        self.ctl("health", "--live")
        self.ctl("task", "cancel", "--type", "other", "--yes")
        self.assertEqual(self.ctl("health").stdout, "ready\n")
        self.ctl("submit", "echo", "--wait")

    def test_daemon_killed_while_a_file_is_submitted(self):
        """Every id that was printed is there afterwards."""
        self.daemon.write_config(CONFIG.replace("max_tasks = 500; ", ""))
        self.ctl("reload")
        path = self.daemon.write("tasks", '{"type": "other"}\n' * 300_000)
        process = self.start("submit", "--from", path, "--force", "--ids")
        first = process.stdout.readline().strip()
        self.daemon.kill()
        output, error = process.stdout.read(), process.stderr.read()
        self.assertEqual(process.wait(harness.TIMEOUT), 3, error)
        self.assertRegex(error, r"lines \d+ to \d+ may not have been submitted")
        self.daemon.start()
        there = {task["taskId"] for line in self.ctl("--json", "list", "tasks").stdout.splitlines()
                 for task in json.loads(line)["tasks"]}
        self.assertEqual(len({first, *output.split()} - there), 0)
        self.daemon.stop()

    def test_pool_that_cannot_run(self):
        os.unlink(self.daemon.path("gone.sh"))
        self.ctl("submit", "gone")
        harness.eventually(lambda: self.daemon.pool("gone")["state"] == "failed", "the pool has failed")
        status = self.ctl("status").stdout
        self.assertRegex(status, r"gone +failed +no ")
        self.assertRegex(status, r"pool gone: .*no such file or directory.*\n +(→|->) check that the program exists")
        self.assertIn("pool gone", self.ctl("health", status=1).stdout)
        self.ctl("health", "--live")

    def on_terminal(self, *words, **environment):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen([harness.YARDCTL, "--socket", self.daemon.socket_path, *words], stdout=slave, stderr=slave,
                                   env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})
        os.close(slave)
        output = b""
        try:
            while data := os.read(master, 65536):
                output += data
        except OSError:
            pass
        os.close(master)
        self.assertEqual(process.wait(harness.TIMEOUT), 0)
        return output.decode()

    def test_terminal_and_pipe(self):
        self.ctl("submit", "echo", "--wait")
        for words in (["status"], ["status", "echo"], ["status", "echo/1"], ["list", "pools"], ["list", "workers"],
                      ["list", "sources"], ["list", "tasks"]):
            with self.subTest(words):
                plain = self.on_terminal(*words, NO_COLOR="1")
                self.assertNotIn("\x1b", plain)
                for line in plain.splitlines():
                    if "Config: " not in line:
                        self.assertLessEqual(len(line.rstrip()), 80, line)
                piped = self.ctl(*words).stdout
                self.assertNotIn("\x1b", piped)
                legend = piped.count("\n") - self.ctl(*words, "--no-legend").stdout.count("\n")
                self.assertEqual(legend, 0 if words == ["status", "echo/1"] else 1)
        self.assertIn("\x1b[32m", self.on_terminal("status", NO_COLOR=""))

    def test_metrics_are_strictly_prometheus(self):
        self.ctl("submit", "echo", "--wait")
        name, label = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
        sample = re.compile(rf"({name})(\{{(?:{label}(?:,{label})*)?\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|[+-]Inf)")
        kinds, helped, seen, current = {}, set(), set(), None
        for line in self.ctl("metrics").stdout.splitlines():
            if line.startswith("# HELP "):
                self.assertNotIn(line.split()[2], helped)
                helped.add(line.split()[2])
            elif line.startswith("# TYPE "):
                current, kind = line.split()[2:]
                self.assertNotIn(current, kinds)
                self.assertIn(kind, ("counter", "gauge", "histogram", "summary"))
                kinds[current] = kind
            else:
                found = sample.fullmatch(line)
                self.assertTrue(found, line)
                self.assertTrue(found[1] == current or kinds[current] in ("histogram", "summary") and found[1].startswith(current), line)
                self.assertNotIn((found[1], found[2]), seen)
                seen.add((found[1], found[2]))
                if kinds[current] == "counter":
                    self.assertTrue(current.endswith("_total") and float(found[3]) >= 0, line)
        self.assertEqual(helped, set(kinds))
        self.assertGreater(len(seen), 20)

    def test_completion_with_live_names(self):
        scripts = os.path.join(harness.SOURCE_ROOT, "packaging", "completions")
        program = f"""source {scripts}/yardctl.bash
            COMP_WORDS=(yardctl pause e) COMP_CWORD=2 COMP_LINE='yardctl pause e' COMP_POINT=15
            $(complete -p yardctl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "${{COMPREPLY[@]}}" """
        environment = {**os.environ, "YARDMASTER_SOCKET": self.daemon.socket_path,
                       "PATH": os.path.dirname(harness.YARDCTL) + ":" + os.environ["PATH"]}
        result = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((result.stdout, result.stderr), ("echo\n", ""))
        if shutil.which("zsh"):
            subprocess.run(["zsh", "-n", os.path.join(scripts, "_yardctl")], check=True)


class DaemonWords(unittest.TestCase):
    """yardmasterd's own command line."""

    def run_daemon(self, *words, status, environment=None):
        result = subprocess.run([harness.YARDMASTERD, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                check=False, timeout=harness.TIMEOUT, env={**os.environ, **(environment or {})})
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def test_help_and_version(self):
        result = self.run_daemon("--help", status=0)
        self.assertEqual(result.stderr, "")
        for line in result.stdout.splitlines():
            if "default" not in line:
                self.assertLessEqual(len(line), 80, line)
        self.assertRegex(self.run_daemon("--version", status=0).stdout, r"^yardmasterd \d+\.\d+\.\d+\n$")

    def test_wrong_usage_has_a_hint(self):
        for words in (["--frob"], ["frob"], ["--config"], ["run"], ["run", "x"], ["run", "x", "--once"], ["run", "x", "--once", "--"],
                      ["run", "x", "--once", "--frob", "--", "true"], ["run", "x", "--once", "--input", "[1]", "--", "true"],
                      ["run", "x", "--once", "--input", "{", "--", "true"], ["run", "x", "--once", "--mode", "odd", "--", "true"],
                      ["run", "x", "--once", "--task-timeout", "soon", "--", "true"], ["run", "x", "--once", "--", "/nonexistent"]):
            with self.subTest(words):
                result = self.run_daemon(*words, status=2)
                self.assertEqual(result.stdout, "")
                self.assertTrue(result.stderr.startswith("yardmasterd: "), result.stderr)
                self.assertRegex(result.stderr, "see --help|: |exist")

    def test_missing_configuration(self):
        self.assertIn("/nonexistent/y.conf", self.run_daemon("--check", "--config", "/nonexistent/y.conf", status=78).stderr)
        self.assertIn("/nonexistent/y.conf", self.run_daemon("--config", "/nonexistent/y.conf", status=78).stderr)


if __name__ == "__main__":
    harness.main()
