#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Conductor server that is away for two minutes, and a daemon that dies meanwhile: nothing is lost."""

import harness
from conductorcase import ConductorCase
from harness import eventually

AWAY_SECONDS = 120
# It is asked every 30 s at the latest whether it is back.
BACK_SECONDS = AWAY_SECONDS + 60
N_TASKS = 400
N_PLACES = 8


class Away(ConductorCase):
    def test_two_minutes(self):
        stub = self.stub()
        daemon = self.daemon(stub)
        stub.create("work", N_TASKS - N_PLACES, input={"sleep": 0.005, "output": {"n": "@n@"}}, expect={"n": "@n@"})
        stub.wait("completed", N_TASKS - N_PLACES)
        stub.create("work", N_PLACES, input={"gate": "gate", "output": {"n": "@n@"}}, expect={"n": "@n@"})
        self.wait_runs(daemon, N_TASKS)
        stub.away(AWAY_SECONDS * 1000)
        self.open_gate(daemon)
        eventually(lambda: len(self.outbox(daemon, "waiting")) == N_PLACES, "the results wait")
        self.restart(daemon)
        daemon.log.wait_for("is away")
        self.assertEqual(N_PLACES, len(self.outbox(daemon, "waiting")))
        daemon.log.wait_for("answers again", BACK_SECONDS)
        stub.create("work", N_TASKS, input={"output": {"n": "@n@"}}, expect={"n": "@n@"})
        stub.wait("settled")
        self.wait_empty(daemon)
        self.assertEqual([], stub.wrong())
        self.assertEqual((0, 0), tuple(stub.counts()[name] for name in ("retries", "polledAgain")))
        self.assertEqual(2 * N_TASKS, len(self.runs(daemon)))


if __name__ == "__main__":
    harness.main()
