# SPDX-License-Identifier: Apache-2.0
"""The methods of the control interface against a real daemon, and what a reload makes of sources and pools."""

import os
import re
import signal
import subprocess
import time
import unittest

import harness

WORKER = """#!/usr/bin/env python3
# Answers at once, or when the gate that its input names exists; fails where it is told to.
import json, os, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    task, given = message["task"], message["task"]["inputData"]
    while given.get("gate") and not os.path.exists(given["gate"]):
        time.sleep(0.005)
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": given.get("status", "COMPLETED"),
                      "output": {"pid": os.getpid(), "arguments": sys.argv[1:]}, "reason": "as told"}), flush=True)
"""

HEAD = 'sources: { local: { type = "queue"; }; };\n'


def pool(name, keys="", argument="", source="local"):
    return (f' {name}: {{ source = "{source}"; handler = {{ command = ["@DIR@/worker.py"{argument}]; '
            f'mode = "persistent"; }}; stop_timeout = "1s"; retry = {{ attempts = 2; backoff = "1ms"; }}; {keys} }};\n')


def config(*pools, head=HEAD):
    return head + "pools: {\n" + "".join(pools) + "};\n"


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.daemon.script("worker.py", WORKER)
        self.addCleanup(self.daemon.remove)

    def start(self, *pools, head=HEAD):
        self.daemon.write_config(config(*pools, head=head))
        daemon = self.daemon.start()
        self.addCleanup(lambda: self.assertIn(daemon.stop(), (0, None)))
        return daemon

    def error(self, name, method, parameters=None):
        with self.assertRaises(harness.VarlinkError) as caught:
            self.daemon.call(method, parameters)
        self.assertEqual(caught.exception.name.rsplit(".", 1)[1], name)
        return caught.exception.parameters

    def gate(self):
        return self.daemon.path("gate")

    def open_gate(self):
        with open(self.gate(), "w", encoding="utf-8"):
            pass


class Methods(Case):
    def test_monitor(self):
        daemon = self.start(pool("work"), pool("other"))
        self.error("InvalidParameter", "PausePool", {})
        with daemon.varlink() as client, daemon.varlink() as mine:
            everything = client.stream("Monitor")
            self.assertEqual(next(everything), {})
            failed = mine.stream("Monitor", {"types": ["task_failed"], "pool": "work"})
            self.assertEqual(next(failed), {})
            other = daemon.run_task("other", {"status": "FAILED"})["taskId"]
            task_id = daemon.run_task("work", {"status": "FAILED"})["taskId"]
            event = next(failed)
            self.assertEqual((event["event"], event["taskId"], event["pool"], event["worker"], event["message"]),
                             ("task_failed", task_id, "work", "work/1", "as told"))
            seen = []
            while ("task_failed", task_id) not in seen:
                event = next(everything)
                seen.append((event["event"], event["taskId"]))
            steps = ["task_started", "task_retried", "task_started", "task_failed"]
            self.assertEqual([name for name, of in seen if of == task_id], steps)
            self.assertEqual([name for name, of in seen if of == other], steps)
        with daemon.varlink() as client:
            with self.assertRaises(harness.VarlinkError) as caught:
                next(client.stream("Monitor", {"types": ["task_exploded"]}))
            self.assertEqual(caught.exception.parameters, {"parameter": "types"})

    def test_canceled_tasks_are_told_of(self):
        daemon = self.start(pool("work"))
        with daemon.varlink() as client:
            events = client.stream("Monitor", {"types": ["task_canceled"]})
            next(events)
            task_id = daemon.submit("work", delayMsec=3_600_000)
            daemon.call("CancelTasks", {"filter": {"ids": [task_id]}})
            event = next(events)
            self.assertEqual((event["taskId"], event["status"], event["pool"]), (task_id, "CANCELED", "work"))

    def test_health_names_what_is_wrong_and_what_to_do(self):
        daemon = self.start(pool("work"))
        self.assertEqual(daemon.call("GetHealth"), {"healthy": True, "findings": []})
        daemon.call("Submit", {"task": {"type": "nobody"}, "force": True})
        health = daemon.call("GetHealth", {"level": "ready"})
        self.assertFalse(health["healthy"])
        self.assertEqual(health["findings"][0]["object"], "type nobody")
        self.assertIn("pool", health["findings"][0]["remedy"])
        self.assertEqual([unserved["type"] for unserved in daemon.call("GetStatus")["unserved"]], ["nobody"])
        self.assertTrue(daemon.call("GetHealth", {"level": "live"})["healthy"])
        self.assertEqual(self.error("InvalidParameter", "GetHealth", {"level": "well"}), {"parameter": "level"})

    def test_metrics(self):
        daemon = self.start(pool("work"))
        daemon.run_task("work")
        daemon.run_task("work", {"status": "FAILED"})
        text = daemon.call("GetMetrics")["text"]
        self.assertTrue(text.endswith("\n"))
        samples, described = {}, set()
        for line in text.splitlines():
            if line.startswith("#"):
                described.add(line.split()[2])
                continue
            name, labels, value = re.fullmatch(r'([a-z_0-9]+)(?:\{(\w+="[^"]*"(?:,\w+="[^"]*")*)\})? (-?[0-9.e+-]+)', line).groups()
            self.assertIn(name, described)
            samples[name, labels] = float(value)
        label = 'pool="work"'
        self.assertEqual(samples["yardmaster_pool_tasks_processed_total", label], 3)
        self.assertEqual(samples["yardmaster_pool_tasks_completed_total", label], 1)
        self.assertEqual(samples["yardmaster_pool_tasks_failed_total", label], 2)
        self.assertEqual(samples["yardmaster_pool_tasks_retried_total", label], 1)
        self.assertEqual(samples["yardmaster_pool_up", label], 1)
        self.assertEqual(samples["yardmaster_pool_worker_exits_total", label + ',cause="crashed"'], 0)
        self.assertEqual(samples["yardmaster_source_submitted_total", 'source="local"'], 2)
        self.assertGreater(samples["yardmaster_memory_bytes", None], 1_000_000)

    def test_pool_figures(self):
        daemon = self.start(pool("work"))
        daemon.run_task("work")
        daemon.run_task("work", {"status": "FAILED_WITH_TERMINAL_ERROR"})
        figures = daemon.pool("work")
        self.assertEqual((figures["processed"], figures["completed"], figures["failed"], figures["retried"]), (2, 1, 1, 0))
        self.assertEqual(figures["errorRate"], 0.5)
        self.assertGreater(figures["runP99Usec"], 0)
        self.assertIn("as told", figures["lastError"]["message"])
        self.assertTrue(figures["fetching"])
        daemon.call("PausePool", {"pool": "work"})
        daemon.submit("work")
        daemon.submit("work", delayMsec=3_600_000)
        figures = harness.eventually(lambda: daemon.pool("work")["queued"] == 1 and daemon.pool("work"), "one waits")
        self.assertEqual((figures["state"], figures["paused"], figures["fetching"], figures["delayed"]),
                         ("paused", True, False, 1))

    def test_submit_many_answers_for_each(self):
        daemon = self.start(pool("work"))
        results = daemon.call("SubmitMany", {"tasks": [
            {"type": "work", "unique": "k", "delayMsec": 3_600_000},
            {"type": "work", "unique": "k"},
            {"type": "work", "unique": "k", "conflict": "return_existing"},
            {"type": "wrok"},
            {"type": "work", "priority": 1000},
            {"type": "work", "colour": "red"},
            {"type": "work", "source": "elsewhere"},
            {"type": "work", "input": {"n": 1}},
        ]})["results"]
        self.assertEqual([result.get("error") for result in results],
                         [None, "DuplicateTask", None, "TypeNotServed", "InvalidTask", "InvalidTask", "NoSuchSource", None])
        self.assertEqual(results[1]["taskId"], results[0]["taskId"])
        self.assertEqual((results[2]["taskId"], results[2]["existing"]), (results[0]["taskId"], True))
        self.assertIn('did you mean "work"', results[3]["message"])
        self.assertIn("colour", results[5]["message"])
        self.assertEqual(daemon.wait_task(results[7]["taskId"])["inputData"], {"n": 1})
        self.assertEqual(daemon.call("SubmitMany", {"tasks": []}), {"results": []})
        self.error("Refused", "SubmitMany", {"tasks": [{"type": "work"}] * 10_001})

    def test_submit_says_why_not(self):
        daemon = self.start(pool("work"))
        first = daemon.submit("work", unique="k", delayMsec=3_600_000)
        self.assertEqual(self.error("DuplicateTask", "Submit", {"task": {"type": "work", "unique": "k"}}),
                         {"taskId": first, "unique": "k"})
        self.assertEqual(self.error("TypeNotServed", "Submit", {"task": {"type": "wrok"}}),
                         {"type": "wrok", "suggestion": "work"})
        self.assertIn("priority", self.error("InvalidTask", "Submit", {"task": {"type": "work", "priority": 101}})["message"])
        self.assertEqual(self.error("NoSuchSource", "Submit", {"task": {"type": "work", "source": "x"}}), {"source": "x"})

    def test_lists_come_in_pages(self):
        two = 'sources: { local: { type = "queue"; }; more: { type = "queue"; }; };\n'
        daemon = self.start(pool("work"), pool("other", source="more"), head=two)
        daemon.run_task("other")
        daemon.call("PausePool", {"pool": "work"})
        daemon.call("SubmitMany", {"tasks": [{"type": "work"}] * 2500})
        with daemon.varlink() as client:
            self.assertEqual(sum(len(reply["tasks"]) for reply in client.stream("ListTasks")), 2501)
            pages = [reply["tasks"] for reply in client.stream("ListTasks", {"filter": {"type": "w*"}})]
            self.assertEqual([len(page) for page in pages if page], [1000, 1000, 500])
            ids = [task["taskId"] for page in pages for task in page]
            self.assertEqual(ids, sorted(set(ids)))
            self.assertEqual({task["source"] for task in pages[0]}, {"local"})
            limited = [len(reply["tasks"]) for reply in client.stream("ListTasks", {"limit": 1200})]
            self.assertEqual(sum(limited), 1200)
        self.assertEqual(len(daemon.call("ListTasks")["tasks"]), 1000)
        completed = daemon.call("ListTasks", {"filter": {"status": ["COMPLETED"]}})["tasks"]
        self.assertEqual([task["taskType"] for task in completed], ["other"])
        self.assertNotIn("inputData", completed[0])
        self.assertEqual(daemon.call("CancelTasks", {"filter": {"type": "work"}, "dryRun": True}), {"count": 2500})
        self.assertEqual(daemon.call("CancelTasks", {"filter": {"type": "work"}}), {"count": 2500})

    def test_wait(self):
        daemon = self.start(pool("work", "workers = 2;"))
        quick, slow = daemon.submit("work"), daemon.submit("work", {"gate": self.gate()})
        self.assertEqual(self.error("WaitTimedOut", "WaitTasks", {"ids": [quick, slow], "timeoutUsec": 300_000}),
                         {"pending": [slow]})
        with daemon.varlink() as client:
            replies = client.stream("WaitTasks", {"ids": [slow, quick]})
            self.assertEqual([task["taskId"] for task in next(replies)["tasks"]], [quick])
            self.open_gate()
            self.assertEqual([task["taskId"] for task in next(replies)["tasks"]], [slow])
            self.assertEqual(next(replies)["tasks"], [])
        done = daemon.call("WaitTasks", {"ids": [slow, quick, slow], "timeoutUsec": 0})["tasks"]
        self.assertEqual([task["taskId"] for task in done], [slow, quick, slow])
        self.assertNotIn("output", done[0])
        unknown = quick[:-1] + ("0" if quick[-1] != "0" else "1")
        self.assertEqual(self.error("NoSuchTask", "WaitTasks", {"ids": [quick, unknown]}), {"taskId": unknown})
        self.assertEqual(self.error("NoSuchTask", "WaitTasks", {"ids": ["x"]}), {"taskId": "x"})

    def test_changes_by_id(self):
        daemon = self.start(pool("work"))
        ended = daemon.run_task("work")["taskId"]
        waiting = daemon.submit("work", delayMsec=3_600_000)
        unknown = waiting[:-1] + ("0" if waiting[-1] != "0" else "1")
        self.assertEqual(daemon.call("CancelTasks", {"filter": {"ids": [ended, waiting, unknown]}}), {"count": 1})
        self.assertEqual(self.error("NoSuchTask", "CancelTasks", {"filter": {"ids": [unknown]}}), {"taskId": unknown})
        self.assertTrue(self.error("Refused", "CancelTasks", {"filter": {"ids": [ended]}})["message"])
        self.error("Refused", "UpdateTasks", {"filter": {"ids": [waiting]}, "status": "SCHEDULED"})

    def test_rolling_restart_tells_its_progress(self):
        daemon = self.start(pool("work", "workers = 3;"))
        before = {worker["name"]: worker["pid"] for worker in daemon.workers("work")}
        with daemon.varlink() as client:
            replies = list(client.stream("RestartPool", {"pool": "work", "rolling": True}))
        self.assertEqual([reply["remaining"] for reply in replies], [2, 1, 0])
        self.assertEqual(replies[-1]["replaced"], 3)
        after = {worker["name"]: worker["pid"] for worker in daemon.workers("work")}
        self.assertEqual(set(before), set(after))
        for name, pid in before.items():
            self.assertNotEqual(pid, after[name])
        self.assertEqual(self.error("NoSuchPool", "RestartPool", {"pool": "wrok"}), {"pool": "wrok", "suggestion": "work"})

    def test_drain_by_method(self):
        daemon = self.start(pool("work"))
        running = daemon.submit("work", {"gate": self.gate()})
        harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "the task runs")
        waiting = daemon.submit("work")
        with daemon.varlink() as client:
            replies = client.stream("Drain", {"deadlineUsec": 60_000_000})
            self.assertEqual(next(replies)["running"], 1)
            self.error("Refused", "Reload")
            self.open_gate()
            self.assertEqual(list(replies)[-1], {"running": 0, "handedBack": 0})
        self.assertEqual(daemon.wait(), 0)
        daemon.start()
        self.assertEqual(daemon.task(running)["status"], "COMPLETED")
        self.assertEqual(daemon.wait_task(waiting)["attempts"], 1)

    def test_log_level_stays_over_a_reload(self):
        daemon = self.start(pool("work"))
        self.assertEqual(daemon.call("GetLogLevel"), {"level": "debug"})
        daemon.call("SetLogLevel", {"level": "warning"})
        daemon.call("Reload")
        self.assertEqual(daemon.call("GetLogLevel"), {"level": "warning"})
        self.assertIn("debug", self.error("Refused", "SetLogLevel", {"level": "loud"})["message"])

    def test_names(self):
        daemon = self.start(pool("work", 'task_type = ["a", "b"];'), pool("other"))
        for kind, names in (("pools", ["work", "other"]), ("types", ["a", "b", "other"]), ("sources", ["local"]),
                            ("workers", ["work/1", "other/1"])):
            self.assertEqual(daemon.call("ListNames", {"kind": kind}), {"names": names})
        self.assertEqual(self.error("InvalidParameter", "ListNames", {"kind": "colours"}), {"parameter": "kind"})
        self.assertEqual(len(daemon.call("ListWorkers", {"name": "work/1"})["workers"]), 1)
        self.assertEqual(self.error("NoSuchWorker", "ListWorkers", {"name": "work/9"}), {"worker": "work/9"})


class Reload(Case):
    def test_what_set_scale_and_pause_changed_stays(self):
        daemon = self.start(pool("work"), pool("other"))
        daemon.call("Scale", {"pool": "work", "workers": "3"})
        daemon.call("SetPool", {"pool": "work", "settings": {"retry.attempts": "1"}})
        daemon.call("PausePool", {"pool": "other"})
        daemon.write_config(config(pool("work", 'task_timeout = "9s";'), pool("other", 'task_timeout = "9s";')))
        self.assertEqual(sorted(daemon.call("Reload")["changed"]), ["other", "work"])
        self.assertEqual(daemon.pool("work")["wantedWorkers"], 3)
        self.assertTrue(daemon.pool("other")["paused"])
        self.assertEqual(daemon.run_task("work", {"status": "FAILED"})["attempts"], 1)
        self.assertIn("workers", self.error("Refused", "Scale", {"pool": "work", "workers": "-4"})["message"])

    def test_sources_come_and_go(self):
        daemon = self.start(pool("work"))
        kept = daemon.submit("work", delayMsec=3_600_000)
        two = 'sources: { local: { type = "queue"; }; more: { type = "queue"; }; };\n'
        daemon.write_config(config(pool("work"), pool("extra", source="more"), head=two))
        self.assertEqual(daemon.call("Reload")["added"], ["extra"])
        task = daemon.run_task("extra")
        self.assertEqual((task["source"], task["status"]), ("more", "COMPLETED"))
        self.assertEqual(daemon.task(kept)["source"], "local")
        self.assertEqual({task["source"] for task in daemon.call("ListTasks")["tasks"]}, {"local", "more"})
        self.assertEqual(daemon.call("CancelTasks", {"filter": {"ids": [kept]}}), {"count": 1})
        # The pool moves to the other queue; nothing is left of the first one.
        daemon.write_config(config(pool("work", source="more"), head='sources: { more: { type = "queue"; }; };\n'))
        result = daemon.call("Reload")
        self.assertEqual((result["removed"], result["restarted"]), (["extra"], ["work"]))
        harness.eventually(lambda: [source["name"] for source in daemon.call("ListSources")["sources"]] == ["more"],
                           "the first queue is closed")
        self.assertEqual(daemon.run_task("work")["source"], "more")
        self.error("NoSuchTask", "GetTask", {"taskId": kept})

    def test_other_types_wait_for_the_tasks_in_hand(self):
        daemon = self.start(pool("work"))
        running = daemon.submit("work", {"gate": self.gate()})
        harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "the task runs")
        daemon.write_config(config(pool("work", 'task_type = ["work", "play"];')))
        self.assertEqual(daemon.call("Reload")["restarted"], ["work"])
        # The old pool is still seen, and the new one waits for it: their workers have the same names.
        self.assertEqual([(pool_["name"], pool_["state"], pool_["tasksInHand"], pool_["taskTypes"])
                          for pool_ in daemon.call("ListPools")["pools"]], [("work", "draining", 1, ["work"])])
        self.assertEqual([worker["name"] for worker in daemon.workers("work")], ["work/1"])
        self.open_gate()
        task = daemon.wait_task(running)
        self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))
        play = daemon.call("Submit", {"task": {"type": "play"}, "force": True})["taskId"]
        self.assertEqual(daemon.wait_task(play)["status"], "COMPLETED")

    def test_what_needs_a_restart_is_refused_and_nothing_changes(self):
        daemon = self.start(pool("work"))
        with open(daemon.config_path, encoding="utf-8") as file:
            text = file.read()
        with open(daemon.config_path, "w", encoding="utf-8") as file:
            file.write(text.replace(daemon.path("state"), daemon.path("elsewhere")).replace("work:", "renamed:"))
        with daemon.varlink() as client:
            events = client.stream("Monitor", {"types": ["config_rejected", "config_reloaded"]})
            next(events)
            self.assertIn("state_dir", self.error("Refused", "Reload")["message"])
            self.assertEqual(next(events)["event"], "config_rejected")
            self.assertIn("state_dir", daemon.call("GetStatus")["configProblem"])
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            with open(daemon.config_path, "w", encoding="utf-8") as file:
                file.write(text)
            daemon.call("Reload")
            self.assertEqual(next(events)["event"], "config_reloaded")

    def test_a_broken_queue_refuses_the_reload(self):
        daemon = self.start(pool("work"))
        with open(daemon.path("state", "queue-bad.db"), "w", encoding="utf-8") as file:
            file.write("no database " * 1000)
        two = 'sources: { local: { type = "queue"; }; bad: { type = "queue"; }; };\n'
        daemon.write_config(config(pool("work", argument=', "new"'), pool("extra", source="bad"), head=two))
        self.assertIn("queue-bad.db", self.error("Refused", "Reload")["message"])
        self.assertEqual([pool_["name"] for pool_ in daemon.call("ListPools")["pools"]], ["work"])
        self.assertEqual(daemon.run_task("work")["output"]["arguments"], [])


class Signals(Case):
    def test_a_third_signal_kills(self):
        self.daemon.script("worker.py", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1000; done\n")
        daemon = self.start(pool("work", 'stop_timeout = "1h";').replace('stop_timeout = "1s"; ', ""))
        running = daemon.submit("work")
        harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "the task runs")
        pid = daemon.workers("work")[0]["pid"]
        for line in ("draining: 1 task in hand", "stopping what still runs", "killing what still runs"):
            daemon.signal(signal.SIGTERM)
            daemon.log.wait_for(line)
        self.assertEqual(daemon.wait(), 0)
        self.assertFalse(harness.is_alive(pid))
        self.daemon.script("worker.py", WORKER)
        daemon.start()
        task = daemon.wait_task(running)
        self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))

    def test_systemd_is_asked_to_wait_while_it_drains(self):
        daemon = self.start(pool("work"))
        daemon.submit("work", {"gate": self.gate()})
        harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "the task runs")
        daemon.signal(signal.SIGINT)
        daemon.notify.wait_for("STOPPING=1")
        for _ in range(2):
            self.assertGreater(int(daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=").split("=")[1]), 1_000_000)
        self.open_gate()
        self.assertEqual(daemon.wait(), 0)

    def test_a_rejected_hangup_ends_the_reload_and_says_so(self):
        daemon = self.start(pool("work"))
        daemon.write_config(config(pool("work", "wrokers = 3;")))
        daemon.signal(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING=1")
        # Who waits for the end of the reload finds the status.
        seen = []
        while "READY=1" not in seen:
            seen.append(daemon.notify.socket.recv(65536).decode())
        self.assertIn("reload refused", "".join(message for message in seen if message.startswith("STATUS=")))
        self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")


class Hook(Case):
    def test_a_slow_hook_delays_no_task_and_drops_are_counted(self):
        self.daemon.script("hook.sh", "#!/bin/sh\nexec sleep 1000\n")
        head = HEAD + 'on_event = { command = ["@DIR@/hook.sh"]; events = ["task_started"]; };\n'
        daemon = self.start(pool("work"), head=head)
        results = daemon.call("SubmitMany", {"tasks": [{"type": "work"}] * 300})["results"]
        daemon.wait_task(*[result["taskId"] for result in results])
        # One is run, 256 wait.
        self.assertEqual(daemon.call("GetStatus")["eventsDropped"], 300 - 257)
        daemon.log.wait_for("on_event command .* ran longer than 10s: killed")
        daemon.log.wait_for("on_event command .* ended with signal 9")
        start = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - start, 8)

    def test_a_hook_that_cannot_run_hurts_nothing(self):
        self.daemon.script("hook.sh", "#!/bin/sh\nexit 1\n")
        head = HEAD + 'on_event = { command = ["@DIR@/hook.sh"]; };\n'
        daemon = self.start(pool("work"), head=head)
        daemon.log.wait_for("on_event command .* ended with exit code 1")
        os.unlink(daemon.path("hook.sh"))
        daemon.run_task("work", {"status": "FAILED"})
        daemon.log.wait_for("cannot run on_event command")
        self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")


class RunOnce(Case):
    def run_once(self, *arguments, status=0, **options):
        result = subprocess.run([harness.YARDMASTERD, "run", "try", "--once", *arguments], capture_output=True, text=True,
                                timeout=harness.TIMEOUT, cwd=self.daemon.directory, check=False, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def test_input(self):
        self.daemon.script("echo.sh", "#!/usr/bin/env python3\nimport json, sys\n"
                                      'print(json.dumps({"status": "COMPLETED", "output": json.load(sys.stdin)["inputData"]}))\n')
        self.daemon.write("input.json", ' {"from": "a file"}\n')
        self.assertEqual(self.run_once("--input", "@input.json", "--", "./echo.sh").stdout, '{"from": "a file"}\n')
        self.assertEqual(self.run_once("--input", "-", "--", "./echo.sh", input='{"n": 1}').stdout, '{"n": 1}\n')
        self.assertEqual(self.run_once("--", "./echo.sh").stdout, "{}\n")
        self.assertIn("byte 5", self.run_once("--input", '{"a":}', "--", "./echo.sh", status=2).stderr)
        self.assertIn("object", self.run_once("--input", "[1]", "--", "./echo.sh", status=2).stderr)
        self.assertIn("nothing.json", self.run_once("--input", "@nothing.json", "--", "./echo.sh", status=2).stderr)

    def test_outcome(self):
        self.daemon.script("fail.sh", '#!/bin/sh\necho trouble >&2\n'
                                      'echo \'{"status":"FAILED","output":{"x":1},"reason":"no luck","logs":["one"]}\'\n')
        result = self.run_once("--", "./fail.sh", status=5)
        self.assertEqual(result.stdout, '{"x":1}\n')
        for word in ("FAILED", "no luck", "log: one", "trouble"):
            self.assertIn(word, result.stderr)
        result = self.run_once("--json", "--", "./fail.sh", status=5)
        self.assertRegex(result.stdout, r'^\{"status":"FAILED","output":\{"x":1\},"reason":"no luck.*"logs":\[.*one.*\]\}\n$')

    def test_hang_and_nonsense(self):
        self.assertIn("timed out after 200ms", self.run_once("--task-timeout", "200ms", "--", "sleep", "1000", status=5).stderr)
        self.assertIn("no-such-program", self.run_once("--", "no-such-program", status=2).stderr)
        self.daemon.write("broken.so", "no shared object")
        self.assertIn("broken.so", self.run_once("--", "./broken.so", status=2).stderr)
        for arguments in (["run"], ["run", "try", "--", "true"], ["run", "try", "--once"], ["walk"], ["--once"],
                          ["--mode", "fast", "run", "try", "--once", "--", "true"], ["--colour"]):
            result = subprocess.run([harness.YARDMASTERD, *arguments], capture_output=True, text=True,
                                    timeout=harness.TIMEOUT, check=False)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr)

    def test_nothing_is_left(self):
        def folders():
            return {name for name in os.listdir("/tmp") if name.startswith("yardmaster-run-")}
        before = folders()
        self.run_once("--", "./worker.py", "--mode", status=5)
        self.run_once("--mode", "persistent", "--", "./worker.py")
        self.assertEqual(folders() - before, set())


if __name__ == "__main__":
    harness.main()
