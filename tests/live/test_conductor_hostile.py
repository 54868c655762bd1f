#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Conductor server that says what none should, and what the daemon and its tools make of it."""

import harness
from conductorcase import WORKER, ConductorCase
from harness import Daemon
from hostile import Hostile, http, task


class HostileCase(ConductorCase):
    def hostile(self):
        server = Hostile()
        self.addCleanup(server.stop)
        return server

    def pool_problem(self, daemon):
        return daemon.call("ListPools")["pools"][0]["server"].get("problem")

    def assert_well(self, daemon, server):
        """A task that comes now is done, and nothing is left."""
        name = f"good-{len(server.results)}"
        server.well()
        server.give("work", task(name))
        server.wait_results(name)
        self.assertEqual(server.statuses(name), ["COMPLETED"])
        self.wait_empty(daemon)


class Polls(HostileCase):
    def hand_out_always(self, server, mine, times):
        answers = [http([mine, mine])] * times

        def answer(request):
            server.hand_out(request, mine)
            return answers.pop() if answers else None

        server.on("GET", "/poll/", answer)

    def test_answers_that_are_no_tasks(self):
        server = self.hostile()
        daemon = self.daemon(server)
        for body in ("null", "", "{}", "[null]", '"text"', "[" * 2000 + "]" * 2000, '[{"taskId":"x'):
            server.on("GET", "/poll/", http(body))
            problem = harness.eventually(lambda: self.pool_problem(daemon), "a problem")
            self.assertIn(f"no list of tasks: HTTP 200, {len(body)} bytes", problem)
            self.assertEqual("taskId" in problem or "null" in problem, body == "null", "tasks may hold secrets")
            self.assert_well(daemon, server)
            self.assertIsNone(self.pool_problem(daemon))

    def test_tasks_without_a_name(self):
        server = self.hostile()
        daemon = self.daemon(server)
        nameless = [{key: value for key, value in task(1).items() if key != name and name != "taskType"
                     or name == "taskType" and key not in ("taskType", "taskDefName")}
                    for name in ("taskId", "taskType", "workflowInstanceId")]
        server.give("work", *nameless)
        daemon.log.wait_for("ERROR work: cannot take a task .* it lacks taskId, taskType or workflowInstanceId")
        self.assert_well(daemon, server)

    def test_the_same_task_again_and_again(self):
        """A server that hands out what we have: it is not asked in a tight loop, and the task runs once."""
        for name in ("plain", 'with-"escapes"-\\-in-it'):
            server = self.hostile()
            daemon = self.daemon(server)
            mine = task(name, task_input={"gate": "gate"}, workflowInstanceId="w-1")
            self.hand_out_always(server, mine, 10)
            server.wait_requests(11, "GET", "/poll/")
            self.assertGreater(server.spread("GET", "/poll/", 10), 0.3)
            self.open_gate(daemon)
            server.wait_results(name)
            self.assertEqual(self.runs(daemon), [(name, 1)])
            self.assertEqual(server.statuses(name), ["COMPLETED"])
            self.wait_empty(daemon)
            daemon.stop()


class Updates(HostileCase):
    def test_an_answer_of_something_else(self):
        """A gateway that says 200 to everything has not stored the result."""
        server = self.hostile()
        daemon = self.daemon(server, source='outbox = { backoff = "10ms"; };')
        server.on("POST", "/tasks(/update-v2)?$", http("OK", content_type="text/plain"))
        server.give("work", task(1))
        server.wait_requests(4, "POST", "/tasks$")
        self.assertEqual(server.results, {})
        server.well()
        server.wait_results("t-1")
        self.wait_empty(daemon)

    def test_an_answer_of_something_else_for_ever(self):
        server = self.hostile()
        daemon = self.daemon(server, source='outbox = { backoff = "1ms"; backoff_max = "1ms"; attempts = 2; };')
        server.on("POST", "/tasks(/update-v2)?$", http({"ok": True}))
        server.give("work", task(1))
        letter, = harness.eventually(lambda: self.outbox(daemon, "dead"), "a dead letter")
        self.assertIn("something else than Conductor answers", letter["reason"])


class Searches(HostileCase):
    def test_a_search_that_something_refuses(self):
        """A gateway that lets only some paths through, or a key that may not search: what is cancelled is
        seen all the same, polls go on, and status tells what does not work."""
        for answer in (http("<title>no</title>", 403, "text/html"), http({"status": 403, "message": "no"}, 403)):
            server = self.hostile()
            server.on("GET", "/tasks/search", answer)
            daemon = self.daemon(server, pool='workers = 1; concurrency = 8; stop_timeout = "1s";')
            server.give("work", *[task(n, task_input={"gate": "gate"}) for n in range(4)])
            self.wait_runs(daemon, 4)
            server.on("GET", "/api/tasks/t-0$", http({"taskId": "t-0", "status": "CANCELED"}))
            daemon.log.wait_for("task t-0 .* is CANCELED at the server")
            server_status = daemon.call("GetStatus")["sources"][0]["server"]
            self.assertFalse(server_status["sweeps"])
            self.assertNotIn("is away", daemon.log.text())
            self.open_gate(daemon)
            server.wait_results("t-1", "t-2", "t-3")
            daemon.stop()


class Descriptors(HostileCase):
    def test_status_tells_why_workers_do_not_start(self):
        server = self.hostile()
        daemon = Daemon(self.config(server, pool="workers = 40;"), wrapper=["prlimit", "--nofile=64:64"])
        self.addCleanup(daemon.remove)
        daemon.script("worker", WORKER)
        daemon.spawn()
        daemon.log.wait_for("socket .*/control|cannot be started, trying again")
        harness.eventually(lambda: "Too many open files" in daemon.ctl("status", status=None).stdout, "the reason")
        self.assertIn("LimitNOFILE=", daemon.ctl("status").stdout)
        daemon.stop()


class Words(HostileCase):
    def test_what_a_queue_has_and_a_server_has_not(self):
        server = self.hostile()
        daemon = self.daemon(server)
        said = daemon.ctl("submit", "work", "{}", status=1).stderr
        self.assertIn("pool work takes its tasks from source prod, a Conductor server", said)
        self.assertIn("a server shows its own", daemon.ctl("task", "show", "t-1", status=4).stderr)
        server.give("work", task(1, task_input={"result": {"status": "FAILED", "reason": "no luck"}}))
        server.wait_results("t-1")
        error = daemon.call("ListPools")["pools"][0]["lastError"]
        self.assertIn("no luck", error["message"])
        self.assertNotIn("yardctl task", error["remedy"])

    def test_since_when_a_server_is_away(self):
        server = self.hostile()
        daemon = self.daemon(server)
        server.on("*", "", http("", 502))
        daemon.log.wait_for("is away")

        def problem():
            source = daemon.call("GetStatus")["sources"][0]
            return source["server"]["failures"] >= 3 and source["problem"]["time"]

        began = harness.eventually(problem, "three failures")
        harness.eventually(lambda: daemon.call("GetStatus")["sources"][0]["server"]["failures"] >= 4, "another")
        self.assertLess(abs(problem() - began), 100)


if __name__ == "__main__":
    harness.main()
