# SPDX-License-Identifier: Apache-2.0
"""A task that nobody wants any more is noticed within seconds, its handler told, its result not sent."""

import signal
import time

import conductor
import harness
import proxy

# A task is looked at within 5 s of its end at the server; the rest is for a busy machine.
NOTICE_SECONDS = 5
SLACK_SECONDS = 2


class Cancel(conductor.Case):
    def running(self, mode="persistent", keys="", url=conductor.URL, **order):
        """A daemon, a workflow, and its task that runs already."""
        name = self.api.define(order.pop("word", "cancel"), **order.pop("definition", {}))
        daemon = self.daemon(conductor.pool(name, f'stop_timeout = "1s"; {keys}', mode=mode), url=url)
        workflow = self.api.start(name, {"sleep": 120, **order})
        return daemon, workflow, daemon.wait_witness()[0]

    def assert_cancelled(self, daemon, task_id, since):
        [line] = daemon.wait_witness("cancel", task_id)
        self.assertLess(line["time"] - since, NOTICE_SECONDS + SLACK_SECONDS)

    def assert_free(self, daemon, name=None):
        """The pool has its place back: the next task runs."""
        [pool] = daemon.call("ListPools")["pools"]
        workflow = self.api.start(pool["name"], {"value": "next"})
        self.api.wait_workflow(workflow)

    def test_a_terminated_workflow(self):
        for mode in ("persistent", "per-task"):
            with self.subTest(mode), proxy.Proxy() as between:
                daemon, workflow, line = self.running(mode, url=between.url)
                began = time.time()
                self.api.terminate(workflow)
                self.assert_cancelled(daemon, line["taskId"], began)
                self.assert_free(daemon)
                results = [body for body in between.updates(line["taskId"]) if not body.get("extendLease")]
                self.assertEqual(results, [])
                self.assertEqual(self.api.task(line["taskId"])["status"], "CANCELED")

    def test_a_handler_that_ignores_it(self):
        for mode, signals in (("persistent", 1), ("per-task", 1)):
            with self.subTest(mode):
                daemon, workflow, line = self.running(mode, hang=True)
                began = time.time()
                self.api.terminate(workflow)
                self.assert_cancelled(daemon, line["taskId"], began)
                harness.eventually(lambda: not harness.is_alive(line["pid"]), "KILL", 10)
                self.assert_free(daemon)

    def test_a_workflow_that_timed_out(self):
        daemon, workflow, line = self.running("persistent")
        name = self.api.task(line["taskId"])["taskType"]
        limited = self.api.define_workflow(conductor.fresh_name("limited"), name, timeoutSeconds=3,
                                           timeoutPolicy="TIME_OUT_WF")
        self.api.terminate(workflow)
        daemon.wait_witness("cancel", line["taskId"])
        other = self.api.start(limited, {"sleep": 120})
        second = daemon.wait_witness(n=2)[1]
        self.api.wait_workflow(other, "TIMED_OUT")
        self.assert_cancelled(daemon, second["taskId"], time.time())

    def test_a_task_that_somebody_else_completed(self):
        daemon, workflow, line = self.running()
        began = time.time()
        self.api.update(self.api.task(line["taskId"]), "COMPLETED", outputData={"by": "hand"})
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assert_cancelled(daemon, line["taskId"], began)
        self.assertEqual(task["outputData"], {"by": "hand"})

    def test_a_workflow_that_was_removed(self):
        """Everything about it is 404 from then on, and not worth asking again."""
        daemon, workflow, line = self.running()
        began = time.time()
        self.api.call("DELETE", f"/workflow/{workflow}/remove", archiveWorkflow="false")
        self.assert_cancelled(daemon, line["taskId"], began)
        self.assert_free(daemon)

    def test_a_server_without_an_index(self):
        """Its searches find nothing, and say so politely: each task is asked for by itself."""
        with proxy.Proxy() as between:
            between.rule("/tasks/search", between.answering(200, {"totalHits": 0, "results": []}))
            daemon, workflow, line = self.running(url=between.url)
            began = time.time()
            self.api.terminate(workflow)
            [noticed] = daemon.wait_witness("cancel", line["taskId"])
            self.assertLess(noticed["time"] - began, 2 * NOTICE_SECONDS)

    def test_many_tasks_cost_few_requests(self):
        """One search asks about all; only those that it finds ended are looked at."""
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(conductor.pool(name, "concurrency = 60;"), url=between.url)
            workflows = [self.api.start(name, {"sleep": 120}) for _ in range(60)]
            daemon.wait_witness(n=60)
            n_before, began = self.n_looks(between), time.time()
            time.sleep(2 * NOTICE_SECONDS)
            per_task = (self.n_looks(between) - n_before) / 60
            self.assertLess(per_task, 0.5 * (time.time() - began) / NOTICE_SECONDS)
            began = time.time()
            for workflow in workflows:
                self.api.terminate(workflow)
            ends = daemon.wait_witness("cancel", n=60)
            self.assertLess(ends[-1]["time"] - began, NOTICE_SECONDS + SLACK_SECONDS + 5)

    @staticmethod
    def n_looks(between):
        return len([request for request in between.seen("/tasks/") if "poll" not in request.path
                    and request.method == "GET"])

    def test_a_result_that_crosses_the_cancel(self):
        """The workflow ends while the handler answers: nobody minds."""
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"gate": daemon.path("gate")})
        daemon.wait_witness()
        self.api.terminate(workflow)
        daemon.open_gate()
        harness.eventually(lambda: daemon.witnessed(event="end"), "the handler's end")
        self.assert_free(daemon)
        self.assertEqual(self.api.workflow(workflow)["status"], "TERMINATED")

    def test_paused_is_not_cancelled(self):
        """A workflow that pauses keeps its running task, which completes."""
        daemon, workflow, line = self.running(sleep=8)
        self.api.call("PUT", f"/workflow/{workflow}/pause")
        harness.eventually(lambda: daemon.witnessed(line["taskId"], "end"), "its end", 20)
        self.api.wait_status(workflow, "COMPLETED")
        self.api.call("PUT", f"/workflow/{workflow}/resume")
        self.api.wait_workflow(workflow)
        self.assertEqual(daemon.witnessed(event="cancel"), [])
        self.assertEqual(daemon.process.poll(), None)
        daemon.signal(signal.SIGTERM)


if __name__ == "__main__":
    harness.main()
