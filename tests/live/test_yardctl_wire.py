# SPDX-License-Identifier: Apache-2.0
"""yardctl against a scripted server: what it sends, what it prints, what it exits with."""

import json
import os
import pty
import resource
import subprocess
import time

import harness
from scripted import MANAGER, Error, ScriptedCase, Server, POOL, WORKER, SOURCE, STATUS, TASK


class Yardctl(ScriptedCase):
    # The daemon and its pools

    def test_status(self):
        self.serve(GetStatus=STATUS)
        out = self.ctl("status").stdout
        for text in ("yardmasterd 9.9", "State: degraded", "1 pool degraded", "pid 42, up 1m 30s, 8.6M", "/etc/y.conf",
                     "local full: 17 waiting (3 delayed), 2 in progress, 1200 finished, 4.0K", "POOL", "1234", "25%",
                     "12ms", "1.5s", "3m 20s", "Problems", "source local: max_tasks reached",
                     "pool thumbnail: cannot exec ./thumb", "→ install it", "resize on local: 5, the oldest for 9s"):
            self.assertIn(text, out)
        self.assertNotIn("\x1b", out)
        self.assertNotIn("POOL", self.ctl("status", "--no-legend").stdout)

    def test_status_without_pools(self):
        self.serve(GetStatus={**STATUS, "pools": [], "sources": [], "unserved": []})
        out = self.ctl("status").stdout
        self.assertIn("No pools are configured", out)
        self.assertNotIn("Problems", out)

    def test_status_of_a_rejected_reload(self):
        self.serve(GetStatus={**STATUS, "configProblem": "a.conf:3: pools.x: unknown key"})
        self.assertIn("the last reload was refused: a.conf:3", self.ctl("status").stdout)

    def test_status_of_a_pool(self):
        self.serve(ListPools={"pools": [POOL]}, ListWorkers={"workers": [WORKER]})
        out = self.ctl("status", "thumbnail").stdout
        self.assertEqual(self.sent(-2), ("ListWorkers", {"pool": "thumbnail"}))
        for text in ("pool thumbnail", "4 wanted, 3 running, 2 busy", "Fetching: no, last 2s ago", "17 (3 delayed), the oldest for 3m 20s", "25%",
                     "limits.processes", "ReadWritePaths=/srv/images", "install it", "thumbnail/2", "4711", "t-1", "40% scale: 3 of 7", "10M",
                     "SEGV"):
            self.assertIn(text, out)

    def test_tables_fit_80_columns(self):
        busy = {**WORKER, "name": "thumbnail/17", "pid": 4194304, "ageUsec": 3_599_000_000}
        self.serve(ListPools={"pools": [{**POOL, "queued": 99_999, "processed": 99_999}]}, ListWorkers={"workers": [busy]},
                   ListSources={"sources": [{**SOURCE, "problem": None}]},
                   ListTasks={"tasks": [{**TASK, "taskId": "01a1fe52-6dc7-7000-8099-65f6fb166604", "reason": None}]})
        for kind in ("pools", "workers", "sources", "tasks"):
            for line in self.ctl("list", kind).stdout.splitlines():
                self.assertLessEqual(len(line.rstrip()), 80, line)

    def test_status_of_a_worker(self):
        self.serve(ListWorkers={"workers": [WORKER]})
        out = self.ctl("status", "thumbnail/2").stdout
        self.assertEqual(self.sent(-2), ("ListWorkers", {"name": "thumbnail/2"}))
        for text in ("worker thumbnail/2", "pid 4711, up 1m, 10M", "Heartbeat: 1s ago",
                     "t-1 (thumbnail), attempt 2, for 5s",
                     "7 processed, 1 in hand", "killed by signal SEGV"):
            self.assertIn(text, out)

    def test_status_of_none(self):
        self.serve(ListPools={"pools": []}, ListWorkers=lambda p: Error("NoSuchPool", pool=p["pool"],
                                                                        suggestion="thumbnail"))
        error = self.ctl("status", "thumbnial", status=4).stderr
        self.assertIn("there is no pool thumbnial (yardctl list pools shows them); did you mean thumbnail?", error)

    def test_lists(self):
        self.serve(ListPools={"pools": [POOL]}, ListWorkers={"workers": [WORKER]}, ListSources={"sources": [SOURCE]})
        self.assertEqual(len(self.ctl("list", "pools").stdout.splitlines()), 2)
        self.assertIn("thumbnail/2", self.ctl("list", "workers", "thumbnail").stdout)
        self.assertEqual(self.sent(), ("ListWorkers", {"pool": "thumbnail"}))
        self.assertIn("full", self.ctl("list", "sources").stdout)

    def test_list_tasks(self):
        self.serve(ListTasks=[{"tasks": [TASK, {**TASK, "taskId": "t-2"}]}, {"tasks": [{**TASK, "taskId": "t-3"}]}])
        out = self.ctl("list", "tasks", "--status", "failed,Completed", "--type", "thumb*", "--source", "local",
                       "--since", "@1700000000", "--limit", "10").stdout
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["TASK", "t-1", "t-2", "t-3"])
        self.assertEqual(self.sent(), ("ListTasks", {"filter": {"type": "thumb*", "source": "local",
                                                                "status": ["FAILED", "COMPLETED"],
                                                                "sinceTime": 1_700_000_000_000}, "limit": 10}))
        self.assertTrue(self.server.calls[-1]["more"])
        self.ctl("list", "tasks", "--since", "1h")
        self.assertAlmostEqual(self.sent()[1]["filter"]["sinceTime"], (time.time() - 3600) * 1000, delta=60_000)
        self.ctl("list", "tasks", "--since", "soon", status=2)
        self.ctl("list", "tasks", "--limit", "many", status=2)
        self.assertIn("--status LOST is none of SCHEDULED, ", self.ctl("list", "tasks", "--status", "failed,lost", status=2).stderr)

    def test_json_is_the_reply_as_received(self):
        raw = b'{"tasks" :[ 1e0,"\\u00e9" ], "new":null}'
        self.serve(ListTasks=b'{"continues":true,"parameters":' + raw + b'}\0{"parameters":{}}\0', GetStatus=STATUS)
        self.assertEqual(self.ctl("list", "tasks", "--json").stdout.encode(), raw + b"\n")
        self.serve(ListTasks={"tasks": []}, GetStatus=STATUS)
        self.assertEqual(json.loads(self.ctl("list", "tasks", "--json").stdout), {"tasks": []})
        self.assertEqual(json.loads(self.ctl("--json", "status").stdout), STATUS)

    # Submitting

    def test_submit(self):
        self.serve(Submit={"taskId": "t-9", "existing": False})
        self.assertEqual(self.ctl("submit", "thumbnail").stdout, "t-9\n")
        self.assertEqual(self.sent(), ("Submit", {"task": {"type": "thumbnail"}}))
        self.ctl("submit", "thumbnail", '{"a": 1}', "--priority", "-5", "--delay", "1.5s", "--unique", "k",
                 "--conflict",
                 "replace", "--attempts=2", "--source", "local", "--force", "--run-at", "@1700000000", "--deadline",
                 "@1700000001")
        self.assertEqual(self.sent(), ("Submit", {"force": True, "task": {
            "type": "thumbnail", "input": {"a": 1}, "priority": -5, "delayMsec": 1500, "unique": "k",
            "conflict": "replace",
            "attempts": 2, "source": "local", "runTime": 1_700_000_000_000, "deadlineTime": 1_700_000_001_000}}))
        self.ctl("submit", "thumbnail", "-", input='{"b":2}\n')
        self.assertEqual(self.sent()[1]["task"]["input"], {"b": 2})
        path = os.path.join(self.directory.name, "input.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"c":3}')
        self.ctl("submit", "thumbnail", "@" + path)
        self.assertEqual(self.sent()[1]["task"]["input"], {"c": 3})

    def test_submit_refuses_before_sending(self):
        for words in (["x", "{a}"], ["x", "[1]"], ["x", "{}", "--priority", "high"], ["x", "{}", "--delay", "later"],
                      ["x", "{}", "--deadline", "never ever"], ["x", "{}", "--colour", "red"], ["x", "{}", "{}"], [],
                      ["x", "{}", "--wait=yes"], ["x", "{}", "--priority"]):
            with self.subTest(words=words):
                self.ctl("submit", *words, status=2)
        self.ctl("submit", "x", "@/nonexistent", status=1)
        self.assertEqual(self.server.calls, [])

    def test_submit_and_wait(self):
        self.serve(Submit={"taskId": "t-1", "existing": False}, WaitTasks=[{"tasks": [TASK]}, {"tasks": []}],
                   GetTask={"task": TASK})
        self.assertEqual(self.ctl("submit", "thumbnail", "--wait").stdout, '{"b": 2}\n')
        self.assertEqual(self.server.calls[1]["parameters"], {"ids": ["t-1"]})
        self.server.script["GetTask"] = {"task": {**TASK, "status": "FAILED", "reason": "exit 1"}}
        self.assertIn("t-1 is FAILED: exit 1", self.ctl("submit", "thumbnail", "--wait", status=5).stderr)
        self.server.script["WaitTasks"] = Error("WaitTimedOut", pending=["t-1"])
        error = self.ctl("submit", "thumbnail", "--wait", "--timeout", "2s", status=6).stderr
        self.assertIn("t-1", error)
        self.assertEqual(self.sent()[1], {"ids": ["t-1"], "timeoutUsec": 2_000_000})

    def test_submit_errors(self):
        for error, status, text in (
                (Error("TypeNotServed", type="thumb", suggestion="thumbnail"), 1, "--force; did you mean thumbnail?"),
                (Error("QueueFull", source="local", message="max_tasks (10) is reached"), 1,
                 "max_tasks (10) is reached"),
                (Error("DuplicateTask", taskId="t-3", unique="k"), 1, "t-3"),
                (Error("NoSuchSource", source="s"), 4, "no source s"),
                (Error("org.varlink.service.PermissionDenied"), 7, "permission denied"),
                (Error("org.varlink.service.InvalidParameter", parameter="task.priority"), 1, "task.priority"),
                (Error("org.example.Unheard", a=1), 1, 'org.example.Unheard {"a": 1}')):
            self.serve(Submit=error)
            self.assertIn(text, self.ctl("submit", "thumb", status=status).stderr)

    def submit_file(self, text, *words, status=0):
        path = os.path.join(self.directory.name, "tasks.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return self.ctl("submit", "--from", path, *words, status=status)

    @staticmethod
    def accept_all(parameters):
        return {"results": [{"taskId": task["type"]} for task in parameters["tasks"]]}

    def test_submit_file(self):
        self.serve(SubmitMany=self.accept_all)
        lines = [{"type": f"t{n}", "input": {"n": n}} for n in range(2500)]
        result = self.submit_file("\n".join(map(json.dumps, lines)) + "\n", "--ids", "--force")
        self.assertEqual(result.stdout.split(), [f"t{n}" for n in range(2500)])
        self.assertIn("2500 tasks submitted", result.stderr)
        tasks = [task for call in self.server.calls for task in call["parameters"]["tasks"]]
        self.assertEqual(tasks, lines)
        self.assertEqual([len(call["parameters"]["tasks"]) for call in self.server.calls], [1000, 1000, 500])
        self.assertTrue(all(call["parameters"]["force"] for call in self.server.calls))

    def test_submit_file_members(self):
        self.serve(SubmitMany=self.accept_all)
        self.submit_file('{"delay": "2s", "run_at": "@1700000000", "deadline": 1700000001000, "priority": 1, "unique": "k",'
                         ' "conflict": "error", "attempts": 2, "source": "s", "input": null}\n'
                         '\n \t\r\n{"delay": 0.5, "type": "other"}', "thumbnail")
        self.assertEqual(self.sent()[1]["tasks"], [
            {"delayMsec": 2000, "runTime": 1_700_000_000_000, "deadlineTime": 1_700_000_001_000, "priority": 1,
             "unique": "k",
             "conflict": "error", "attempts": 2, "source": "s", "type": "thumbnail"},
            {"delayMsec": 500, "type": "other"}])

    def test_submit_file_faults(self):
        self.serve(SubmitMany=lambda p: {"results": [
            {"error": "TypeNotServed",
             "message": "no pool"} if task["type"] == "bad" else {"taskId": "x"} for task in p["tasks"]]})
        error = self.submit_file('{"type":"a"}\n{"type":"a"\n[]\n{"type":1}\n{"input":{}}\n{"type":"a","x":1}\n'
                                 '{"type":"a","priority":1.5}\n{"type":"a","input":[]}\n{"type":"a","delay":"x"}\n'
                                 '{"type":"a","type":"b"}\n{"type":"bad"}\n{"type":"a"}\n', status=1).stderr
        for text in ("ndjson:2: no JSON: at byte 11", "ndjson:3: an object is expected", "ndjson:4: type is a string",
                     "ndjson:5: type is missing",
                     "ndjson:6: unknown member x", "ndjson:7: priority is a whole number",
                     "ndjson:8: input is an object",
                     "ndjson:9: delay is a span", "ndjson:10: type stands there twice",
                     "ndjson:11: TypeNotServed: no pool",
                     "2 tasks submitted", "10 not"):
            self.assertIn(text, error)

    def test_submit_file_stops_at_a_full_queue(self):
        self.serve(SubmitMany=lambda p: {"results": [
            {"taskId": "x"} if task["input"]["n"] < 1500 or task["input"]["n"] == 1700 else {"error": MANAGER + "QueueFull", "message": "max_tasks"}
            for task in p["tasks"]]})
        lines = "".join(json.dumps({"type": "a", "input": {"n": n}}) + "\n" for n in range(20_000))
        error = self.submit_file(lines, status=1).stderr
        self.assertIn("stopped at line 1501: max_tasks", error)
        self.assertEqual(error.count("max_tasks"), 1)
        self.assertIn("1501 tasks submitted", error)
        self.assertIn("; 1 of them behind the line", error)
        self.assertLess(len(self.server.calls), 10)

    def test_submit_file_that_is_refused_as_a_whole(self):
        self.serve(SubmitMany=Error("org.varlink.service.PermissionDenied"))
        self.assertIn("lines 1 to 2", self.submit_file('{"type":"a"}\n{"type":"b"}\n', status=7).stderr)
        self.serve(SubmitMany=None)
        self.assertIn("closed the connection; lines 1 to 1", self.submit_file('{"type":"a"}\n', status=3).stderr)
        self.submit_file("", "--priority", "3", status=2)
        self.ctl("submit", "--from", "/nonexistent", status=1)

    def test_submit_from_stdin_is_fast(self):
        self.serve(SubmitMany=self.accept_all)
        text = "".join(json.dumps({"type": "a", "input": {"n": n, "text": "x" * 150}}) + "\n" for n in range(20_000))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.ctl("submit", "--from", "-", input=text)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"# {20_000 / spent:.0f} tasks/s of client CPU")
        self.assertEqual(sum(len(call["parameters"]["tasks"]) for call in self.server.calls), 20_000)

    def test_submit_file_shows_its_progress(self):
        def slowly(parameters):
            time.sleep(0.15)  # what the bar's interval is shorter than
            return self.accept_all(parameters)

        self.serve(SubmitMany=slowly)
        path = os.path.join(self.directory.name, "tasks.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"type":"a"}\n' * 8000)
        status, out = self.on_terminal("submit", "--from", path)
        self.assertEqual(status, 0)
        self.assertRegex(out, r"\r\[#+\.*\] +\d+%  \d+ tasks, \d+/s, .* left\x1b\[K")
        self.assertRegex(out, r"\r\x1b\[Kyardctl: 8000 tasks submitted in .*\r\n$")

    def on_terminal(self, *words, environment=None):
        """Exit status and output of yardctl where all of it goes to a terminal."""
        master, slave = pty.openpty()
        process = subprocess.Popen([harness.YARDCTL, "--socket", self.path, *words], stdout=slave, stderr=slave,
                                   env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(environment or {})})
        os.close(slave)
        out = b""
        try:
            while data := os.read(master, 65536):
                out += data
        except OSError:
            pass
        os.close(master)
        return process.wait(harness.TIMEOUT), out.decode()

    # Tasks

    def test_task_show(self):
        self.serve(GetTask=lambda p: {"task": TASK} if p["taskId"] == "t-1" else Error("NoSuchTask",
                                                                                       taskId=p["taskId"]))
        out = self.ctl("task", "show", "t-1").stdout
        for text in ("COMPLETED", "thumbnail/2", '{"a": 1}', '{"b": 2}', "1 used of 3", "2023-11-14 22:13:20.000",
                     "hello?[31m",
                     "attempt 1 FAILED on thumbnail/1 after 2s"):
            self.assertIn(text, out)
        result = self.ctl("task", "show", "t-0", "t-1", status=4)
        self.assertIn("there is no task t-0", result.stderr)
        self.assertIn("COMPLETED", result.stdout)

    def test_task_changes_by_id(self):
        for verb, method in (("cancel", "CancelTasks"), ("retry", "RetryTasks"), ("delete", "DeleteTasks")):
            self.serve(**{method: {"count": 1}})
            self.assertIn("t-1", self.ctl("task", verb, "t-1", "t-2").stdout)
            self.assertEqual([call["parameters"] for call in self.server.calls], [{"filter": {"ids": ["t-1"]}},
                                                                                  {"filter": {"ids": ["t-2"]}}])
        self.serve(CancelTasks={"count": 0}, GetTask={"task": TASK})
        self.assertIn("is COMPLETED: it cannot be cancelled", self.ctl("task", "cancel", "t-1", status=1).stderr)
        self.serve(CancelTasks={"count": 0}, GetTask=Error("NoSuchTask", taskId="t-1"))
        self.ctl("task", "cancel", "t-1", status=4)

    def test_task_update(self):
        self.serve(UpdateTasks={"count": 1})
        self.ctl("task", "update", "t-1", "--status", "COMPLETED", "--output", '{"a":1}', "--reason", "by hand")
        self.assertEqual(self.sent()[1], {"filter": {"ids": ["t-1"]}, "status": "COMPLETED", "reason": "by hand",
                                          "output": {"a": 1}})
        self.ctl("task", "update", "t-1", status=2)
        self.ctl("task", "update", "t-1", "--status", "COMPLETED", "--output", "[]", status=2)

    def test_task_changes_by_filter(self):
        self.serve(DeleteTasks={"count": 7})
        self.assertIn("7 tasks would be deleted", self.ctl("task", "delete", "--status", "failed", status=1).stderr)
        self.assertEqual(self.sent()[1], {"filter": {"status": ["FAILED"]}, "dryRun": True})
        self.assertEqual(self.ctl("task", "delete", "--status", "failed", "--yes").stdout, "7 tasks deleted\n")
        self.assertEqual(self.sent()[1], {"filter": {"status": ["FAILED"]}})
        self.ctl("task", "delete", status=2)
        self.ctl("task", "delete", "t-1", "--type", "x", status=2)

    def test_task_changes_ask_on_a_terminal(self):
        self.serve(DeleteTasks={"count": 7})
        for answer, calls, status in ((b"y\n", 2, 0), (b"n\n", 1, 1)):
            self.server.calls.clear()
            master, slave = pty.openpty()
            process = subprocess.Popen([harness.YARDCTL, "--socket", self.path, "task", "delete", "--type", "*"],
                                       stdin=slave, stdout=slave, stderr=slave)
            os.close(slave)
            asked = b""
            while b"[y/N]" not in asked:
                asked += os.read(master, 1000)
            self.assertIn(b"delete 7 tasks?", asked)
            os.write(master, answer)
            self.assertEqual(process.wait(harness.TIMEOUT), status)
            os.close(master)
            self.assertEqual(len(self.server.calls), calls)

    def test_wait(self):
        self.serve(WaitTasks=[{"tasks": [TASK]}, {"tasks": []}])
        self.assertEqual(self.ctl("wait", "t-1", "t-2", "--timeout", "1m").stdout, "t-1 COMPLETED\n")
        self.assertEqual(self.sent()[1], {"ids": ["t-1", "t-2"], "timeoutUsec": 60_000_000})
        self.serve(WaitTasks=[{"tasks": [{**TASK, "status": "FAILED", "reason": "no"}]}, {"tasks": []}])
        result = subprocess.run([harness.YARDCTL, "--socket", self.path, "wait", "t-1"], capture_output=True,
                                text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (5, "t-1 FAILED: no\n"))
        self.serve(WaitTasks=Error("WaitTimedOut", pending=["t-1"]))
        self.ctl("wait", "t-1", status=6)
        self.ctl("wait", "t-1", "--timeout", "a while", status=2)

    # Pools and the daemon

    def test_pool_verbs(self):
        self.serve(Scale={"wantedWorkers": 6}, SetPool={}, PausePool={}, ResumePool={},
                   RestartPool=[{"replaced": 1, "remaining": 1}, {"replaced": 2, "remaining": 0}])
        self.assertEqual(self.ctl("scale", "p", "-2").stdout, "p: 6 workers wanted\n")
        self.assertEqual(self.sent(), ("Scale", {"pool": "p", "workers": "-2"}))
        self.ctl("scale", "p", "many", status=2)
        self.ctl("set", "p", "task_timeout=1s", "retry.attempts=3", "x==")
        self.assertEqual(self.sent(), ("SetPool", {"pool": "p", "settings": {"task_timeout": "1s",
                                                                             "retry.attempts": "3", "x": "="}}))
        self.ctl("set", "p", "nonsense", status=2)
        self.ctl("pause", "p")
        self.assertEqual(self.sent(), ("PausePool", {"pool": "p"}))
        self.ctl("resume", "p")
        self.assertEqual(self.sent(), ("ResumePool", {"pool": "p"}))
        self.assertEqual(self.ctl("restart", "p", "--rolling").stdout, "1 replaced, 1 to go\n2 replaced, 0 to go\n")
        self.assertEqual(self.sent(), ("RestartPool", {"pool": "p", "rolling": True}))

    def test_reload(self):
        self.serve(Reload={"added": ["a"], "removed": [], "changed": ["b", "c"], "restarted": [], "warnings": ["warning: w"]})
        self.assertEqual(self.ctl("reload").stdout, "added: a\nchanged in place: b, c\nwarning: w\n")
        self.serve(Reload={"added": [], "removed": [], "changed": [], "restarted": [], "warnings": []})
        self.assertEqual(self.ctl("reload").stdout, "no pool has changed\n")
        self.serve(Reload=Error("ConfigInvalid", diagnostics=["x.conf:1: a", "x.conf:2: b"]))
        self.assertIn("nothing has changed:\n  x.conf:1: a\n  x.conf:2: b\n", self.ctl("reload", status=1).stderr)

    def test_drain(self):
        reply = b'{"continues":true,"parameters":{"running":2,"handedBack":1}}\0'
        self.serve(Drain=reply + reply, close_after={"Drain"})
        result = self.ctl("drain", "--deadline", "10s")
        self.assertEqual(result.stdout, "2 tasks running, 1 handed back\n")
        self.assertEqual(self.sent(), ("Drain", {"deadlineUsec": 10_000_000}))

    def test_config(self):
        self.serve(CheckConfig={"valid": True, "diagnostics": []}, DumpConfig={"text": "a = 1;\nb = 2;\n",
                                                                               "settings": []})
        self.assertIn("valid", self.ctl("config", "check").stdout)
        self.assertEqual(self.ctl("config", "dump").stdout, "a = 1;\nb = 2;\n")
        self.serve(CheckConfig={"valid": False, "diagnostics": ["x.conf:1: a"]})
        result = subprocess.run([harness.YARDCTL, "--socket", self.path, "config", "check"], capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("x.conf:1: a\n", result.stdout)

    def test_monitor(self):
        self.serve(Monitor=[{}, {"event": "task_failed", "time": 1_700_000_000_123, "pool": "p", "worker": "p/1",
                                 "taskId": "t-1",
                                 "taskType": "x", "status": "FAILED", "message": "exit 1"}, {"dropped": 3,
                                                                                             "event": "queue_full",
                                                                                             "time": 1}])
        out = self.ctl("monitor", "p", "--types", "task_failed,queue_full").stdout
        self.assertEqual(self.sent(), ("Monitor", {"types": ["task_failed", "queue_full"], "pool": "p"}))
        self.assertIn("22:13:20.123 task_failed       p/1 x t-1 FAILED: exit 1\n", out)
        self.assertIn("3 events were lost", out)

    def test_health(self):
        self.serve(GetHealth={"healthy": True, "findings": []})
        self.assertEqual(self.ctl("health").stdout, "ready\n")
        self.assertEqual(self.sent()[1], {"level": "ready"})
        self.assertEqual(self.ctl("health", "--live").stdout, "live\n")
        self.ctl("health", "--live", "--ready", status=2)
        self.serve(GetHealth={"healthy": False, "findings": [{"object": "pool p", "message": "cannot run",
                                                              "remedy": "fix"}]})
        result = subprocess.run([harness.YARDCTL, "--socket", self.path, "health"], capture_output=True, text=True,
                                check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("pool p: cannot run\n", result.stdout)

    def test_small_verbs(self):
        self.serve(GetMetrics={"text": "# HELP a\na 1\n"}, GetLogLevel={"level": "info"}, SetLogLevel={},
                   Backup=[{"pagesDone": 1, "pagesTotal": 2}, {"pagesDone": 2, "pagesTotal": 2, "sizeBytes": 8192}],
                   **{"org.varlink.service.GetInfo": {"version": "9.9"}})
        self.assertEqual(self.ctl("metrics").stdout, "# HELP a\na 1\n")
        self.assertEqual(self.ctl("log-level").stdout, "info\n")
        self.ctl("log-level", "debug")
        self.assertEqual(self.sent(), ("SetLogLevel", {"level": "debug"}))
        self.assertIn("copy.db: 8.0K\n", self.ctl("backup", "copy.db").stdout)
        self.assertEqual(self.sent()[1], {"path": os.path.join(os.getcwd(), "copy.db")})
        self.assertIn("yardmasterd 9.9", self.ctl("version").stdout)
        self.assertTrue(self.ctl("--version").stdout.startswith("yardctl "))

    def test_call(self):
        self.serve(Anything=[{"a": 1}, {"b": 2}])
        self.assertEqual(self.ctl("call", "Anything", '{"x":1}', "--more").stdout, '{"a": 1}\n{"b": 2}\n')
        self.assertEqual(self.server.calls[-1], {"method": MANAGER + "Anything", "more": True, "parameters": {"x": 1}})
        self.assertIn("does not have", self.ctl("call", "org.example.Nothing", status=1).stderr)
        self.ctl("call", "Anything", "nonsense", status=2)

    def test_complete(self):
        def names(*words):
            return self.ctl("__complete", "--", *words).stdout.split()

        self.serve(ListNames=lambda p: {"names": {"pools": ["thumb", "hash"], "types": ["a b", "thumb"],
                                                  "workers": ["thumb/1"], "sources": ["local"]}[p["kind"]]})
        self.assertEqual(names("s"), ["status", "source", "submit", "scale", "set"])
        self.assertEqual(names("li"), ["list"])
        self.assertEqual(names("list", ""), ["pools", "workers", "tasks", "sources"])
        self.assertEqual(names("task", "re"), ["retry"])
        self.assertEqual(names("pause", ""), ["thumb", "hash"])
        self.assertEqual(names("--json", "pause", "th"), ["thumb"])
        self.assertEqual(names("status", "th"), ["thumb", "thumb/1"])
        self.assertEqual(self.ctl("__complete", "--", "submit", "").stdout, "a b\nthumb\n")
        self.assertEqual(names("list", "tasks", "--source", ""), ["local"])
        self.assertEqual(names("list", "tasks", "--status", "FAILED"), ["FAILED", "FAILED_WITH_TERMINAL_ERROR"])
        self.assertEqual(names("submit", "--from", ""), [":files"])
        self.assertEqual(names("restart", "thumb", "--r"), ["--rolling"])
        self.assertEqual(names("log-level", "in"), ["info"])
        self.assertIn("--no-legend", names("--"))
        self.assertEqual(names("nonsense", ""), [])
        self.serve()
        self.assertEqual(names("pause", ""), [])

    def complete_in(self, shell, line):
        """What the shell makes of a line and a Tab at its end."""
        scripts = os.path.join(harness.SOURCE_ROOT, "packaging", "completions")
        environment = {**os.environ, "YARDMASTER_SOCKET": self.path,
                       "PATH": os.path.dirname(harness.YARDCTL) + ":" + os.environ["PATH"]}
        program = {
            "bash": f"""source {scripts}/yardctl.bash
                COMP_WORDS=({line} '') COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
                _yardctl 2>/dev/null; printf '%s\n' "${{COMPREPLY[@]}}" """,
            "zsh": f"""compadd() {{ local name=$@[-1]; print -rl -- "${{(@P)name}}" }}
                words=({line} ''); CURRENT=${{#words}}
                source {scripts}/_yardctl""",
        }[shell]
        result = subprocess.run([shell, "-c", program], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, "")
        return result.stdout.splitlines()

    def test_shells(self):
        self.serve(ListNames={"names": ["thumb nail", "hash"]})
        for shell in ("bash", "zsh"):
            with self.subTest(shell=shell):
                spaced = {"bash": r"thumb\ nail", "zsh": "thumb nail"}[shell]
                self.assertEqual(self.complete_in(shell, "yardctl pause"), [spaced, "hash"])
                self.assertEqual(self.complete_in(shell, "yardctl task"), ["show", "cancel", "retry", "update",
                                                                           "delete"])

    # The client itself

    def test_unreachable(self):
        error = self.ctl("status", status=3, socket_option=False, environment={
            "YARDMASTER_SOCKET": "", "XDG_RUNTIME_DIR": self.directory.name}).stderr
        self.assertIn(f"{self.directory.name}/yardmaster/control: No such file", error)
        self.assertIn("/control: ", error.split("\n")[2])
        self.assertIn("systemctl start yardmaster", error)
        error = self.ctl("status", status=3, socket_option=False,
                         environment={"YARDMASTER_SOCKET": "/nonexistent/x"}).stderr
        self.assertIn("/nonexistent/x: No such file", error)
        error = self.ctl("status", "--instance", "blue", status=3, socket_option=False,
                         environment={"XDG_RUNTIME_DIR": ""}).stderr
        self.assertIn("/run/yardmaster-blue/control", error)

    def test_finds_the_socket(self):
        folder = os.path.join(self.directory.name, "yardmaster")
        os.mkdir(folder)
        server = Server(os.path.join(folder, "control"), {"GetLogLevel": {"level": "info"}})
        environment = {"YARDMASTER_SOCKET": "", "XDG_RUNTIME_DIR": self.directory.name}
        self.ctl("log-level", socket_option=False, environment=environment)
        environment = {"YARDMASTER_SOCKET": os.path.join(folder, "control")}
        self.ctl("log-level", socket_option=False, environment=environment)
        self.assertEqual(len(server.calls), 2)
        server.close()

    def test_odd_answers(self):
        for answer, status in ((None, 3), (b"nonsense\0", 1), (b"[]\0", 1), (b'{"error":7}\0', 1),
                               (b"x" * (17 << 20) + b"\0", 1)):
            self.serve(GetStatus=answer)
            self.ctl("status", status=status)
        self.serve(GetStatus={})
        self.ctl("status")
        self.serve(GetStatus={"pools": [{}, 1, None], "sources": "x", "unserved": [{}], "state": 5})
        self.ctl("status")

    def test_usage(self):
        for words in ([], ["nonsense"], ["list"], ["task", "dance"], ["scale", "p"], ["pause"], ["pause", "a", "b"],
                      ["status", "--nonsense"], ["--socket"]):
            with self.subTest(words=words):
                result = subprocess.run([harness.YARDCTL, *words], capture_output=True, text=True, check=False)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertTrue(result.stderr.startswith("yardctl: "))
        for words in (["help"], ["--help"], ["-h"], ["help", "submit"], ["task", "show", "--help"], ["help", "list",
                                                                                                     "tasks"]):
            self.assertIn("yardctl", self.ctl(*words, socket_option=False).stdout)

    def test_colours(self):
        self.serve(GetStatus=STATUS)
        for environment, expected in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            _, out = self.on_terminal("status", environment=environment)
            self.assertEqual("\x1b[" in out, expected, out)


if __name__ == "__main__":
    harness.main()
