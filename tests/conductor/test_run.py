# SPDX-License-Identifier: Apache-2.0
"""yardmasterd run TYPE --url in place of Conductor's own command line."""

import signal
import unittest

import conductor
import harness
from runner import Runner


class Run(unittest.TestCase):
    def setUp(self):
        self.api = conductor.Api()

    def test_serves_a_type(self):
        name = self.api.define()
        with Runner(name, "--url", self.api.url, "--count", "3", "--", "./echo"):
            workflows = [self.api.start(name, {"n": n}) for n in range(10)]
            for n, workflow in enumerate(workflows):
                output = self.api.wait_workflow(workflow)["tasks"][0]["outputData"]
                self.assertEqual(output["input"], {"input": {"n": n}})
                self.assertEqual(output["url"], self.api.url)

    def test_domain_and_worker_id(self):
        name = self.api.define()
        domain = conductor.fresh_name("domain")
        with Runner(name, "--url", self.api.url, "--domain", domain, "--worker-id", "me", "--", "./echo"):
            # the server sends tasks to a domain once it has seen a poll of it
            harness.eventually(lambda: self.api.call("GET", "/tasks/queue/polldata", taskType=name), "a poll")
            plain = self.api.start(name)
            task = self.api.run(name, taskToDomain={name: domain})["tasks"][0]
            self.assertEqual((task["outputData"]["domain"], task["workerId"]), (domain, "me"))
            self.assertEqual(self.api.tasks(plain)[0]["status"], "SCHEDULED")
        self.api.terminate(plain)

    def test_a_killed_one_started_again_settles_what_it_held(self):
        name = self.api.define()
        with Runner(name, "--url", self.api.url, "--", "./gated") as runner:
            workflow = self.api.start(name)
            runner.log.wait_for("gated")
            held = self.api.tasks(workflow)[0]["taskId"]
            runner.kill()
            runner.open_gate()
            runner.start()
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["taskId"], task["retryCount"]), (held, 0))
            self.assertEqual(task["outputData"], {"after": "the gate"})

    def test_second_signal_hands_back_at_once(self):
        name = self.api.define()
        with Runner(name, "--url", self.api.url, "--", "./gated") as runner:
            workflow = self.api.start(name)
            runner.log.wait_for("gated")
            runner.signal(signal.SIGINT)
            runner.log.wait_for("draining: 1 task in hand")
            runner.signal(signal.SIGINT)
            self.assertEqual(runner.wait(), 0)
        task = self.api.tasks(workflow)[0]
        self.assertEqual((task["status"], task["retryCount"]), ("SCHEDULED", 0))
        with Runner(name, "--url", self.api.url, "--", "./echo"):
            self.api.wait_workflow(workflow)


if __name__ == "__main__":
    harness.main()
