# SPDX-License-Identifier: Apache-2.0
"""What a handler says arrives at the server as it was meant: every status, reasons, retries, put-backs."""

import json
import os

import conductor
import harness

MODES = ("persistent", "per-task")


class Outcomes(conductor.Case):
    def both_modes(self, **members):
        """One type per mode, both served by one daemon."""
        types = {mode: self.api.define(**members) for mode in MODES}
        daemon = self.daemon(*(conductor.pool(name, mode=mode) for mode, name in types.items()))
        return daemon, types

    def run_in_each(self, order, status="COMPLETED", **members):
        """(the daemon, the workflow) for each mode, once it has ended."""
        daemon, types = self.both_modes(**members)
        started = [self.api.start(name, order) for name in types.values()]
        return [(daemon, self.api.wait_workflow(workflow, status)) for workflow in started]

    def test_completed(self):
        value = {"big": 12345678901234567890, "small": 1e-7, "text": "ünïcode \" \\ \n \u2028", "none": None,
                 "list": [1, [], {}], "deep": json.loads('{"a":' * 40 + "{}" + "}" * 40)}
        for daemon, workflow in self.run_in_each({"value": value}):
            [task] = workflow["tasks"]
            self.assertEqual(task["outputData"]["echo"], value)
            self.assertEqual((task["status"], task["retryCount"], task["pollCount"]), ("COMPLETED", 0, 1))
            self.assertEqual(len(daemon.witnessed(task["taskId"])), 1)

    def test_failed_is_retried_by_the_server(self):
        order = {"first": {"status": "FAILED", "reason": "the first time"}, "value": 5}
        for _, workflow in self.run_in_each(order):
            first, second = workflow["tasks"]
            self.assertEqual((first["status"], first["reasonForIncompletion"]), ("FAILED", "the first time"))
            self.assertEqual((second["status"], second["retryCount"]), ("COMPLETED", 1))
            self.assertEqual(second["retriedTaskId"], first["taskId"])

    def test_failed_until_no_retry_is_left(self):
        order = {"result": {"status": "FAILED", "reason": "always", "output": {"partial": 1}}}
        for _, workflow in self.run_in_each(order, "FAILED", retryCount=1):
            self.assertEqual([task["status"] for task in workflow["tasks"]], ["FAILED", "FAILED"])
            self.assertEqual(workflow["tasks"][1]["outputData"], {"partial": 1})

    def test_a_terminal_error_is_not_retried(self):
        order = {"result": {"status": "FAILED_WITH_TERMINAL_ERROR", "reason": "no use"}}
        for _, workflow in self.run_in_each(order, "FAILED"):
            [task] = workflow["tasks"]
            self.assertEqual((task["status"], task["reasonForIncompletion"]), ("FAILED_WITH_TERMINAL_ERROR", "no use"))

    def test_put_back_comes_again(self):
        order = {"first": {"status": "IN_PROGRESS", "callbackAfterSeconds": 2, "output": {"step": 1}}, "value": 5}
        for daemon, workflow in self.run_in_each(order):
            [task] = workflow["tasks"]
            self.assertEqual((task["retryCount"], task["pollCount"]), (0, 2))
            first, second = daemon.witnessed(task["taskId"])
            self.assertGreaterEqual(second["time"] - first["time"], 1.9)
            self.assertLess(second["time"] - first["time"], 8)

    def test_put_back_shows_its_output_meanwhile(self):
        name = self.api.define()
        self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"result": {"status": "IN_PROGRESS", "callbackAfterSeconds": 600,
                                                    "output": {"step": 1}}})
        task = self.api.wait_task(workflow, lambda task: task["callbackAfterSeconds"] == 600, "the put-back")
        self.assertEqual((task["status"], task["outputData"]), ("SCHEDULED", {"step": 1}))

    def test_a_put_back_for_no_stated_time(self):
        for _, workflow in self.run_in_each({"first": {"status": "IN_PROGRESS"}}):
            [task] = workflow["tasks"]
            self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 2))

    def test_a_put_back_for_less_than_nothing_is_refused(self):
        """The server would take it, and with SQLite never deliver the task again."""
        for _, workflow in self.run_in_each({"first": {"status": "IN_PROGRESS", "callbackAfterSeconds": -5}}):
            refused, again = workflow["tasks"]
            self.assertEqual((refused["status"], again["status"]), ("FAILED", "COMPLETED"))
            self.assertIn("callbackAfterSeconds", refused["reasonForIncompletion"])

    def test_a_fraction_of_a_second_is_not_cut_to_nothing(self):
        for _, workflow in self.run_in_each({"first": {"status": "IN_PROGRESS", "callbackAfterSeconds": 0.2}}):
            self.assertEqual(workflow["tasks"][0]["pollCount"], 2)

    def test_a_long_reason_keeps_its_start(self):
        reason = "the cause: " + "ü" * 2000
        for _, workflow in self.run_in_each({"result": {"status": "FAILED", "reason": reason}}, "FAILED", retryCount=0):
            stored = workflow["tasks"][0]["reasonForIncompletion"]
            self.assertTrue(stored.startswith("the cause: üü"), stored)
            self.assertLessEqual(len(stored), 500)

    def test_zero_characters_are_replaced(self):
        """Postgres refuses them and leaves the result half stored."""
        order = {"result": {"output": {"a\0b": "c\0d"}, "logs": ["e\0f"], "reason": "g\0h"}}
        for _, workflow in self.run_in_each(order):
            [task] = workflow["tasks"]
            text = json.dumps(task["outputData"]) + task.get("reasonForIncompletion", "") + str(self.api.log(task["taskId"]))
            self.assertNotIn("\\u0000", text)
            self.assertNotIn("\\x00", text)
            [(key, value)] = task["outputData"].items()
            self.assertEqual((key[0], key[-1], value[0], value[-1]), ("a", "b", "c", "d"))

    def test_a_crash_and_a_time_out_are_failures(self):
        crash, slow = self.api.define(retryCount=0), self.api.define(retryCount=0)
        daemon = self.daemon(conductor.pool(crash), conductor.pool(slow, 'task_timeout = "500ms"; stop_timeout = "200ms";'))
        crashed, timed_out = self.api.start(crash, {"sleep": 60}), self.api.start(slow, {"sleep": 60})
        os.kill(next(line["pid"] for line in daemon.wait_witness(n=2)
                             if line["taskId"] == self.api.tasks(crashed)[0]["taskId"]), 9)
        reason = self.api.wait_workflow(crashed, "FAILED")["tasks"][0]["reasonForIncompletion"]
        self.assertIn("worker crashed", reason)
        reason = self.api.wait_workflow(timed_out, "FAILED")["tasks"][0]["reasonForIncompletion"]
        self.assertIn("timed out after 500ms", reason)

    def test_a_failure_that_names_its_delay_is_retried(self):
        order = {"first": {"status": "FAILED", "reason": "soon", "retryAfterSeconds": 1}}
        for _, workflow in self.run_in_each(order):
            self.assertEqual([task["status"] for task in workflow["tasks"]], ["FAILED", "COMPLETED"])

    def test_a_chain_of_one_type(self):
        """The answer to one result may bring the next task: none is lost on this way."""
        name = self.api.define()
        self.api.define_workflow(name, *[name] * 10)
        self.daemon(conductor.pool(name))
        workflow = self.api.run(name, {"value": 3})
        self.assertEqual([task["outputData"]["echo"] for task in workflow["tasks"]], [3] * 10)
        self.assertEqual([task["pollCount"] for task in workflow["tasks"]], [1] * 10)

    def test_several_types_in_one_pool(self):
        names = [self.api.define() for _ in range(3)]
        types = ", ".join(f'"{name}"' for name in names)
        self.daemon(conductor.pool("several", f"task_type = [{types}]; concurrency = 2;"))
        for workflow in [self.api.start(name, {"value": name}) for name in names * 3]:
            self.api.wait_workflow(workflow)

    def test_a_type_with_odd_characters(self):
        name = conductor.fresh_name("a b;:%?#&+\"ü")
        self.api.define_workflow(self.api.define_task(name), name)
        quoted = json.dumps(name, ensure_ascii=False)
        self.daemon(conductor.pool("odd", f"task_type = {quoted};"))
        self.api.run(name)

    def test_what_a_handler_finds_in_its_environment(self):
        name = self.api.define()
        self.daemon(conductor.pool(name, mode="per-task"))
        names = ["CONDUCTOR_SERVER_URL", "TASK_TYPE", "TASK_ID", "WORKFLOW_ID", "EXECUTION_ID", "POLL_DOMAIN"]
        workflow = self.api.run(name, {"environ": names})
        [task] = workflow["tasks"]
        self.assertEqual({key: task["outputData"][key] for key in names}, {
            "CONDUCTOR_SERVER_URL": conductor.URL, "TASK_TYPE": name, "TASK_ID": task["taskId"],
            "WORKFLOW_ID": workflow["workflowId"], "EXECUTION_ID": workflow["workflowId"],
            "POLL_DOMAIN": task["outputData"]["POLL_DOMAIN"]})
        self.assertIn(task["outputData"]["POLL_DOMAIN"], (None, ""))


if __name__ == "__main__":
    harness.main()
