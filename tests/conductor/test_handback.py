# SPDX-License-Identifier: Apache-2.0
"""What a daemon will not finish goes back at once: same task, no retry used, soon in other hands."""

import os
import time

import conductor
import harness
import proxy

# The next worker gets it within this of the hand-back, which asks for a second.
SOON_SECONDS = 2


class HandBack(conductor.Case):
    def test_a_drain_hands_back_what_it_cannot_finish(self):
        name = self.api.define()
        first = self.daemon(conductor.pool(name, 'concurrency = 5; stop_timeout = "500ms";'), top='drain_timeout = "1s";')
        second = self.daemon(conductor.pool(name, 'workers = 0; concurrency = 5;'))
        workflows = [self.api.start(name, {"gate": first.path("gate")}) for _ in range(5)]
        started = {line["taskId"] for line in first.wait_witness(n=5)}
        second.ctl("scale", name, 1)
        began = time.time()
        self.assertEqual(first.stop(), 0)
        stopped = time.time()
        first.open_gate()
        for workflow in workflows:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertIn(task["taskId"], started)
            self.assertEqual((task["status"], task["retryCount"], task["pollCount"]), ("COMPLETED", 0, 2))
        self.assertLess(stopped - began, 4)
        last = max(line["time"] for line in second.witnessed())
        self.assertLess(last - stopped, SOON_SECONDS + 1)

    def test_a_task_that_can_finish_is_not_handed_back(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"sleep": 2})
        daemon.wait_witness()
        self.assertEqual(daemon.stop(), 0)
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual(task["pollCount"], 1)

    def test_scaling_down_strands_nothing(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, "workers = 4;"))
        workflows = [self.api.start(name, {"sleep": 2}) for _ in range(4)]
        daemon.wait_witness(n=4)
        daemon.ctl("scale", name, 1)
        waiting = self.api.start(name)
        for workflow in [*workflows, waiting]:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["status"], task["retryCount"]), ("COMPLETED", 0))
        daemon.ctl("scale", name, 0)

    def test_a_removed_pool_finishes_what_it_has(self):
        """With its lease kept; nothing more is fetched."""
        name, other = self.api.define(responseTimeoutSeconds=3), self.api.define()
        daemon = self.daemon(conductor.pool(name), conductor.pool(other))
        workflow = self.api.start(name, {"sleep": 6})
        daemon.wait_witness()
        daemon.write_config(conductor.configuration(conductor.pool(other)))
        daemon.ctl("reload")
        waiting = self.api.start(name)
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))
        self.assertEqual(self.api.tasks(waiting)[0]["status"], "SCHEDULED")
        self.api.terminate(waiting)

    def test_output_that_came_with_the_task_survives(self):
        """A hand-back without output would wipe what the put-back before it had stored."""
        name = self.api.define()
        first = self.daemon(conductor.pool(name, 'stop_timeout = "500ms";'), top='drain_timeout = "0s";')
        workflow = self.api.start(name, {"first": {"status": "IN_PROGRESS", "callbackAfterSeconds": 1,
                                                   "output": {"step": 1}}, "sleep": 1})
        first.wait_witness(n=2)
        self.assertEqual(first.stop(), 0)
        task = self.api.wait_status(workflow, "SCHEDULED")
        self.assertEqual(task["outputData"], {"step": 1})
        self.api.terminate(workflow)

    def test_the_poll_timeout_trap(self):
        """Such a task is timed out in the request that hands it back, unless the delay outlasts it."""
        name = self.api.define(pollTimeoutSeconds=2)
        first = self.daemon(conductor.pool(name, 'stop_timeout = "500ms";'), top='drain_timeout = "0s";')
        workflow = self.api.start(name, {"first": {}, "gate": first.path("gate")})
        began = first.wait_witness()[0]["time"]
        while time.time() < began + 3.5:
            time.sleep(0.1)
        self.assertEqual(first.stop(), 0)
        task = self.api.tasks(workflow)[0]
        self.assertEqual((task["status"], task["retryCount"]), ("SCHEDULED", 0))
        first.remove()
        second = self.daemon(conductor.pool(name))
        second.wait_witness(timeout=30)
        self.assertEqual(self.api.tasks(workflow)[0]["retryCount"], 0)
        self.api.terminate(workflow)

    def test_a_daemon_that_stops_waits_for_its_poll(self):
        """A task that the open poll still brings goes back at once; a poll that is dropped would lose it."""
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(conductor.pool(name, 'poll_timeout = "4s";'), url=between.url, top='drain_timeout = "0s";')
            harness.eventually(lambda: [request for request in between.seen("/tasks/poll") if request.status is None],
                               "a poll that waits")
            daemon.process.terminate()
            daemon.notify.wait_for("STOPPING=1")
            workflow = self.api.start(name)
            self.assertEqual(daemon.wait(), 0)
            task = self.api.tasks(workflow)[0]
            self.assertEqual((task["status"], task["retryCount"]), ("SCHEDULED", 0))
            polled = [request.status for request in between.seen("/tasks/poll")]
            self.assertEqual(set(polled), {200})
            [again] = self.api.poll(name, timeout=3000)
            self.assertEqual(again["taskId"], task["taskId"])
            self.api.update(again, "COMPLETED")

    def test_nothing_is_fetched_to_be_handed_back(self):
        """A busy pool leaves waiting tasks at the server."""
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name))
        workflows = [self.api.start(name, {"gate": daemon.path("gate")}) for _ in range(4)]
        daemon.wait_witness()
        time.sleep(2)
        statuses = sorted(self.api.tasks(workflow)[0]["status"] for workflow in workflows)
        self.assertEqual(statuses, ["IN_PROGRESS"] + ["SCHEDULED"] * 3)
        daemon.open_gate()
        for workflow in workflows:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual(task["pollCount"], 1)

    def test_a_program_that_vanished_fails_no_task(self):
        name = self.api.define()
        daemon = self.daemon(started=False)
        script = daemon.script("worker", "#!/bin/sh\nexec " + conductor.HANDLER + " \"$@\"\n")
        text = conductor.pool(name).replace(conductor.HANDLER, script)
        daemon.write_config(conductor.configuration(text))
        daemon.start()
        self.api.run(name)  # the shell has read it
        os.unlink(script)
        [worker] = daemon.workers(name)
        os.kill(worker["pid"], 9)
        harness.eventually(lambda: daemon.pool(name)["state"] in ("failed", "degraded"), "the pool is failed")
        workflow = self.api.start(name)
        time.sleep(2)
        task = self.api.tasks(workflow)[0]
        self.assertEqual((task["status"], task["retryCount"]), ("SCHEDULED", 0))


if __name__ == "__main__":
    harness.main()
