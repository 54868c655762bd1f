# SPDX-License-Identifier: Apache-2.0
"""Oddities of the server that a daemon must not stumble over, as conductor-oss 3.32 has them."""

import json
import os
import time

import conductor
import harness
import proxy

HTML = b"<!doctype html><html><body><h1>HTTP Status 400 - Bad Request</h1></body></html>"


class Requests(conductor.Case):
    """What the daemon asks for, seen from between."""

    def setUp(self):
        super().setUp()
        self.between = self.enterContext(proxy.Proxy())

    def test_every_poll_is_one_that_the_server_takes(self):
        """No negative count (it means all), no time over 5 s (400), never without a worker id."""
        names = [self.api.define() for _ in range(3)]
        self.daemon(conductor.pool(names[0], 'concurrency = 7; poll_timeout = "5s";'), conductor.pool(names[1]),
                    conductor.pool(names[2], mode="per-task"), url=self.between.url)
        for workflow in [self.api.start(name, {"sleep": 0.05}) for name in names * 10]:
            self.api.wait_workflow(workflow)
        for request in self.between.seen("/tasks/poll"):
            self.assertIn(int(request.query["count"]), range(0, 8), request)
            self.assertIn(int(request.query["timeout"]), range(0, 5001), request)
            self.assertNotEqual(request.query["workerid"], "", request)

    def test_no_more_tasks_than_places(self):
        """What polls and update-v2 may bring together never exceeds what is free."""
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, "concurrency = 3;"), url=self.between.url)
        for workflow in [self.api.start(name, {"sleep": 0.1}) for _ in range(30)]:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual(task["pollCount"], 1, "none was handed back")
        self.assertEqual(len(daemon.witnessed()), 30)

    def test_an_early_empty_answer_is_no_reason_to_spin(self):
        """[] may come long before the time is over."""
        self.between.rule("/tasks/poll", self.between.answering(200, []))
        self.daemon(conductor.pool("empty", 'poll_timeout = "2s";'), url=self.between.url)
        harness.eventually(lambda: len(self.between.seen("/tasks/poll")) >= 2, "a second poll")
        n, began = len(self.between.seen("/tasks/poll")), time.monotonic()
        time.sleep(3)
        rate = (len(self.between.seen("/tasks/poll")) - n) / (time.monotonic() - began)
        # without a pause there would be hundreds
        self.assertLess(rate, 8)

    def test_more_tasks_than_asked_for(self):
        """They are not lost: what does not fit goes back."""
        name = self.api.define()
        workflows = [self.api.start(name) for _ in range(3)]
        self.between.rule("/tasks/poll", self.with_count_3, times=1)
        self.daemon(conductor.pool(name), url=self.between.url)
        for workflow in workflows:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual(task["retryCount"], 0)

    @staticmethod
    def with_count_3(request):
        request.target = request.target.replace("count=1", "count=3")
        return proxy.forward(request, conductor.URL.split("/")[2])

    def test_unknown_members_and_numbers_reach_the_handler_untouched(self):
        name = self.api.define()
        self.between.rule("/tasks/poll", self.with_odd_members)
        self.daemon(conductor.pool(name), url=self.between.url)
        [task] = self.api.run(name)["tasks"]
        self.assertEqual(task["outputData"]["echo"], {"n": 12345678901234567890123, "x": None})

    @staticmethod
    def with_odd_members(request):
        answer = proxy.forward(request, conductor.URL.split("/")[2])
        tasks = json.loads(answer.body)
        for task in tasks:
            task.update(later=[{"a": 1}], inputData={"input": {"value": {"n": 12345678901234567890123, "x": None}}})
        answer.body = json.dumps(tasks).encode()
        return answer

    def test_runtime_metadata_reaches_the_handler_and_nothing_else(self):
        """Secrets that the server resolves when it gives out a task."""
        name = self.api.define()
        self.between.rule("/tasks/poll", self.with_secret)
        self.between.rule("/tasks/update", self.between.answering(503))
        daemon = self.daemon(conductor.pool(name), url=self.between.url)
        workflow = self.api.start(name, {"members": ["runtimeMetadata"], "gate": daemon.path("gate")})
        task_id = daemon.wait_witness()[0]["taskId"]
        said = [daemon.ctl("task", "show", task_id, status=None).stdout, daemon.ctl("--json", "status").stdout]
        daemon.open_gate()
        harness.eventually(lambda: self.between.seen("/tasks/update"), "a result that is not accepted yet")
        for folder, _, names in os.walk(daemon.path("state")):
            for file in names:
                with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as stream:
                    said.append(stream.read())
        said.append(daemon.log.text())
        for text in said:
            self.assertNotIn("t0p-s3cret", text)
        self.between.clear()
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual(task["outputData"]["runtimeMetadata"], {"PASSWORD": len("t0p-s3cret")})

    @staticmethod
    def with_secret(request):
        answer = proxy.forward(request, conductor.URL.split("/")[2])
        tasks = json.loads(answer.body)
        for task in tasks:
            task["runtimeMetadata"] = {"PASSWORD": "t0p-s3cret"}
        answer.body = json.dumps(tasks).encode()
        return answer

    def test_the_task_without_what_may_be_absent(self):
        """Null members are left out by the server, so each of them may be missing."""
        name = self.api.define()
        self.between.rule("/tasks/poll", self.with_little)
        self.daemon(conductor.pool(name, mode="per-task"), url=self.between.url)
        workflow = self.api.start(name)
        task = self.api.wait_task(workflow, lambda task: task["status"] not in ("SCHEDULED", "IN_PROGRESS"), "its end")
        self.assertIn(task["status"], ("COMPLETED", "FAILED"))
        self.api.terminate(workflow) if task["status"] == "FAILED" else None

    @staticmethod
    def with_little(request):
        answer = proxy.forward(request, conductor.URL.split("/")[2])
        kept = ("taskId", "taskType", "taskDefName", "workflowInstanceId", "status", "inputData", "retryCount", "pollCount")
        answer.body = json.dumps([{key: task[key] for key in kept} for task in json.loads(answer.body)]).encode()
        return answer


class Faults(conductor.Case):
    """Failures on the way: each task ends once, with the handler's own result."""

    def setUp(self):
        super().setUp()
        self.between = self.enterContext(proxy.Proxy())
        self.name = self.api.define()

    def start_daemon(self, keys="", source='outbox = { backoff = "100ms"; backoff_max = "500ms"; };', **options):
        return self.daemon(conductor.pool(self.name, keys), url=self.between.url, source=source, **options)

    def assert_runs_once(self, daemon, order=None, **options):
        workflow = self.api.run(self.name, order, **options)
        [task] = workflow["tasks"]
        self.assertEqual((task["status"], task["retryCount"], task["pollCount"]), ("COMPLETED", 0, 1))
        [line] = daemon.witnessed(task["taskId"])
        self.assertEqual(task["outputData"]["nonce"], line["nonce"])
        return task

    @staticmethod
    def is_result(request):
        return request.method == "POST" and b'"COMPLETED"' in request.body

    def test_updates_that_fail_are_sent_again(self):
        kinds = {
            "503": self.between.answering(503, b"busy", ("Content-Type", "text/plain")),
            "html": self.between.answering(400, HTML, ("Content-Type", "text/html")),
            "retryable": self.between.answering(500, {"status": 500, "message": "db", "retryable": True}),
            "not retryable": self.between.answering(500, {"status": 500, "message": "?", "retryable": False}),
            "429": self.between.answering(429, b"", ("Retry-After", "1")),
            "reset before": self.between.cut_before,
            "reset after": self.between.cut_after,
        }
        daemon = self.start_daemon()
        for kind, act in kinds.items():
            with self.subTest(kind):
                rule = self.between.rule(self.is_result, act, times=2)
                self.assert_runs_once(daemon)
                harness.eventually(lambda: rule.times == 0, "both failures")

    def test_a_resend_after_doubt_is_followed_by_decide(self):
        """The server stores first and continues the workflow then: between the two it can fail."""
        def store_only(request):
            # Another, finished workflow's id: the result is stored, the task's own workflow not continued.
            body = json.dumps({**request.json(), "workflowInstanceId": finished}).encode()
            request.body, request.target = body, request.target.replace("/update-v2", "")
            proxy.forward(request, conductor.URL.split("/")[2])
            raise proxy.Cut

        daemon = self.start_daemon()
        finished = self.api.run(self.name)["workflowId"]
        self.between.rule(self.is_result, store_only, times=1)
        task = self.assert_runs_once(daemon, timeout=15)
        decided = harness.eventually(lambda: self.between.seen("/workflow/decide", "PUT"), "a call of decide")
        self.assertEqual([request.path.rsplit("/", 1)[1] for request in decided], [task["workflowInstanceId"]])

    def test_a_result_that_no_try_can_place_is_a_dead_letter(self):
        self.between.rule(self.is_result, self.between.answering(400, {"status": 400, "message": "never this", "retryable": False}))
        daemon = self.start_daemon()
        workflow = self.api.start(self.name)
        letters = harness.eventually(lambda: [m for m in daemon.outbox() if m["state"] == "dead"] or None,
                                     "the dead letter")
        self.assertIn("never this", json.dumps(letters))
        self.between.clear()
        self.assertEqual(self.api.tasks(workflow)[0]["status"], "IN_PROGRESS")
        daemon.ctl("outbox", "retry", letters[0]["name"])
        self.api.wait_workflow(workflow)

    def test_a_put_back_is_not_sent_twice_unread(self):
        """By the second try another worker has the task: it would be taken from it."""
        cut = self.between.rule(lambda request: request.method == "POST" and b'"IN_PROGRESS"' in request.body
                                and b"extendLease" not in request.body, self.between.cut_after, times=1)
        daemon = self.start_daemon(source='outbox = { backoff = "5s"; backoff_max = "5s"; };')
        workflow = self.api.start(self.name, {"gate": daemon.path("gate"), "result": {"status": "IN_PROGRESS"}})
        daemon.wait_witness()
        # nobody here polls it again before the other worker does
        daemon.ctl("pause", self.name)
        daemon.open_gate()
        harness.eventually(lambda: cut.times == 0, "the put-back whose answer got lost")
        [task] = harness.eventually(lambda: self.api.poll(self.name, worker="other"), "the other worker's poll")
        harness.eventually(lambda: not daemon.outbox(), "the end of the put-back", 30)
        now = self.api.task(task["taskId"])
        self.assertEqual((now["status"], now["workerId"], now["pollCount"]), ("IN_PROGRESS", "other", 2))
        self.api.update(now, "COMPLETED")
        self.api.wait_workflow(workflow)

    def test_polls_that_fail(self):
        kinds = {
            "503": self.between.answering(503, b"", ("Retry-After", "1")),
            "500": self.between.answering(500, {"status": 500, "message": "x", "retryable": False}),
            "html": self.between.answering(502, HTML, ("Content-Type", "text/html")),
            "no json": self.between.answering(200, b"<html>login</html>", ("Content-Type", "text/html")),
            "cut json": self.between.answering(200, b'[{"taskId": "x"', ("Content-Type", "application/json")),
            "reset": self.between.cut_before,
        }
        daemon = self.start_daemon()
        for kind, act in kinds.items():
            with self.subTest(kind):
                rule = self.between.rule("/tasks/poll", act, times=2)
                harness.eventually(lambda: rule.times == 0, "two failed polls", 30)
                self.assert_runs_once(daemon)

    def test_tasks_of_an_answer_that_got_lost_are_found(self):
        """The server gave them out; nobody read of it. Their response timeout is ten minutes."""
        self.between.rule("/tasks/poll", self.lose_tasks)
        daemon = self.start_daemon()
        workflow = self.api.start(self.name)
        self.api.wait_status(workflow, "IN_PROGRESS")
        harness.eventually(lambda: any(request.status == "cut" for request in self.between.seen("/tasks/poll")),
                           "a lost answer")
        self.between.clear()
        [task] = self.api.wait_workflow(workflow, timeout=45)["tasks"]
        self.assertEqual((task["status"], task["retryCount"], task["pollCount"]), ("COMPLETED", 0, 2))
        self.assertEqual(len(daemon.witnessed(task["taskId"])), 1)

    @staticmethod
    def lose_tasks(request):
        answer = proxy.forward(request, conductor.URL.split("/")[2])
        if len(answer.body) > 2:
            raise proxy.Cut
        return answer

    def test_the_next_task_of_a_lost_update_answer_is_found(self):
        self.api.define_workflow(self.name, self.name, self.name)
        daemon = self.start_daemon()
        self.between.rule("/tasks/update-v2", self.between.cut_after, times=1)
        tasks = self.api.wait_workflow(self.api.start(self.name), timeout=45)["tasks"]
        self.assertEqual([(task["status"], task["retryCount"]) for task in tasks], [("COMPLETED", 0)] * 2)
        self.assertEqual(len(daemon.witnessed()), 2)

    def test_without_update_v2_the_plain_update_does(self):
        self.api.define_workflow(self.name, *[self.name] * 3)
        self.between.rule("/tasks/update-v2", self.between.no_such_path)
        daemon = self.start_daemon()
        self.api.run(self.name)
        self.assertLess(len(self.between.seen("/tasks/update-v2")), 3, "it is not asked for ever")
        self.assertEqual(len(daemon.witnessed()), 3)

    def test_a_task_that_is_gone_when_its_result_comes(self):
        """404: there is nobody to tell, and nothing to keep."""
        daemon = self.start_daemon()
        workflow = self.api.start(self.name, {"gate": daemon.path("gate")})
        daemon.wait_witness()
        self.between.rule("/tasks/search", self.between.answering(503))
        self.api.call("DELETE", f"/workflow/{workflow}/remove", archiveWorkflow="false")
        daemon.open_gate()
        harness.eventually(lambda: daemon.witnessed(event="end"), "the handler's end")
        self.between.clear()
        self.assert_runs_once(daemon)

    def test_connections_that_close_after_100_requests(self):
        daemon = self.daemon(conductor.pool(self.name, "concurrency = 4;"))
        for workflow in [self.api.start(self.name, {"value": n}) for n in range(150)]:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["retryCount"], task["pollCount"]), (0, 1))
        self.assertEqual(len(daemon.witnessed()), 150)

    def test_a_limit_of_executions_at_a_time(self):
        """Beyond concurrentExecLimit the server postpones what it took from its queue, and answers []."""
        name = self.api.define(concurrentExecLimit=2)
        daemon = self.daemon(conductor.pool(name, "concurrency = 6;"))
        for workflow in [self.api.start(name, {"sleep": 0.3}) for _ in range(8)]:
            self.api.wait_workflow(workflow, timeout=100)
        running = most = 0
        for line in sorted(daemon.witnessed(event=None), key=lambda line: line["time"]):
            running += {"begin": 1, "end": -1}[line["event"]]
            most = max(most, running)
        self.assertLessEqual(most, 2)

    def test_a_pools_own_limit_holds(self):
        daemon = self.daemon(conductor.pool(self.name, "workers = 2; concurrency = 2;"))
        for workflow in [self.api.start(self.name, {"sleep": 0.3}) for _ in range(12)]:
            self.api.wait_workflow(workflow)
        running = most = 0
        for line in sorted(daemon.witnessed(event=None), key=lambda line: line["time"]):
            running += {"begin": 1, "end": -1}[line["event"]]
            most = max(most, running)
        self.assertIn(most, (3, 4))


if __name__ == "__main__":
    harness.main()
