# SPDX-License-Identifier: Apache-2.0
"""yardmasterd run TYPE --url: one task type of a server, served from the command line."""

import os
import re
import signal
import subprocess
import unittest

import harness
import stub
from runner import ECHO, Runner

# Nothing listens there.
NOWHERE = "http://127.0.0.1:1/api"


class Refusals(unittest.TestCase):
    def refused(self, *arguments, status=2, environment=None):
        """What stands on standard error; nothing is left behind."""
        runner = Runner(environment=environment)
        self.addCleanup(runner.remove)
        runner.spawn(*arguments)
        self.assertEqual(runner.wait(), status)
        self.assertEqual(runner.state_folders(), [])
        return runner.log.text()

    def test_no_server(self):
        self.assertIn("--url URL (or CONDUCTOR_SERVER_URL)", self.refused("t", "--", "cat"))
        self.assertIn("--url URL (or CONDUCTOR_SERVER_URL)",
                      self.refused("t", "--", "cat", environment={"CONDUCTOR_SERVER_URL": ""}))

    def test_no_command(self):
        self.assertIn("which COMMAND", self.refused("t", "--url", NOWHERE))
        self.assertIn("no program 'no-such-program' in PATH",
                      self.refused("t", "--url", NOWHERE, "--", "no-such-program"))

    def test_values(self):
        for arguments, expected in (
            (["--url", "127.0.0.1:1/api"], '--url: not a URL, like "http://host:8080/api"'),
            (["--url", NOWHERE, "--count", "0"], "--count: at least 1"),
            (["--url", NOWHERE, "--count", "1025"], "--count: 1025 is out of range: 0 to 1024"),
            (["--url", NOWHERE, "--poll-timeout", "5001"], "--poll-timeout: 5001ms is out of range: 0s to 5s"),
            (["--url", NOWHERE, "--poll-timeout", "6s"], "--poll-timeout: 6s is out of range: 0s to 5s"),
            (["--url", NOWHERE, "--exec-timeout", "0"], "--exec-timeout is a time such as 30s: 0"),
            (["--url", NOWHERE, "--domain", ""], "--domain: must not be empty"),
            (["--url", NOWHERE, "--worker-id", "a\nb"], "--worker-id: has a control character"),
            (["--url", NOWHERE, "--input", "{}"], "this option belongs to --once: --input"),
            (["--once", "--url", NOWHERE], "leave out --url"),
            (["--once", "--state-dir", "x"], "leave out --state-dir"),
            (["--once", "--pass-credentials"], "leave out --pass-credentials"),
        ):
            with self.subTest(arguments):
                self.assertIn(expected, self.refused("t", *arguments, "--", "cat"))

    def test_task_type(self):
        self.assertIn("'a/b' has a /", self.refused("a/b", "--url", NOWHERE, "--", "cat"))

    def test_key_without_secret(self):
        text = self.refused("t", "--url", NOWHERE, "--", "cat", environment={"CONDUCTOR_AUTH_KEY": "k"})
        self.assertIn("set CONDUCTOR_AUTH_SECRET", text)


class State(unittest.TestCase):
    def test_second_one_on_the_same_folder(self):
        with Runner("t", "--url", NOWHERE, "--", "./echo") as first:
            second = subprocess.run(
                [harness.YARDMASTERD, "run", "t", "--url", NOWHERE + "/", "--", "cat"], cwd=first.directory,
                env=first.environment, capture_output=True, text=True, timeout=harness.TIMEOUT, check=False)
            self.assertEqual(second.returncode, 75)
            self.assertIn(f"another yardmasterd (pid {first.process.pid}) uses {first.path(first.state_folders()[0])}",
                          second.stderr)
            self.assertIn("give it a higher --count, or this one a --state-dir of its own", second.stderr)
            self.assertEqual(len(first.state_folders()), 1)

            # another type, domain or server, or a folder of its own, is no conflict
            for arguments in (["u"], ["t", "--domain", "d"], ["t", "--state-dir", "own"]):
                other = Runner(*arguments, "--url", NOWHERE, "--", "./echo")
                other.environment.update(STATE_DIRECTORY=first.directory)
                with other:
                    pass
            self.assertEqual(len(first.state_folders()), 3)

    def test_stop_by_each_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number), Runner("t", "--url", NOWHERE, "--", "./echo") as runner:
                runner.signal(number)
                self.assertEqual(runner.wait(), 0)
                runner.log.wait_for("drained")

    def test_nothing_to_reload(self):
        with Runner("t", "--url", NOWHERE, "--", "./echo") as runner:
            answer = runner.ctl("reload", status=1)
            self.assertIn("there are no files to read again", answer.stderr)
            self.assertEqual(runner.call("CheckConfig"), {"valid": True, "diagnostics": []})


class Serving(unittest.TestCase):
    def server(self, *options):
        server = stub.Stub(*options)
        self.addCleanup(server.stop)
        return server

    def output(self, server, task_id):
        return server.task(task_id)["outputData"]

    def test_serves_until_stopped(self):
        server = self.server()
        with Runner("echo", "--url", server.url + "/", "--count", "2", "--", "./echo") as runner:
            ids = server.create("echo", 5, input={"n": "@n@"})
            server.wait("settled")
            self.assertEqual(self.output(server, ids[2]), {
                "input": {"n": 3}, "url": server.url, "key": None, "secret": None, "domain": None})
            for task_id in ids:
                runner.log.wait_for(rf"INFO echo/[12]: task {task_id} \(echo\) COMPLETED after ")
            self.assertEqual(runner.ctl_json("list", "pools")["pools"][0]["name"], "echo")

    def test_server_from_the_environment(self):
        server = self.server()
        with Runner("t", "--", "./echo", environment={"CONDUCTOR_SERVER_URL": server.url}):
            server.create("t", 1)
            server.wait("settled")
        with Runner("t", "--url", server.url, "--", "./echo", environment={"CONDUCTOR_SERVER_URL": NOWHERE}):
            server.create("t", 1)
            server.wait("settled")
        self.assertEqual(server.counts()["COMPLETED"], 2)

    def test_domain_and_worker_id(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--domain", "blue", "--worker-id", "me", "--", "./echo"):
            plain = server.create("t", 1)[0]
            blue = server.create("t", 1, domain="blue")[0]
            server.wait("completed", 1)
            self.assertEqual(self.output(server, blue)["domain"], "blue")
            self.assertEqual(server.task(blue)["workerId"], "me")
            self.assertEqual(server.task(plain)["status"], "SCHEDULED")

    def test_count_bounds_tasks_at_a_time(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--count", "2", "--", "./gated") as runner:
            server.create("t", 5)
            server.wait("in-progress", 2)
            runner.open_gate()
            server.wait("settled")
        self.assertEqual(server.queues()[0]["inProgressMax"], 2)

    def test_persistent_program(self):
        server = self.server()
        runner = Runner("t", "--mode", "persistent", "--url", server.url, "--", "./lines")
        runner.script("lines", """#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        print(json.dumps({"type": "result", "taskId": message["task"]["taskId"], "status": "COMPLETED",
                          "output": {"lines": True}}), flush=True)
""")
        with runner:
            task_id = server.create("t", 1)[0]
            server.wait("settled")
        self.assertEqual(self.output(server, task_id), {"lines": True})

    def test_results_wait_for_the_server_over_kill_9(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--", "./gated") as runner:
            task_id = server.create("t", 1)[0]
            runner.log.wait_for("gated")
            fault = server.fault("status", path="/api/tasks*", method="POST", status=503, count=1000000)
            runner.open_gate()
            runner.log.wait_for("COMPLETED after")
            harness.eventually(lambda: server.faults()[fault]["fired"] > 0, "the result was refused")
            runner.kill()
            server.clear_faults()
            self.assertEqual(server.task(task_id)["status"], "IN_PROGRESS")
            runner.start()
            server.wait("settled")
            self.assertEqual(self.output(server, task_id), {"after": "the gate"})
            self.assertEqual(len(runner.state_folders()), 1)

    def test_tells_what_is_not_delivered(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--", "./gated") as runner:
            server.create("t", 1)
            runner.log.wait_for("gated")
            server.away(3600 * 1000)
            runner.open_gate()
            runner.log.wait_for("COMPLETED after")
            runner.signal(signal.SIGINT)
            self.assertEqual(runner.wait(), 0)
            runner.log.wait_for(rf"1 message for source server not delivered yet: to be sent after the next start, "
                                rf"until then in {runner.path(runner.state_folders()[0])}")

    def test_first_signal_lets_finish(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--", "./gated") as runner:
            task_id = server.create("t", 1)[0]
            runner.log.wait_for("gated")
            runner.signal(signal.SIGINT)
            runner.log.wait_for("draining: 1 task in hand")
            runner.open_gate()
            self.assertEqual(runner.wait(), 0)
        self.assertEqual(self.output(server, task_id), {"after": "the gate"})
        self.assertEqual(server.counts()["handedBack"], 0)

    def test_second_signal_hands_back(self):
        server = self.server()
        with Runner("t", "--url", server.url, "--", "./gated") as runner:
            server.create("t", 1)
            runner.log.wait_for("gated")
            runner.signal(signal.SIGINT)
            runner.log.wait_for("draining: 1 task in hand")
            runner.signal(signal.SIGINT)
            self.assertEqual(runner.wait(), 0)
        counts = server.counts()
        self.assertEqual((counts["SCHEDULED"], counts["handedBack"]), (1, 1))

    def test_authentication(self):
        server = self.server("--auth=the-key:the-secret")
        keys = {"CONDUCTOR_AUTH_KEY": "the-key", "CONDUCTOR_AUTH_SECRET": "the-secret"}
        with Runner("t", "--url", server.url, "--", "./echo", environment=keys) as runner:
            task_id = server.create("t", 1)[0]
            server.wait("settled")
            output = self.output(server, task_id)
            self.assertEqual((output["key"], output["secret"]), (None, None))
            self.assertNotIn("the-secret", runner.log.text())
            self.assertNotIn("the-secret", runner.ctl("config", "dump").stdout)
            self.assertNotIn("the-secret", runner.ctl("config", "dump", "--json").stdout)
        with Runner("t", "--url", server.url, "--pass-credentials", "--", "./echo", environment=keys):
            task_id = server.create("t", 1)[0]
            server.wait("settled")
            output = self.output(server, task_id)
            self.assertEqual((output["key"], output["secret"]), ("the-key", "the-secret"))


class Readme(unittest.TestCase):
    """README's section on Conductor, word for word but for the server and the place of the program."""

    def blocks(self, server):
        with open(os.path.join(harness.SOURCE_ROOT, "README.md"), encoding="utf-8") as file:
            section = file.read().split("## A worker on Conductor\n")[1].split("\n## ")[0]
        section = section.replace("http://localhost:8080/api", server.url).replace("/usr/local/lib/acme/hello", "./hello")
        return [re.sub("(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", section)]

    def setUp(self):
        self.server = stub.Stub()
        self.addCleanup(self.server.stop)
        self.command, self.files, self.after = self.blocks(self.server)

    def greet(self):
        self.server.create("hello", 3, input={"name": "Ada"}, expect={"input": {"name": "Ada"}})
        self.server.wait("settled")

    def test_one_command(self):
        program, verb, *arguments = self.command.split()
        self.assertEqual((program, verb), ("yardmasterd", "run"))
        runner = Runner(*arguments)
        runner.script("hello", "#!/bin/sh\njq -c '{status: \"COMPLETED\", output: {input: .inputData}}'\n")
        with runner:
            self.greet()
        self.assertEqual(self.server.counts()["COMPLETED"], 3)

    def test_files(self):
        self.assertLessEqual(self.files.count("\n"), 10)
        self.assertTrue(self.after.startswith("sudo yardmasterd --check\nsudo systemctl reload yardmaster\n"), self.after)
        with harness.Daemon() as daemon:
            daemon.script("hello", ECHO)
            daemon.write("conf.d/hello.conf", self.files.replace("./hello", daemon.path("hello")))
            self.assertEqual(daemon.ctl_json("reload")["added"], ["hello"])
            self.server.create("hello", 3)
            self.server.wait("settled")
        self.assertEqual(self.server.counts()["COMPLETED"], 3)


if __name__ == "__main__":
    harness.main()
