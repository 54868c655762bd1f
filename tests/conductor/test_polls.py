# SPDX-License-Identifier: Apache-2.0
"""What the server's queues do to those who poll them."""

import time

import conductor
import harness

# It holds a poll for several tasks until it is full or over; one for a single task it answers within this.
PICKUP_SECONDS = 2


class Polls(conductor.Case):
    def test_a_task_is_not_held_back_until_a_batch_is_full(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, 'concurrency = 10; poll_timeout = "5s";'))
        harness.eventually(lambda: daemon.pool(name)["server"]["polls"] > 0, "a poll that waits")
        for number in range(2):
            began = time.time()
            self.api.wait_workflow(self.api.start(name))
            self.assertLess(daemon.wait_witness(n=number + 1)[number]["time"] - began, PICKUP_SECONDS)

    def test_a_task_in_hand_that_a_requeue_gives_out_again(self):
        """It is being done, and done once."""
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name, "concurrency = 2;"))
        workflow = self.api.start(name, {"gate": daemon.path("gate")})
        daemon.wait_witness()
        self.api.call("POST", f"/tasks/queue/requeue/{name}")
        self.api.wait_task(workflow, lambda task: task["pollCount"] == 2, "it is given out again")
        # what came after it has been taken, so that has been, too
        self.api.run(name)
        daemon.open_gate()
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual((task["status"], task["retryCount"]), ("COMPLETED", 0))
        self.assertEqual(len(daemon.witnessed(task["taskId"])), 1)


if __name__ == "__main__":
    harness.main()
