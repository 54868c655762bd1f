# SPDX-License-Identifier: Apache-2.0
"""After a crash of the daemon: what it held goes back, what it had finished arrives, once."""

import time

import conductor
import harness
import proxy


class Recovery(conductor.Case):
    def test_tasks_in_hand_go_back(self):
        """Without waiting for their response timeout, which is ten minutes."""
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, "concurrency = 3;"))
        workflows = [self.api.start(name, {"first": {}, "sleep": 3}) for _ in range(3)]
        started = {line["taskId"] for line in daemon.wait_witness(n=3)}
        daemon.kill()
        began = time.time()
        daemon.start()
        for workflow in workflows:
            [task] = self.api.wait_workflow(workflow, timeout=20)["tasks"]
            self.assertIn(task["taskId"], started)
            self.assertEqual((task["retryCount"], task["pollCount"]), (0, 2))
        again = [line["time"] for line in daemon.witnessed() if line["poll"] == 2]
        self.assertLess(max(again) - began, 6)

    def test_a_result_that_was_not_accepted_yet_is_sent_after_the_crash(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            between.rule("/tasks", lambda request: between.answering(503)(request) if request.method == "POST" else None)
            daemon = self.daemon(conductor.pool(name), url=between.url)
            workflow = self.api.start(name, {"value": "kept"})
            harness.eventually(lambda: any(request.method == "POST" for request in between.seen("/tasks")), "a try")
            daemon.kill()
            between.clear()
            daemon.start()
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["outputData"]["echo"], task["pollCount"]), ("kept", 1))
            self.assertEqual(len(daemon.witnessed()), 1, "it is not executed again")

    def test_a_result_that_the_server_has_although_its_answer_got_lost(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            between.rule(lambda request: b'"COMPLETED"' in request.body, between.cut_after)
            daemon = self.daemon(conductor.pool(name), url=between.url)
            workflow = self.api.start(name)
            self.api.wait_workflow(workflow)
            daemon.kill()
            between.clear()
            daemon.start()
            harness.eventually(lambda: not daemon.outbox(), "the outbox is empty")
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual(task["pollCount"], 1)

    def test_a_task_that_daemons_die_over_is_given_up(self):
        name = self.api.define(retryCount=0)
        daemon = self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"sleep": 60})
        for number in range(1, 4):
            daemon.wait_witness(n=number)
            daemon.kill()
            daemon.start()
        [task] = self.api.wait_workflow(workflow, "FAILED")["tasks"]
        self.assertIn("daemons in a row died", task["reasonForIncompletion"])
        self.assertEqual(len(daemon.witnessed()), 3)

    def test_results_wait_for_a_server_that_is_away(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(conductor.pool(name, "concurrency = 10;"), url=between.url)
            workflows = [self.api.start(name, {"gate": daemon.path("gate"), "value": n}) for n in range(10)]
            daemon.wait_witness(n=10)
            between.rule("", between.cut_before)
            daemon.open_gate()
            harness.eventually(lambda: len(daemon.outbox()) == 10, "ten results wait")
            time.sleep(3)
            between.clear()
            for number, workflow in enumerate(workflows):
                [task] = self.api.wait_workflow(workflow)["tasks"]
                self.assertEqual((task["outputData"]["echo"], task["pollCount"]), (number, 1))
            harness.eventually(lambda: not daemon.outbox(), "the outbox is empty")

    def test_a_drain_without_a_server_keeps_the_results(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(conductor.pool(name), url=between.url, top='drain_timeout = "2s";')
            workflow = self.api.start(name, {"gate": daemon.path("gate")})
            daemon.wait_witness()
            between.rule("", between.cut_before)
            daemon.open_gate()
            harness.eventually(lambda: daemon.outbox(), "its result waits")
            self.assertEqual(daemon.stop(timeout=30), 0)
            between.clear()
            daemon.start()
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual(task["pollCount"], 1)


if __name__ == "__main__":
    harness.main()
