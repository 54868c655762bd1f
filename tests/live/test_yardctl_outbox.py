#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What yardctl shows and does about servers and their outboxes, against a scripted daemon."""

import json

import harness
from scripted import Error, ScriptedCase

MESSAGE = {
    "name": "prod/17", "source": "prod", "state": "dead", "kind": "result", "taskId": "t-1", "taskType": "resize",
    "workflowId": "w-1", "time": 1_700_000_000_000, "tries": 3, "sizeBytes": 812, "reason": "no such task",
}
SERVER = {
    "name": "prod", "type": "conductor", "state": "failing", "problem": {"time": 0, "message": "cannot connect"},
    "scheduled": 0, "delayed": 0, "inProgress": 2, "finished": 0, "submitted": 0, "settled": 7, "sizeBytes": 4096,
    "lastFetchAgeUsec": 90_000_000, "lastCommitUsec": 0, "stallUsec": 0,
    "server": {"cause": "connect", "failures": 4, "retryInUsec": 3_000_000, "sweeps": False,
               "sweepProblem": "worker_id is configured", "cancelDelayUsec": 5_000_000,
               "resent": 5, "outbox": {"held": 2, "waiting": 31, "dead": 1, "sizeBytes": 900, "diskBytes": 4096,
                                       "oldestAgeUsec": 200_000_000, "full": True}},
}
POOL = {
    "name": "resize", "source": "prod", "taskTypes": ["resize"], "mode": "persistent", "state": "running", "paused": False,
    "fetching": True, "wantedWorkers": 1, "runningWorkers": 1, "busyWorkers": 1, "concurrency": 4, "tasksInHand": 2,
    "processed": 9, "completed": 8, "failed": 1, "retried": 0, "canceled": 0, "handedBack": 3, "crashes": 0,
    "errorRate": 0.1, "delayed": 0, "oldestAgeUsec": 0, "runP50Usec": 1000, "runP99Usec": 2000, "unenforced": [],
    "server": {"domain": "eu", "workerId": "host:resize:0123456789abcdef", "polls": 1, "polled": 11, "inHand": 2,
               "completed": 7, "failed": 1, "putBack": 0, "handedBack": 3, "canceled": 0, "pollLatencyUsec": 2000,
               "problem": "HTTP 400"},
}


class Outbox(ScriptedCase):
    def test_list(self):
        self.serve(ListOutbox={"messages": [MESSAGE, {**MESSAGE, "name": "prod/18", "state": "waiting", "reason": None}]})
        out = self.ctl("outbox", "list", "--source", "prod", "--state", "dead", "--limit", "5").stdout
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["MESSAGE", "prod/17", "prod/18"])
        self.assertEqual(self.sent(), ("ListOutbox", {"source": "prod", "state": "dead", "limit": 5}))
        self.ctl("outbox", "list", "--limit", "many", status=2)

    def test_show(self):
        self.serve(GetOutboxMessage={"message": {**MESSAGE, "body": {"status": "COMPLETED"}}})
        out = self.ctl("outbox", "show", "prod/17").stdout
        for text in ("message prod/17", "no such task", "resize", "w-1", '{"status": "COMPLETED"}'):
            self.assertIn(text, out)
        self.serve(GetOutboxMessage=Error("NoSuchMessage", name="prod/99"))
        self.assertIn("there is no message prod/99", self.ctl("outbox", "show", "prod/99", status=4).stderr)

    def test_retry_and_drop(self):
        self.serve(RetryOutbox={"count": 1}, DropOutbox={"count": 2})
        self.assertIn("1 message sent again", self.ctl("outbox", "retry", "prod/17").stdout)
        self.assertEqual(self.sent(), ("RetryOutbox", {"names": ["prod/17"]}))
        self.assertIn("2 messages dropped", self.ctl("outbox", "drop", "--all", "--source", "prod", "--yes").stdout)
        self.assertEqual(self.sent(), ("DropOutbox", {"source": "prod"}))

    def test_nothing_is_dropped_unasked(self):
        self.serve(DropOutbox={"count": 2})
        self.assertIn("nothing was done (add --yes)", self.ctl("outbox", "drop", "--all", status=1).stderr)
        self.ctl("outbox", "drop", "--yes", status=2)
        self.ctl("outbox", "retry", "prod/17", "--all", status=2)
        self.ctl("outbox", "retry", "prod/17", "--source", "prod", status=2)
        self.assertEqual(self.server.calls, [])


class Servers(ScriptedCase):
    def test_check(self):
        findings = [{"level": "ok", "subject": "server", "message": "answers in 2ms"},
                    {"level": "warning", "subject": "resize", "pool": "resize", "message": "not defined",
                     "remedy": "register it"}]
        self.serve(CheckSource={"findings": findings})
        out = self.ctl("source", "check", "prod").stdout
        for text in ("ok      server: answers", "warning resize (pool resize): not defined", "register it"):
            self.assertIn(text, out)
        self.serve(CheckSource={"findings": [{"level": "error", "subject": "auth", "message": "refused"}]})
        self.ctl("source", "check", "prod", status=1)
        self.assertEqual(json.loads(self.ctl("--json", "source", "check", "prod", status=1).stdout)["findings"][0]["subject"],
                         "auth")

    def test_list_sources(self):
        self.serve(ListSources={"sources": [SERVER]})
        out = self.ctl("list", "sources").stdout
        self.assertEqual(out.split()[0], "SERVER")
        for text in ("failing", "31", "3m 20s", "cannot connect"):
            self.assertIn(text, out)
        queue = {**SERVER, "name": "local", "type": "queue", "state": "ok"}
        del queue["server"]
        self.serve(ListSources={"sources": [queue, SERVER]})
        lines = self.ctl("list", "sources").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines if line], ["SOURCE", "local", "SERVER", "prod"])

    def test_status(self):
        self.serve(ListPools={"pools": [POOL]}, ListWorkers={"workers": []})
        out = self.ctl("status", "resize").stdout
        for text in ("Waiting: not known yet", "Domain: eu", "host:resize:0123456789abcdef", "1 under way, 11 tasks came",
                     "7 completed, 1 failed, 0 put back, 3 handed back", "HTTP 400"):
            self.assertIn(text, out)

    def test_wide(self):
        self.serve(ListPools={"pools": [POOL]})
        for wide in (["-o", "wide"], ["--output=wide"]):
            out = self.ctl("list", "pools", *wide).stdout
            for text in ("POLLED", "11", "eu", "HTTP 400"):
                self.assertIn(text, out)
        self.assertNotIn("POLLED", self.ctl("list", "pools").stdout)
        self.assertIn("only wide", self.ctl("list", "pools", "-o", "yaml", status=2).stderr)


if __name__ == "__main__":
    harness.main()
