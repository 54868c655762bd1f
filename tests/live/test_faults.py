# SPDX-License-Identifier: Apache-2.0
"""A machine that is short of everything, and workers that behave as they should not under load."""

import contextlib
import os
import signal
import time
import unittest

import harness

# Without a taskId: there is one task in flight. What it is told beside tasks it ignores.
SHELL = """#!/bin/sh
while read -r line; do
    case "$line" in
    *'"type":"task"'*) echo '{"type":"result","status":"COMPLETED","output":{}}' ;;
    esac
done
"""
WORKER = """#!/usr/bin/env python3
import json, os, socket, sys, threading, time
def beat():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        while True:
            s.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
            time.sleep(0.1)
threading.Thread(target=beat, daemon=True).start()
def do(task, given):
    if "noise" in given:
        line = b"x" * 199 + b"\\n"
        for _ in range(given["noise"] // 200):
            os.write(2, line)
    if "close" in given:
        os.close(1)
        while True:
            time.sleep(1)
    while "gate" in given and not os.path.exists(given["gate"]):
        time.sleep(0.005)
    print(json.dumps({"type": "result", "taskId": task["taskId"], "status": "COMPLETED",
                      "output": {"pid": os.getpid()}}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "task":
        do(message["task"], message["task"]["inputData"])
"""
PER_TASK = """#!/bin/sh
cat >/dev/null
echo '{"status":"COMPLETED","output":{}}'
"""
POOL = """{name}: {{ source = "local"; workers = {workers}; {keys}
  handler = {{ command = ["@DIR@/{program}"]; mode = "{mode}"; }}; }};
"""


def pool(name, program="worker.py", workers=1, mode="persistent", keys=""):
    return POOL.format(name=name, program=program, workers=workers, mode=mode, keys=keys)


def make_daemon(*pools, head="", **options):
    daemon = harness.Daemon(**options)
    daemon.script("worker.py", WORKER)
    daemon.script("shell.sh", SHELL)
    daemon.script("per-task.sh", PER_TASK)
    daemon.write_config(head + 'sources: { local: { type = "queue"; }; };\npools: {' + "".join(pools) + "};")
    return daemon


class Shortage(unittest.TestCase):
    def test_nobody_reads_stderr(self):
        """A full pipe: the loop does not wait for its reader, who is told what he missed."""
        daemon = make_daemon(pool("work"), wrapper=["sh", "-c", 'exec "$@" 2<>pipe', "sh"])
        self.addCleanup(daemon.remove)
        os.mkfifo(daemon.path("pipe"))
        pipe = os.open(daemon.path("pipe"), os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, pipe)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(pipe, bytes(4096))
        with daemon:
            self.assertEqual(daemon.run_task("work", {"noise": 1 << 20})["status"], "COMPLETED")
            text = b""
            while b"nobody was reading stderr" not in text:
                text += os.read(pipe, 1 << 20)
                self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_a_flood_of_stderr(self):
        """Status answers meanwhile, and so do other pools."""
        with make_daemon(pool("noisy"), pool("other"), log_level="warning") as daemon:
            noisy = daemon.submit("noisy", {"noise": 64 << 20})
            latencies = []
            while daemon.task(noisy)["status"] != "COMPLETED":
                begun = time.monotonic()
                self.assertEqual(daemon.run_task("other")["status"], "COMPLETED")
                latencies.append(time.monotonic() - begun)
            self.assertLess(max(latencies), 5)

    def test_few_file_descriptors(self):
        """More tasks at a time than there are descriptors for: later, but all of them."""
        wrapper = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
        with make_daemon(pool("work", "per-task.sh", 50, "per-task"), wrapper=wrapper) as daemon:
            ids = [daemon.submit("work") for _ in range(150)]
            clients = [daemon.varlink() for _ in range(8)]
            for task_id in ids:
                self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")
            for client in clients:
                client.close()
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_more_clients_than_descriptors(self):
        """Those that have no descriptor left wait or are refused; the daemon neither spins nor ends."""
        wrapper = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"]
        with make_daemon(pool("work"), wrapper=wrapper) as daemon:
            clients = [daemon.varlink() for _ in range(60)]
            before = self.cpu_ticks(daemon)
            time.sleep(1)
            self.assertLess(self.cpu_ticks(daemon) - before, os.sysconf("SC_CLK_TCK") / 2, "it spins")
            for client in clients:
                client.close()

            def works():
                try:
                    return daemon.run_task("work")["status"] == "COMPLETED"
                except (OSError, EOFError):
                    return False
            harness.eventually(works, "it serves again")

    @unittest.skipIf(os.environ.get("YARDMASTER_SANITIZED"), "a sanitizer needs terabytes of addresses")
    def test_little_memory(self):
        """Clients that ask for more than there is lose their connection; what was accepted is done."""
        wrapper = ["sh", "-c", 'ulimit -v 100000; exec "$@"', "sh"]
        with make_daemon(pool("work", "per-task.sh", 2, "per-task"), wrapper=wrapper, log_level="info") as daemon:
            begin = b'{"method":"io.yardmaster.Manager.Submit","parameters":{"task":{"type":"work","input":{"text":"'
            clients, accepted, refused = [daemon.varlink() for _ in range(12)], [], 0
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send_raw(begin + b"x" * (9 << 20))
            for client in clients:
                try:
                    client.send_raw(b'"}}}}\0')
                    accepted.append(client.reply()["taskId"])
                except (OSError, EOFError, harness.VarlinkError):
                    refused += 1
                client.close()
            self.assertGreater(refused, 0)
            self.assertGreater(len(accepted), 0)
            harness.eventually(lambda: daemon.pool("work")["completed"] == len(accepted), "they are done")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def cpu_ticks(self, daemon):
        with open(f"/proc/{daemon.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


class ManyWorkers(unittest.TestCase):
    def test_two_hundred_workers(self):
        with make_daemon(pool("work", "shell.sh", 200), log_level="info") as daemon:
            self.assertEqual(daemon.pool("work")["runningWorkers"], 200)
            ids = [daemon.submit("work") for _ in range(1000)]
            daemon.wait_task(*ids)
            self.assertEqual(daemon.pool("work")["completed"], 1000)

    def test_fifty_pools(self):
        pools = [pool(f"work{number}", "shell.sh") for number in range(50)]
        with make_daemon(*pools, log_level="info") as daemon:
            ids = [daemon.submit(f"work{number}") for number in range(50)]
            daemon.wait_task(*ids)
            for status in daemon.call("ListPools")["pools"]:
                self.assertEqual((status["state"], status["completed"]), ("running", 1))


class StopAndGo(unittest.TestCase):
    def test_the_daemon_stands_still(self):
        """What it did not see is held against nobody: same process, no second execution."""
        with make_daemon(pool("work", keys='watchdog = "1s";')) as daemon:
            gate = daemon.path("gate")
            task_id = daemon.submit("work", {"gate": gate})
            harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "it runs")
            pid = daemon.workers("work")[0]["pid"]
            daemon.signal(signal.SIGSTOP)
            time.sleep(4)
            daemon.signal(signal.SIGCONT)
            time.sleep(0.5)
            daemon.write("gate", "")
            task = daemon.wait_task(task_id)
            self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 1))
            self.assertEqual(task["output"]["pid"], pid)
            self.assertEqual(daemon.workers("work")[0]["restarts"], 0)

    def test_a_worker_stands_still(self):
        """With a watchdog it is replaced, without one its task times out; the pool goes on."""
        for keys in ('watchdog = "300ms";', 'task_timeout = "300ms";'):
            with self.subTest(keys), make_daemon(
                    pool("work", keys=keys + ' stop_timeout = "200ms"; retry = { attempts = 1; };')) as daemon:
                task_id = daemon.submit("work", {"gate": daemon.path("gate")})
                harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 1, "it runs")
                pid = daemon.workers("work")[0]["pid"]
                os.kill(pid, signal.SIGSTOP)
                self.assertEqual(daemon.wait_task(task_id)["status"], "FAILED")
                harness.eventually(lambda: not harness.is_alive(pid), "it is gone")
                self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")


class BadEnds(unittest.TestCase):
    def test_closed_output(self):
        with make_daemon(pool("work", keys='stop_timeout = "200ms"; retry = { attempts = 1; };')) as daemon:
            pid = daemon.workers("work")[0]["pid"]
            task = daemon.run_task("work", {"close": True})
            self.assertEqual(task["status"], "FAILED")
            harness.eventually(lambda: not harness.is_alive(pid), "it is gone")
            self.assertEqual(daemon.run_task("work")["status"], "COMPLETED")

    def test_death_while_draining(self):
        """The drain ends, and the task is there for the next daemon."""
        daemon = make_daemon(pool("work", workers=2), head='drain_timeout = "30s";')
        self.addCleanup(daemon.remove)
        daemon.start()
        ids = [daemon.submit("work", {"gate": daemon.path("gate")}) for _ in range(2)]
        harness.eventually(lambda: daemon.pool("work")["tasksInHand"] == 2, "both run")
        pids = [worker["pid"] for worker in daemon.workers("work")]
        daemon.signal(signal.SIGTERM)
        daemon.notify.wait_for("STOPPING=1")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(daemon.wait(), 0)
        daemon.write("gate", "")
        with daemon:
            for task_id in ids:
                self.assertEqual(daemon.wait_task(task_id)["status"], "COMPLETED")


if __name__ == "__main__":
    harness.main()
