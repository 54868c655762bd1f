# SPDX-License-Identifier: Apache-2.0
"""Workers that crash, vanish, leak, hang and leave children; and what the log and the hook say of it."""

import json
import os
import signal
import unittest

import harness

WORKER = """#!/usr/bin/env python3
import json, os, socket, subprocess, sys, time
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
if "late" in sys.argv:
    time.sleep(0.3)
    notify("READY=1\\nSTATUS=warmed up")
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "task":
        continue
    task, given = message["task"], message["task"]["inputData"]
    def send(kind, **members):
        print(json.dumps({"type": kind, "taskId": task["taskId"], **members}), flush=True)
    if given.get("do") == "crash":
        os.kill(os.getpid(), 9)
    if given.get("do") == "silent":
        time.sleep(1000)
    if given.get("do") == "beat":
        for _ in range(25):
            time.sleep(0.1)
            notify("WATCHDOG=1")
    if given.get("do") == "progress":
        for percent in (10, 50, 90):
            send("progress", percent=percent, stage="work", message="at it")
        while not os.path.exists(given["gate"]):
            time.sleep(0.005)
    if given.get("do") == "leak":
        leaked = bytearray(given["bytes"])
        while not given.get("answer"):
            time.sleep(1)
    if given.get("do") == "escape":
        pid = subprocess.Popen(["setsid", "sleep", "1000"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
        send("result", status="COMPLETED", output={"pid": pid})
        continue
    send("result", status="FAILED" if given.get("do") == "fail" else "COMPLETED", output={"pid": os.getpid()},
         reason=given.get("reason", "asked to"))
"""

PER_TASK = """#!/bin/sh
cat >/dev/null
setsid sleep 1000 >/dev/null 2>&1 &
printf '{"status":"COMPLETED","output":{"pid":%s}}' "$!"
"""

CONFIG = """
{head}
sources: {{ local: {{ type = "queue"; }}; }};
pools: {{
  work: {{ source = "local"; handler = {{ command = ["@DIR@/worker.py"{argument}]; mode = "persistent"; {handler} }};
          stop_timeout = "200ms"; retry = {{ attempts = 1; }};
          restart = {{ backoff = "20ms"; backoff_max = "200ms"; }}; {keys} }};
  other: {{ source = "local"; handler = {{ command = ["@DIR@/worker.py"]; mode = "persistent"; }}; }};
  shell: {{ source = "local"; handler = {{ command = ["@DIR@/shell.sh"]; }}; }};
}};
"""


class Supervision(unittest.TestCase):
    def daemon(self, keys="", argument="", handler="", head=""):
        daemon = harness.Daemon()
        daemon.script("worker.py", WORKER)
        daemon.script("shell.sh", PER_TASK)
        daemon.write_config(CONFIG.format(keys=keys, argument=argument, handler=handler, head=head))
        return daemon

    def pid(self, daemon):
        return daemon.workers("work")[0]["pid"]

    def test_crashed_worker_is_replaced(self):
        with self.daemon() as daemon:
            before = self.pid(daemon)
            task = daemon.run_task("work", {"do": "crash"})
            self.assertIn("signal: killed", task["reason"])
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertNotEqual(self.pid(daemon), before)
            worker = daemon.workers("work")[0]
            self.assertEqual(worker["restarts"], 1)
            self.assertIn("SIGKILL", worker["lastExit"])

    def test_crash_loop_slows_down_and_stalls_nobody(self):
        with self.daemon(argument=', "x"') as daemon:
            daemon.run_task("other")  # has read its script, which is about to change
            daemon.script("worker2.py", "#!/bin/sh\nexit 1\n")
            os.replace(daemon.path("worker2.py"), daemon.path("worker.py"))
            os.kill(self.pid(daemon), signal.SIGKILL)
            harness.eventually(lambda: daemon.workers("work")[0]["restarts"] >= 3, "some restarts")
            self.assertIn(daemon.pool("work")["state"], ("degraded", "failed"))
            self.assertEqual(daemon.run_task("other")["status"], "COMPLETED")
            daemon.script("worker3.py", WORKER)
            os.replace(daemon.path("worker3.py"), daemon.path("worker.py"))
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_vanished_program_fails_the_pool_not_the_tasks(self):
        with self.daemon() as daemon:
            os.rename(daemon.path("shell.sh"), daemon.path("hidden.sh"))
            task_id = daemon.submit("shell")
            harness.eventually(lambda: daemon.pool("shell")["state"] == "failed", "the pool has failed")
            error = daemon.pool("shell")["lastError"]
            self.assertIn("shell.sh", error["message"])
            self.assertTrue(error["remedy"])
            self.assertEqual(daemon.task(task_id)["status"], "SCHEDULED")
            daemon.ctl("health", "--ready", status=1)
            os.rename(daemon.path("hidden.sh"), daemon.path("shell.sh"))
            task = daemon.wait_task(task_id)
            self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 1))
            harness.eventually(lambda: daemon.pool("shell")["state"] == "running", "the pool has recovered")

    def test_ready_is_waited_for_only_where_it_is_asked_for(self):
        with self.daemon(handler="notify = true;", argument=', "late"') as daemon:
            self.assertEqual(daemon.workers("work")[0]["statusText"], "warmed up")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_watchdog_replaces_a_silent_worker_and_says_what_it_was_doing(self):
        with self.daemon('watchdog = "2s";') as daemon:
            self.assertEqual(daemon.run_task("work", {"do": "beat"})["status"], "COMPLETED")
            before = self.pid(daemon)
            task = daemon.run_task("work", {"do": "silent"})
            self.assertEqual(task["status"], "FAILED")
            self.assertIn("2s", task["reason"])
            self.assertIn(task["taskId"], daemon.workers("work")[0]["lastExit"])
            self.assertIn("raise watchdog", daemon.pool("work")["lastError"]["remedy"])
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertFalse(harness.is_alive(before))

    def test_idle_worker_needs_no_heartbeat(self):
        with self.daemon('watchdog = "100ms";') as daemon:
            before = self.pid(daemon)
            daemon.wait_task(daemon.submit("other", delayMsec=400))
            self.assertEqual(self.pid(daemon), before)

    def test_progress_is_seen(self):
        with self.daemon() as daemon:
            gate = daemon.path("gate")
            task_id = daemon.submit("work", {"do": "progress", "gate": gate})
            progress = harness.eventually(lambda: daemon.task(task_id).get("progress", {}).get("percent") == 90,
                                          "the last progress is kept")
            self.assertTrue(progress)
            hand = daemon.workers("work")[0]["tasks"][0]
            self.assertEqual((hand["taskId"], hand["progress"]["stage"]), (task_id, "work"))
            open(gate, "w", encoding="utf-8").close()
            daemon.wait_task(task_id)

    def test_recycling_after_tasks_happens_between_them(self):
        with self.daemon("recycle = { tasks = 5; };") as daemon:
            pids = [daemon.run_task("work")["output"]["pid"] for _ in range(15)]
            self.assertGreaterEqual(len(set(pids)), 2)
            self.assertEqual(daemon.pool("work")["failed"], 0)
            self.assertEqual(daemon.pool("work")["crashes"], 0)

    def test_recycling_after_memory(self):
        with self.daemon('recycle = { memory = "60M"; };') as daemon:
            before = self.pid(daemon)
            daemon.run_task("work", {"do": "leak", "bytes": 100_000_000, "answer": True})
            daemon.run_task("work")
            # The allocation is given back by Python; what counts is that nothing was killed under a task.
            self.assertEqual(daemon.pool("work")["failed"], 0)
            self.assertTrue(before)

    def test_memory_limit_ends_the_worker(self):
        with self.daemon('limits = { memory = "80M"; };') as daemon:
            task = daemon.run_task("work", {"do": "leak", "bytes": 200_000_000})
            self.assertEqual(task["status"], "FAILED")
            self.assertIn("limits.memory", task["reason"])
            self.assertIn("limits.memory", daemon.pool("work")["lastError"]["remedy"])
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_escaped_children_are_found(self):
        with self.daemon() as daemon:
            escaped = daemon.run_task("shell")["output"]["pid"]
            harness.eventually(lambda: not harness.is_alive(escaped), "a command's child in a session of its own")
            escaped = daemon.run_task("work", {"do": "escape"})["output"]["pid"]
            os.kill(self.pid(daemon), signal.SIGKILL)
            harness.eventually(lambda: not harness.is_alive(escaped), "a worker's child in a session of its own")

    def test_left_over_children_are_killed_at_the_next_start(self):
        daemon = self.daemon()
        with daemon:
            escaped = daemon.run_task("work", {"do": "escape"})["output"]["pid"]
            daemon.kill()
            self.assertTrue(harness.is_alive(escaped))
            daemon.start()
            harness.eventually(lambda: not harness.is_alive(escaped), "the predecessor's child")

    def test_error_backoff_stops_fetching_for_a_while(self):
        keys = 'error_backoff = { after = 2; delay = "300ms"; max = "300ms"; };'
        with self.daemon(keys) as daemon:
            daemon.run_task("work", {"do": "fail"})
            daemon.run_task("work", {"do": "fail"})
            self.assertEqual(daemon.pool("work")["state"], "backoff")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")
            self.assertEqual(daemon.pool("work")["state"], "running")

    def test_rate(self):
        with self.daemon('rate = "5/s";') as daemon:
            ids = [daemon.submit("work") for _ in range(10)]
            first = daemon.task(ids[0])["scheduledTime"]
            last = daemon.wait_task(*ids)["endTime"]
            self.assertGreater(last - first, 700)

    def test_one_line_for_each_task_end(self):
        with self.daemon() as daemon:
            task = daemon.run_task("work")
            line = daemon.log.wait_for(task["taskId"] + ".*COMPLETED|COMPLETED.*" + task["taskId"])
            for word in ("work", "work/1", "COMPLETED"):
                self.assertIn(word, line)

    def test_event_hook(self):
        head = 'on_event = { command = ["@DIR@/hook.sh"]; events = ["task_failed", "worker_crashed"]; };'
        daemon = self.daemon(head=head)
        daemon.script("hook.sh", '#!/bin/sh\ncat >> "$(dirname "$0")/events"\necho >> "$(dirname "$0")/events"\n')
        with daemon:
            failed = daemon.run_task("work", {"do": "fail", "reason": "no luck"})["taskId"]
            daemon.run_task("work", {"do": "crash"})

            def events():
                try:
                    with open(daemon.path("events"), encoding="utf-8") as file:
                        found = [json.loads(line) for line in file if line.strip()]
                except (FileNotFoundError, ValueError):
                    return None
                return found if len(found) >= 3 else None
            found = harness.eventually(events, "three events")
            self.assertEqual({event["event"] for event in found}, {"task_failed", "worker_crashed"})
            mine = next(event for event in found if event.get("taskId") == failed)
            self.assertEqual(mine["pool"], "work")
            self.assertIn("no luck", mine["message"])

    def test_handler_sees_nothing_of_the_daemons_systemd_variables(self):
        daemon = self.daemon()
        daemon.script("shell.sh", "#!/bin/sh\ncat >/dev/null\nenv >&2\necho '{\"status\":\"COMPLETED\"}'\n")
        daemon.environment.update(INVOCATION_ID="x1", LISTEN_FDS="0", MY_OWN="kept")
        with daemon:
            daemon.run_task("shell")
            daemon.log.wait_for("MY_OWN=kept")
            self.assertNotIn("INVOCATION_ID=x1", daemon.log.text())
            self.assertNotIn(daemon.notify.path, daemon.log.text())


if __name__ == "__main__":
    harness.main()
