# SPDX-License-Identifier: Apache-2.0
"""That the server these tests stand on does what they take for granted, without a daemon."""

import unittest

import conductor
import harness


class Server(unittest.TestCase):
    def setUp(self):
        self.api = conductor.Api()

    def test_a_workflow_by_hand(self):
        name = self.api.define()
        workflow = self.api.start(name, {"n": 7})
        [task] = self.api.poll(name, timeout=5000)
        self.assertEqual(task["inputData"], {"input": {"n": 7}})
        self.assertEqual(self.api.update(task, "COMPLETED", outputData={"n": 8}), task["taskId"])
        self.assertEqual(self.api.wait_workflow(workflow)["tasks"][0]["outputData"], {"n": 8})

    def test_a_task_handed_back_keeps_its_id_and_retries(self):
        name = self.api.define()
        self.api.start(name)
        [task] = self.api.poll(name, timeout=5000)
        self.api.update(task, "IN_PROGRESS", callbackAfterSeconds=1)
        [again] = self.api.poll(name, timeout=5000)
        self.assertEqual((again["taskId"], again["retryCount"], again["pollCount"]), (task["taskId"], 0, 2))

    def test_a_connection_ends_after_100_requests(self):
        for _ in range(99):
            _, headers, _ = self.api.exchange("GET", "/metadata/taskdefs")
            self.assertNotEqual(headers.get("Connection"), "close")
        _, headers, _ = self.api.exchange("GET", "/metadata/taskdefs")
        self.assertEqual(headers["Connection"], "close")

    def test_a_response_timeout_is_on_time(self):
        name = self.api.define(responseTimeoutSeconds=2, retryCount=1)
        workflow = self.api.start(name)
        self.api.poll(name, timeout=5000)
        self.api.wait_task(workflow, lambda task: task["retryCount"] == 1, "the retry", timeout=15)


if __name__ == "__main__":
    harness.main()
