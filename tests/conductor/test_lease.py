# SPDX-License-Identifier: Apache-2.0
"""The daemon keeps the server waiting for a task as long as its worker lives, and no longer."""

import os
import signal
import time

import conductor
import harness
import proxy


class Lease(conductor.Case):
    def test_a_task_longer_than_its_response_timeout_completes_once(self):
        names = {mode: self.api.define(responseTimeoutSeconds=3) for mode in ("persistent", "per-task")}
        daemon = self.daemon(*(conductor.pool(name, mode=mode) for mode, name in names.items()))
        for workflow in [self.api.start(name, {"sleep": 8}) for name in names.values()]:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["status"], task["retryCount"], task["pollCount"]), ("COMPLETED", 0, 1))
            self.assertEqual(len(daemon.witnessed(task["taskId"])), 1)

    def test_the_shortest_response_timeout(self):
        name = self.api.define(responseTimeoutSeconds=1)
        daemon = self.daemon(conductor.pool(name))
        [task] = self.api.run(name, {"sleep": 4})["tasks"]
        self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))
        self.assertEqual(len(daemon.witnessed()), 1)

    def test_a_drain_keeps_its_leases(self):
        name = self.api.define(responseTimeoutSeconds=3)
        daemon = self.daemon(conductor.pool(name), top='drain_timeout = "30s";')
        workflow = self.api.start(name, {"sleep": 7})
        daemon.wait_witness()
        self.assertEqual(daemon.stop(), 0)
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))

    def test_a_hung_worker_does_not_keep_its_task(self):
        """Its heartbeat is missed, it is killed, and the task's next try gets another worker."""
        name = self.api.define(responseTimeoutSeconds=3)
        daemon = self.daemon(conductor.pool(name, 'watchdog = "2s"; restart = { backoff = "10ms"; };'))
        workflow = self.api.start(name, {"first": {}, "sleep": 1})
        os.kill(daemon.wait_witness()[0]["pid"], signal.SIGSTOP)
        tasks = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual([task["retryCount"] for task in tasks], [0, 1])
        self.assertEqual(tasks[1]["status"], "COMPLETED")

    def test_a_stopped_daemon_loses_its_task_to_another(self):
        """Its result comes too late, is taken without effect, and does no harm."""
        name = self.api.define(responseTimeoutSeconds=3)
        first = self.daemon(conductor.pool(name))
        workflow = self.api.start(name, {"gate": first.path("gate")})
        pid = first.wait_witness()[0]["pid"]
        os.kill(first.process.pid, signal.SIGSTOP)
        try:
            second = self.daemon(conductor.pool(name))
            second.wait_witness(timeout=30)
            first.open_gate()
            harness.eventually(lambda: first.witnessed(event="end"), "the first one's end")
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
        tasks = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual([task["status"] for task in tasks], ["TIMED_OUT", "COMPLETED"])
        self.assertEqual(tasks[1]["outputData"]["nonce"], second.witnessed()[0]["nonce"])
        self.assertTrue(harness.is_alive(pid))

    def test_a_server_that_is_away_costs_no_lease_that_can_be_kept(self):
        """Each extension that fails is tried again before the time is over."""
        name = self.api.define(responseTimeoutSeconds=5)
        with proxy.Proxy() as between:
            extended = between.rule(lambda request: b"extendLease" in request.body, between.answering(503), times=1)
            self.daemon(conductor.pool(name), url=between.url)
            [task] = self.api.run(name, {"sleep": 9})["tasks"]
            self.assertEqual(extended.times, 0, "an extension was tried")
            self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))

    def test_extensions_are_neither_early_nor_many(self):
        name = self.api.define(responseTimeoutSeconds=4)
        with proxy.Proxy() as between:
            self.daemon(conductor.pool(name), url=between.url)
            began = time.monotonic()
            [task] = self.api.run(name, {"sleep": 8})["tasks"]
            took = time.monotonic() - began
            extensions = [body for body in between.updates(task["taskId"]) if body.get("extendLease")]
            self.assertGreaterEqual(len(extensions), 2)
            self.assertLessEqual(len(extensions), took / 1.0 + 1)


if __name__ == "__main__":
    harness.main()
