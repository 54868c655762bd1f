#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks in hand from a Conductor server: kept while they run, stopped when nobody wants them, found when an
answer was lost, handed back when the daemon goes."""

import contextlib
import os
import signal
import time
import unittest

import harness
from harness import Daemon, eventually
from stub import Stub

# It hangs, or not, as the input says ("do").
LIBRARY = os.environ.get("YARDMASTER_TEST_LIBRARY", "")

# Persistent. Writes "start ID PID" and "cancel ID" to the file "events"; sleeps on a thread of its own, so that
# cancel is read; "stop" makes it stop itself (SIGSTOP) over the task.
HANDLER = """#!/usr/bin/env python3
import json, os, signal, sys, threading
events = os.open("@DIR@/events", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
lock = threading.Lock()
cancelled = {}
def say(message):
    with lock:
        print(json.dumps(message), flush=True)
def work(task):
    given, task_id = task["inputData"], task["taskId"]
    os.write(events, f"start {task_id} {os.getpid()}\\n".encode())
    for n in range(given.get("progress", 0)):
        say({"type": "progress", "taskId": task_id, "percent": n, "stage": "counting"})
    if given.get("stop"):
        os.kill(os.getpid(), signal.SIGSTOP)
    if cancelled[task_id].wait(given.get("sleep", 0)):
        os.write(events, f"cancel {task_id}\\n".encode())
        say({"type": "result", "taskId": task_id, "status": "FAILED", "reason": "cancelled"})
    else:
        say({"type": "result", "taskId": task_id, "status": "COMPLETED", "output": {"done": True}})
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        cancelled[message["task"]["taskId"]] = threading.Event()
        threading.Thread(target=work, args=[message["task"]], daemon=True).start()
    elif message["type"] == "cancel" and message["taskId"] in cancelled:
        cancelled[message["taskId"]].set()
"""

# Per task. Stops itself where the input says so.
SCRIPT = """#!/bin/sh
exec jq -c 'if .inputData.stop then "kill -STOP $$" else "sleep \\(.inputData.sleep // 0)" end' | {
    read -r what
    eval "eval $what"
    echo '{"status": "COMPLETED", "output": {"done": true}}'
}
"""

# For tests that leave tasks running.
HASTY = 'drain_timeout = "0s";\n'


def settings(keys):
    return "".join(f" {key} = {value};" for key, value in keys.items())


def source(stub, name="prod", **keys):
    return f'sources: {{ {name}: {{ type = "conductor"; url = "{stub.url}";{settings(keys)} }}; }};\n'


HANDLERS = {
    "persistent": 'mode = "persistent"; command = "@DIR@/handler";',
    "per-task": 'mode = "per-task"; command = "@DIR@/script";',
    "library": f'library = "{LIBRARY}";',
}


def pool(name="work", mode="persistent", **keys):
    return (f'pools: {{ {name}: {{ source = "prod"; handler = {{ {HANDLERS[mode]} }};'
            f" stop_timeout = \"1s\";{settings(keys)} }}; }};\n")


class Keep(unittest.TestCase):
    def stub(self, *options):
        stub = Stub(*options)
        self.addCleanup(stub.stop)
        return stub

    def prepare(self, config):
        daemon = Daemon(config)
        self.addCleanup(daemon.remove)
        daemon.script("handler", HANDLER.replace("@DIR@", daemon.directory))
        daemon.script("script", SCRIPT)
        return daemon

    def daemon(self, config):
        daemon = self.prepare(config).start()
        self.addCleanup(daemon.stop)
        return daemon

    def events(self, daemon):
        try:
            with open(daemon.path("events"), encoding="ascii") as file:
                return [line.split() for line in file]
        except FileNotFoundError:
            return []

    def started(self, daemon, n):
        return eventually(lambda: (found := [event for event in self.events(daemon) if event[0] == "start"])
                          and len(found) >= n and found, f"{n} tasks have started")

    def cancelled(self, daemon):
        return [event[1] for event in self.events(daemon) if event[0] == "cancel"]

    def source_status(self, daemon):
        return daemon.call("ListSources")["sources"][0]["server"]

    def is_back(self, stub):
        """A stub that was away."""
        def is_there():
            with contextlib.suppress(OSError):
                return stub.stats()
        eventually(is_there, "the stub is back")

    def clean(self, stub, handed_back=None):
        counts = stub.counts()
        self.assertEqual(stub.wrong(), [])
        self.assertEqual(counts["retries"], 0)
        if handed_back is not None:
            self.assertEqual(counts["handedBack"], handed_back)


class Lease(Keep):
    def test_a_long_task_is_kept(self):
        stub = self.stub("--response-timeout=2")
        task, = stub.create("work", 1, input={"sleep": 5})
        self.daemon(source(stub) + pool())
        stub.wait("settled")
        self.clean(stub, handed_back=0)
        self.assertIn(stub.task(task)["leases"], range(3, 6))

    def test_per_task_command(self):
        stub = self.stub("--response-timeout=2")
        stub.create("work", 2, input={"sleep": 4})
        self.daemon(source(stub) + pool(mode="per-task", workers=2))
        stub.wait("settled")
        self.clean(stub, handed_back=0)

    def test_not_before_it_is_needed(self):
        stub = self.stub("--response-timeout=60")
        stub.create("work", 5, input={"sleep": 3})
        self.daemon(source(stub) + pool(concurrency=5))
        stub.wait("settled")
        self.assertEqual(stub.stats()["leases"], 0)

    def test_many_at_once(self):
        stub = self.stub("--response-timeout=6")
        stub.create("work", 300, input={"sleep": 10})
        self.daemon(source(stub) + pool(workers=3, concurrency=100))
        stub.wait("settled")
        self.clean(stub, handed_back=0)
        self.assertLess(stub.stats()["connectionsOpenMax"], 30)

    def test_a_refused_extension_is_tried_again(self):
        stub = self.stub("--response-timeout=3")
        task, = stub.create("work", 1, input={"sleep": 5})
        stub.fault("status", "/api/tasks", method="POST", status=500, retryable=True, count=2)
        self.daemon(source(stub) + pool())
        stub.wait("settled")
        self.clean(stub)
        self.assertGreaterEqual(stub.task(task)["leases"], 1)

    def test_during_a_drain(self):
        stub = self.stub("--response-timeout=2")
        task, = stub.create("work", 1, input={"sleep": 6})
        daemon = self.daemon('drain_timeout = "20s";\n' + source(stub) + pool())
        self.started(daemon, 1)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(stub.task(task)["status"], "COMPLETED")
        self.clean(stub, handed_back=0)

    def hangs(self, mode, **keys):
        """A handler that hangs is ended by its worker, and the task FAILED by us, not by the server."""
        stub = self.stub("--response-timeout=2")
        stub.define("work", retryCount=0, responseTimeoutSeconds=2)
        task, = stub.create("work", 1, input={"stop": True, "sleep": 1, "do": "hang-hard"})
        daemon = self.daemon(source(stub) + pool(mode=mode, **keys))
        eventually(lambda: stub.counts()["FAILED"] == 1, "the task FAILED")
        self.assertEqual(stub.counts()["TIMED_OUT"], 0)
        leases = stub.task(task)["leases"]
        self.assertGreater(leases, 0)
        stub.create("work", 1, input={"sleep": 1.5})
        stub.wait("completed", 1)
        self.assertEqual(stub.task(task)["leases"], leases)
        self.assertNotIn("does not go", daemon.log.text())

    def test_hung_persistent_worker_with_watchdog(self):
        self.hangs("persistent", watchdog='"2s"', task_timeout='"infinity"')

    def test_hung_persistent_worker_with_task_timeout(self):
        self.hangs("persistent", task_timeout='"3s"')

    def test_hung_library_with_watchdog(self):
        self.hangs("library", watchdog='"2s"', task_timeout='"infinity"')

    def test_hung_library_with_task_timeout(self):
        self.hangs("library", task_timeout='"3s"')

    def test_hung_per_task_command(self):
        self.hangs("per-task", task_timeout='"3s"')


class Watch(Keep):
    def start(self, stub, n, **keys):
        ids = stub.create("work", n, input={"sleep": 300})
        daemon = self.daemon(HASTY + source(stub) + pool(concurrency=max(n, 2), **keys))
        self.started(daemon, n)
        return daemon, ids

    def stops_within(self, seconds, daemon, task):
        began = time.monotonic()
        eventually(lambda: task in self.cancelled(daemon), "the handler is told", seconds + 5)
        self.assertLess(time.monotonic() - began, seconds)

    def test_a_terminated_workflow(self):
        stub = self.stub()
        daemon, ids = self.start(stub, 10)
        time.sleep(2.5)  # so that it has been asked about
        stub.reset_stats()
        stub.cancel(ids[3])
        self.stops_within(5, daemon, ids[3])
        self.assertEqual(self.cancelled(daemon), [ids[3]])
        eventually(lambda: daemon.pool("work")["server"]["canceled"] == 1, "it is counted")
        self.assertEqual(daemon.pool("work")["server"]["inHand"], 9)
        self.assertLess(stub.stats()["searches"] + stub.stats()["gets"], 12)
        self.assertEqual(stub.stats()["updates"], 0)
        self.assertEqual(stub.task(ids[3])["ignored"], 0)
        self.assertEqual(self.source_status(daemon)["cancelDelayUsec"], 5_000_000)

    def test_a_single_task(self):
        stub = self.stub()
        daemon, ids = self.start(stub, 1)
        stub.cancel(ids[0])
        self.stops_within(5, daemon, ids[0])
        self.assertEqual(stub.stats()["updates"], 0)

    def test_settled_by_someone_else(self):
        stub = self.stub()
        daemon, ids = self.start(stub, 4)
        record = stub.task(ids[0])
        stub.call("POST", "/api/tasks", {"taskId": ids[0], "workflowInstanceId": record["workflowInstanceId"],
                                         "status": "COMPLETED", "outputData": {"by": "hand"}})
        self.stops_within(5, daemon, ids[0])
        self.assertEqual(stub.task(ids[0])["outputData"], {"by": "hand"})
        self.assertEqual(stub.task(ids[0])["conflicting"], 0)

    def test_per_task_commands_are_ended(self):
        stub = self.stub()
        ids = stub.create("work", 3, input={"sleep": 300})
        daemon = self.daemon(HASTY + source(stub) + pool(mode="per-task", workers=3))
        stub.wait("in-progress", 3)
        stub.cancel(ids[0])
        eventually(lambda: daemon.pool("work")["server"]["canceled"] == 1, "it has ended", 7)
        self.assertEqual(daemon.pool("work")["server"]["inHand"], 2)

    def test_without_an_index(self):
        stub = self.stub("--no-search")
        daemon, ids = self.start(stub, 60)
        eventually(lambda: self.source_status(daemon)["cancelDelayUsec"] > 5_000_000, "the delay shows", 10)
        self.assertIn("does not know them", self.source_status(daemon)["sweepProblem"])
        self.assertIn("off, the server's task search", daemon.ctl("status").stdout)
        stub.reset_stats()
        began = time.monotonic()
        stub.cancel(ids[40])
        self.stops_within(8, daemon, ids[40])
        time.sleep(max(0, began + 4 - time.monotonic()))
        self.assertLess(stub.stats()["gets"] / (time.monotonic() - began), 26)
        self.assertEqual(self.cancelled(daemon), [ids[40]])

    def test_short_tasks_cost_nothing(self):
        stub = self.stub()
        stub.create("work", 2000)
        self.daemon(source(stub) + pool(workers=1, concurrency=4))
        stub.wait("settled")
        self.assertEqual(stub.stats()["leases"] + stub.stats()["gets"], 0)


class Sweep(Keep):
    """Tasks that the server handed out in an answer that never came."""

    def test_a_poll_that_was_cut(self):
        for kind in ("reset-after", "truncate", "garbage"):
            with self.subTest(kind):
                stub = self.stub("--response-timeout=600")
                daemon = self.prepare(source(stub) + pool(concurrency=20))
                stub.create("work", 1)
                stub.fault(kind, "/api/tasks/poll/*", skip=1)
                stub.create("work", 10)
                daemon.start()
                stub.wait("settled", timeout=20)
                self.assertEqual(daemon.stop(), 0)
                self.clean(stub)
                self.assertGreater(stub.counts()["handedBack"], 0)
                daemon.log.wait_for("handed back: it was given to us in an answer that never came")

    def test_an_update_whose_answer_was_cut(self):
        for kind in ("reset-after", "truncate", "garbage"):
            with self.subTest(kind):
                stub = self.stub("--response-timeout=600")
                stub.create("work", 40)
                daemon = self.prepare(source(stub) + pool(concurrency=2))
                stub.fault(kind, "/api/tasks/update-v2", skip=5, count=3, every=7)
                daemon.start()
                stub.wait("settled", timeout=20)
                self.assertEqual(daemon.stop(), 0)
                self.clean(stub)
                self.assertGreater(stub.counts()["handedBack"], 0)

    def test_a_daemon_that_was_killed_over_an_open_poll(self):
        stub = self.stub("--response-timeout=600")
        daemon = self.prepare(source(stub) + pool(poll_timeout='"5s"')).start()
        stub.wait("polls")
        daemon.kill()
        stub.create("work", 3)
        eventually(lambda: stub.counts()["IN_PROGRESS"] == 1, "the dead poll was handed one")
        daemon.start()
        self.addCleanup(daemon.stop)
        stub.wait("settled", timeout=20)
        self.clean(stub, handed_back=1)

    def test_not_those_that_are_on_their_way(self):
        """Polls that are slow to answer, beside a suspicion: what they bring is taken, not handed back."""
        stub = self.stub("--response-timeout=600")
        stub.define("other", responseTimeoutSeconds=600)
        stub.create("work", 5)
        stub.fault("slow", "/api/tasks/poll/batch/work*", count=3, delayMsec=1500)
        stub.fault("reset-after", "/api/tasks/poll/batch/other*", count=2)
        self.daemon(source(stub) + pool(task_type='["work", "other"]', concurrency=10))
        stub.create("other", 1)
        stub.wait("settled", timeout=30)
        self.clean(stub)
        self.assertEqual(stub.counts(type="work")["handedBack"], 0)

    def test_none_with_a_configured_worker_id(self):
        stub = self.stub("--response-timeout=4")
        stub.define("work", retryCount=1, retryDelaySeconds=0, responseTimeoutSeconds=4)
        stub.create("work", 1)
        stub.fault("reset-after", "/api/tasks/poll/*")
        daemon = self.daemon(source(stub, worker_id='"mine"') + pool())
        self.assertFalse(self.source_status(daemon)["sweeps"])
        stub.wait("completed", 1, timeout=20)
        self.assertEqual(stub.counts()["retries"], 1)
        self.assertEqual(stub.stats()["searches"], 0)


class Drain(Keep):
    def test_running_tasks_go_back(self):
        for mode, shape in (("persistent", {"concurrency": 10}), ("per-task", {"workers": 10})):
            with self.subTest(mode):
                stub = self.stub("--response-timeout=600")
                stub.create("work", 10, input={"sleep": 5})
                daemon = self.prepare('drain_timeout = "1s";\n' + source(stub) + pool(mode=mode, **shape)).start()
                stub.wait("in-progress", 10)
                began = time.monotonic()
                self.assertEqual(daemon.stop(), 0)
                self.assertLess(time.monotonic() - began, 3)
                self.assertEqual(stub.counts()["SCHEDULED"], 10)
                self.clean_counts(stub, 10)
                daemon.start()
                self.addCleanup(daemon.stop)
                stub.wait("settled")
                self.clean(stub, handed_back=10)

    def clean_counts(self, stub, handed_back):
        counts = stub.counts()
        self.assertEqual((counts["retries"], counts["handedBack"]), (0, handed_back))

    def test_an_open_poll_is_waited_out(self):
        """Longer than the daemon waits for anything of its own; and what it brings goes back."""
        stub = self.stub("--response-timeout=600")
        daemon = self.prepare('drain_timeout = "100ms";\n' + source(stub)
                              + pool(concurrency=20, poll_timeout='"5s"')).start()
        stub.wait("polls")
        fault = stub.fault("slow", "/api/tasks/poll/*", delayMsec=11_500)
        stub.create("work", 11)
        eventually(lambda: stub.faults()[fault]["fired"] == 1, "the slow poll has begun")
        stub.wait("completed", 1)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("killing what still runs", daemon.log.text())
        self.assertEqual(stub.counts()["IN_PROGRESS"], 0)
        self.assertEqual(stub.counts()["SCHEDULED"], 10)
        self.assertEqual(stub.counts()["COMPLETED"], 1)
        self.clean_counts(stub, 10)

    def test_the_wait_is_cut_short(self):
        """And what the poll would have brought is found at the next start."""
        stub = self.stub("--response-timeout=600", "--no-update-v2")
        daemon = self.prepare('drain_timeout = "100ms";\n' + source(stub) + pool(concurrency=2, poll_timeout='"5s"')).start()
        stub.wait("polls")
        fault = stub.fault("never", "/api/tasks/poll/*")
        stub.create("work", 2)
        stub.wait("completed", 1)
        eventually(lambda: stub.faults()[fault]["fired"] == 1, "the poll without an answer has begun")
        self.assertEqual(stub.counts()["IN_PROGRESS"], 1)
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=")
        daemon.signal(signal.SIGTERM)
        daemon.log.wait_for("stopping what still runs")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 1)
        self.assertLess(time.monotonic() - began, 5)
        daemon.log.wait_for("waited for no longer")
        daemon.start()
        self.addCleanup(daemon.stop)
        stub.wait("settled", timeout=20)
        self.clean(stub, handed_back=1)

    def test_a_server_that_is_away(self):
        stub = self.stub("--response-timeout=600")
        stub.create("work", 4, input={"sleep": 1.5})
        daemon = self.prepare('drain_timeout = "10s";\n' + source(stub) + pool(concurrency=4)).start()
        self.started(daemon, 4)
        stub.away(6000)
        began = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, 4)
        daemon.start()
        self.addCleanup(daemon.stop)
        self.is_back(stub)
        stub.wait("settled")
        self.clean(stub, handed_back=0)
        self.assertEqual(len(self.started(daemon, 4)), 4)

    def test_scaling_down_and_removing_a_pool(self):
        stub = self.stub("--response-timeout=600")
        stub.create("work", 400, input={"sleep": 0.02})
        config = source(stub) + pool(workers=4, concurrency=4)
        daemon = self.daemon(config)
        stub.wait("completed", 50)
        daemon.ctl("scale", "work", 1)
        stub.wait("completed", 100)
        daemon.write_config(source(stub))
        daemon.ctl("reload")
        eventually(lambda: daemon.call("ListPools")["pools"] == [], "the pool has gone")
        counts = stub.counts()
        self.assertEqual(counts["IN_PROGRESS"], 0)
        self.assertEqual(counts["SCHEDULED"] + counts["COMPLETED"], 400)
        daemon.write_config(config)
        daemon.ctl("reload")
        stub.wait("settled")
        self.clean(stub)


class Reload(Keep):
    def undelivered(self):
        """A daemon with two results that its server, which is away, has not accepted."""
        stub = self.stub("--response-timeout=600")
        stub.create("work", 2, input={"sleep": 1})
        config = source(stub) + pool(concurrency=2)
        daemon = self.daemon(config)
        self.started(daemon, 2)
        stub.away(5000)
        eventually(lambda: self.source_status(daemon)["outbox"]["waiting"] == 2, "both wait")
        return stub, config, daemon

    def test_a_source_that_goes_keeps_its_results(self):
        stub, config, daemon = self.undelivered()
        daemon.write_config("")
        daemon.ctl("reload")
        line = daemon.log.wait_for("source prod is not configured any more")
        self.assertIn("2 results", line)
        self.assertIn(daemon.path("state", "outbox-prod"), line)
        self.assertEqual(daemon.call("ListSources")["sources"], [])
        # at the next start, too
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        self.assertIn("outbox-prod", daemon.log.wait_for("is not configured"))
        daemon.write_config(config)
        daemon.ctl("reload")
        self.is_back(stub)
        stub.wait("settled")
        self.clean(stub, handed_back=0)
        self.assertEqual(len(self.started(daemon, 2)), 2)

    def test_an_empty_outbox_is_no_news(self):
        stub = self.stub()
        stub.create("work", 5)
        daemon = self.daemon(source(stub) + pool())
        stub.wait("settled")
        daemon.write_config("")
        daemon.ctl("reload")
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        self.assertNotIn("not configured", daemon.log.text())

    def test_a_source_that_comes(self):
        stub = self.stub()
        daemon = self.daemon("")
        stub.create("work", 5)
        daemon.write_config(source(stub) + pool())
        daemon.ctl("reload")
        stub.wait("settled")
        self.clean(stub, handed_back=0)


class Progress(Keep):
    def lines(self, **keys):
        stub = self.stub()
        task, = stub.create("work", 1, input={"progress": 5, "sleep": 2})
        self.daemon(source(stub, **keys) + pool())
        stub.wait("settled")
        self.assertEqual(stub.stats()["logsEmpty"], 0)
        return stub.task(task)["logs"]

    def test_a_line_of_the_log(self):
        self.assertEqual(self.lines(progress_log="true"), 1)

    def test_none_unless_asked(self):
        self.assertEqual(self.lines(), 0)


if __name__ == "__main__":
    harness.main()
