# SPDX-License-Identifier: Apache-2.0
"""Large inputs and outputs, and bodies that the server cannot take."""

import json
import sys

import conductor
import harness
import proxy

KIB = 1024
INLINE_MAX = 3072 * KIB  # above, the server puts it elsewhere
REFUSED_ABOVE = 10240 * KIB  # above, it fails the task


class Payload(conductor.Case):
    def run_size(self, size, status="COMPLETED", url=conductor.URL, **members):
        name = self.api.define(retryCount=0)
        self.daemon(conductor.pool(name, 'limits = { output = "16M"; };'), url=url)
        return self.api.run(name, {"size": size, **members}, status)["tasks"][0]

    def test_an_output_below_the_inline_limit(self):
        task = self.run_size(INLINE_MAX - 2000)
        self.assertEqual(task["outputData"]["data"], "y" * (INLINE_MAX - 2000))

    def test_an_output_that_the_server_puts_elsewhere(self):
        task = self.run_size(9 * KIB * KIB)
        self.assertEqual((task["status"], task["outputData"]), ("COMPLETED", {}))
        self.assertIn("externalOutputPayloadStoragePath", task)

    def test_an_output_above_the_limit_fails_the_task_and_says_so(self):
        task = self.run_size(REFUSED_ABOVE + KIB, "FAILED")
        self.assertIn(task["status"], ("FAILED", "FAILED_WITH_TERMINAL_ERROR"))
        self.assertRegex(task["reasonForIncompletion"], "(?i)output|payload")
        self.assertRegex(task["reasonForIncompletion"], r"\d")

    def test_an_output_above_the_pools_own_limit(self):
        name = self.api.define(retryCount=0)
        self.daemon(conductor.pool(name, 'limits = { output = "64K"; };'))
        [task] = self.api.run(name, {"size": 100 * KIB}, "FAILED")["tasks"]
        self.assertIn("64", task["reasonForIncompletion"])

    def test_an_output_nested_too_deep(self):
        """What the server can store but not show, or not even read, fails the task instead."""
        for depth in (890, 950, 2000):
            with self.subTest(depth):
                name = self.api.define(retryCount=0)
                limit, hard = sys.getrecursionlimit(), 20000
                sys.setrecursionlimit(hard)
                daemon = self.daemon(self.raw_pool(name))
                sys.setrecursionlimit(limit)
                workflow = self.api.start(name, {"depth": depth})
                harness.eventually(lambda: self.api.call("GET", f"/workflow/{workflow}/status")["status"] != "RUNNING", "its end")
                status, _, _ = self.api.exchange("GET", f"/workflow/{workflow}?includeTasks=true")
                self.assertEqual(status, 200, "the workflow can still be shown")
                self.assertEqual(daemon.process.poll(), None)

    @staticmethod
    def raw_pool(name):
        program = ('import json,sys\\n'
                   'n = json.load(sys.stdin)[\\"inputData\\"][\\"input\\"][\\"depth\\"] - 1\\n'
                   'print(\'{\\"status\\":\\"COMPLETED\\",\\"output\\":\' + \'{\\"a\\":\' * n + \'{}\' + \'}\' * n + \'}\')')
        return (f'{name}: {{ source = "prod"; handler = {{ command = ["{sys.executable}", "-c", "{program}"]; }}; '
                'poll_timeout = "500ms"; };\n')

    def test_an_input_that_lies_elsewhere_without_an_address(self):
        """This server has no external storage to fetch from: the task fails and says why."""
        name = self.api.define(retryCount=0)
        daemon = self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"value": "x" * 4 * KIB * KIB})
        task = self.api.wait_task(workflow, lambda task: task["status"] not in ("SCHEDULED", "IN_PROGRESS"), "its end")
        self.assertIn(task["status"], ("FAILED", "FAILED_WITH_TERMINAL_ERROR"))
        self.assertRegex(task["reasonForIncompletion"], "(?i)storage|external")
        self.assertEqual(daemon.witnessed(), [], "no handler sees an empty input instead")

    def test_an_input_that_lies_elsewhere_is_fetched(self):
        """The proxy plays the storage that this server has not."""
        name = self.api.define()
        body = {"input": {"value": "from the storage"}}
        with proxy.Proxy() as between:
            between.rule("/tasks/externalstoragelocation",
                         lambda _: proxy.Answer(200, {"uri": between.url + "/stored", "path": "there"},
                                                [("Content-Type", "application/json")]))
            between.rule("/stored", between.answering(200, body))
            between.rule("/tasks/poll", self.with_external_input)
            self.daemon(conductor.pool(name), url=between.url)
            workflow = self.api.run(name, {"value": "inline"})
            self.assertEqual(workflow["tasks"][0]["outputData"]["echo"], "from the storage")
            [asked] = between.seen("/tasks/external")
            self.assertEqual((asked.query["operation"], asked.query["payloadType"], asked.query["path"]),
                             ("READ", "TASK_INPUT", "the/path.json"))

    @staticmethod
    def with_external_input(request):
        answer = proxy.forward(request, conductor.URL.split("/")[2])
        tasks = json.loads(answer.body)
        for task in tasks:
            task.update(inputData={}, externalInputPayloadStoragePath="the/path.json")
        answer.body = json.dumps(tasks).encode()
        return answer

    def test_an_output_goes_to_storage_where_there_is_one(self):
        stored, updates = [], []

        def note_path(request):
            """This server would look for it in its own storage."""
            body = request.json()
            updates.append(dict(body))
            body.pop("externalOutputPayloadStoragePath")
            request.body = json.dumps(body).encode()

        with proxy.Proxy() as between:
            between.rule("/tasks/externalstoragelocation",
                         lambda _: proxy.Answer(200, {"uri": between.url + "/stored", "path": "out.json"},
                                                [("Content-Type", "application/json")]))
            between.rule("/stored", lambda request: stored.append(request) or proxy.Answer(200))
            between.rule(lambda request: b"externalOutput" in request.body, note_path)
            self.run_size(REFUSED_ABOVE + KIB, url=between.url)
            [update] = updates
            self.assertEqual(update["externalOutputPayloadStoragePath"], "out.json")
            self.assertFalse(update.get("outputData"))
            [request] = stored
            self.assertEqual((request.method, request.headers["Content-Type"]), ("PUT", "application/json"))
            self.assertEqual(len(request.json()["data"]), REFUSED_ABOVE + KIB)

    def test_a_large_input_arrives_whole(self):
        name = self.api.define()
        self.daemon(conductor.pool(name, 'limits = { output = "8M"; };'))
        value = "ünï" * (KIB * KIB // 2)
        [task] = self.api.run(name, {"value": value})["tasks"]
        self.assertEqual(task["outputData"]["echo"], value)

    def test_a_task_larger_than_a_task_may_be_hurts_no_other(self):
        """Ten inputs of 2 MB in one answer to a poll."""
        name = self.api.define()
        self.daemon(conductor.pool(name, 'concurrency = 10; limits = { output = "8M"; };'))
        workflows = [self.api.start(name, {"value": "z" * 2 * KIB * KIB}) for _ in range(10)]
        for workflow in workflows:
            self.api.wait_workflow(workflow)


if __name__ == "__main__":
    harness.main()
