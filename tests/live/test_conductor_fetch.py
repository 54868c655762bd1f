#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How tasks come from a Conductor server: when it is asked, and for how many."""

import unittest

import harness
from harness import Daemon, eventually
from stub import Stub

# The deepest input that a handler is given: its task is one level more, and the answer another.
DEEP = 898

ECHO = """#!/usr/bin/env python3
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("type") == "task":
        task = message["task"]
        time.sleep(task["inputData"].get("sleep", 0))
        print(json.dumps({"type": "result", "taskId": task["taskId"], "status": "COMPLETED",
                          "output": task["inputData"]}), flush=True)
"""


def source(stub, **keys):
    settings = "".join(f" {key} = {value};" for key, value in keys.items())
    return f'sources: {{ prod: {{ type = "conductor"; url = "{stub.url}";{settings} }}; }};\n'


def pool(name, **keys):
    settings = "".join(f" {key} = {value};" for key, value in keys.items())
    return (f'{name}: {{ source = "prod"; handler = {{ mode = "persistent"; command = "@DIR@/echo"; }};'
            f"{settings} }};\n")


class Fetch(unittest.TestCase):
    def daemon(self, config, **options):
        daemon = Daemon(config, **options)
        self.addCleanup(daemon.remove)
        daemon.script("echo", ECHO)
        daemon.start()
        self.addCleanup(daemon.stop)
        return daemon

    def stub(self, *options):
        stub = Stub(*options)
        self.addCleanup(stub.stop)
        return stub

    def queue(self, stub, name):
        return next((queue for queue in stub.queues() if queue["type"] == name), None)

    def test_never_more_in_hand_than_places(self):
        stub = self.stub()
        stub.create("echo", 200, input={"sleep": 0.01})
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=2, concurrency=3) + "};")
        stub.wait("settled")
        self.assertLessEqual(self.queue(stub, "echo")["inProgressMax"], 6)
        self.assertEqual(stub.counts()["handedBack"], 0)

    def test_servers_that_hold_a_poll_until_it_is_full(self):
        stub = self.stub("--hold")
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1, concurrency=8) + "};")
        stub.wait("polls")
        for _ in range(5):
            stub.create("echo", 1)
            stub.wait("settled", timeout=1)
        stub.create("echo", 100)
        stub.wait("settled", timeout=4)
        self.assertLess(stub.stats()["handoutUsec"]["p50"], 500_000)

    def test_busy_pools_get_full_batches(self):
        stub = self.stub("--no-update-v2")
        stub.create("echo", 400)
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=2, concurrency=20) + "};")
        stub.wait("settled")
        self.assertLess(self.queue(stub, "echo")["polls"], 200)

    def test_updates_bring_the_next_task(self):
        stub = self.stub()
        stub.create("echo", 400)
        daemon = self.daemon(source(stub) + "pools: {" + pool("echo", workers=1, concurrency=4) + "};")
        stub.wait("settled")
        self.assertLess(self.queue(stub, "echo")["polls"], 40)
        self.assertEqual(daemon.pool("echo")["server"]["polled"], 400)
        self.assertEqual(stub.wrong(), [])

    def test_types_of_one_pool_take_turns(self):
        stub = self.stub()
        stub.create("a", 60, input={"sleep": 0.005})
        self.daemon(source(stub) + "pools: {" + pool("both", task_type='["a", "b"]', workers=1) + "};")
        stub.create("b", 1)
        stub.wait("completed", 20)
        self.assertEqual(stub.counts(type="b")["COMPLETED"], 1)
        stub.wait("settled")

    def test_a_server_that_gives_more_than_asked(self):
        stub = self.stub()
        stub.fault("more", "/api/tasks/poll/*", extra=3)
        stub.create("echo", 10, input={"sleep": 0.05})
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1) + "};")
        stub.wait("settled")
        self.assertEqual(stub.wrong(), [])
        self.assertEqual(stub.counts()["handedBack"], 3)
        self.assertEqual(stub.counts()["retries"], 0)

    def test_early_empty_answers_are_followed_by_a_pause(self):
        stub = self.stub()
        stub.fault("empty", "/api/tasks/poll/*", durationMsec=1500)
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1) + "};")
        stub.create("echo", 1)
        stub.wait("settled")
        self.assertLess(self.queue(stub, "echo")["polls"], 40)

    def test_domain(self):
        stub = self.stub()
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1, domain='"eu"') + "};")
        ids = stub.create("echo", 1, domain="eu")
        stub.create("echo", 1)
        stub.wait("completed", 1)
        self.assertEqual(stub.task(ids[0])["status"], "COMPLETED")
        self.assertEqual(stub.counts()["SCHEDULED"], 1)

    def test_a_domain_is_kept_alive_at_capacity(self):
        stub = self.stub()
        stub.create("echo", 1, domain="eu", input={"sleep": 11})
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1, domain='"eu"') + "};")
        stub.wait("settled", timeout=25)
        queue = next(queue for queue in stub.queues() if queue.get("domain") == "eu")
        self.assertLess(queue["pollGapMaxMsec"], 9500)

    def test_an_answer_deeper_than_its_tasks(self):
        stub = self.stub()
        deep = {}
        for _ in range(DEEP):
            deep = {"a": deep}
        stub.create("echo", 1, input=deep)
        stub.create("echo", 1)
        self.daemon(source(stub) + "pools: {" + pool("echo", workers=1) + "};")
        stub.wait("settled")
        self.assertEqual(stub.counts()["COMPLETED"], 2)

    def test_refused_polls_show_and_slow_down(self):
        stub = self.stub()
        stub.fault("status", "/api/tasks/poll/*", status=400, retryable=False, durationMsec=60_000)
        daemon = self.daemon(source(stub) + "pools: {" + pool("echo", workers=1) + "};")
        problem = eventually(lambda: daemon.pool("echo")["server"].get("problem"), "the pool tells why")
        self.assertIn("refuses to give out tasks of type echo", problem)
        stub.clear_faults()
        stub.create("echo", 1)
        stub.wait("settled")
        eventually(lambda: "problem" not in daemon.pool("echo")["server"], "the problem is over")

    def test_paused_pools_fetch_nothing(self):
        stub = self.stub()
        daemon = self.daemon(source(stub) + "pools: {" + pool("echo", workers=1, poll_timeout='"200ms"') + "};")
        stub.wait("polls")
        daemon.ctl("pause", "echo")
        eventually(lambda: daemon.pool("echo")["server"]["polls"] == 0, "the open poll is over")
        stub.create("echo", 3)
        self.assertEqual(stub.counts()["SCHEDULED"], 3)
        daemon.ctl("resume", "echo")
        stub.wait("settled")
        self.assertEqual(stub.counts()["handedBack"], 0)


if __name__ == "__main__":
    harness.main()
