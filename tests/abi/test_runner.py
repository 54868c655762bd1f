# SPDX-License-Identifier: Apache-2.0
"""yardmaster-runner with handlers of every age and temper, seen from the daemon's end."""

import collections
import json
import os
import re
import signal
import subprocess
import time
import unittest

import peer

THREADS = "--threads=4"


class Ages(unittest.TestCase):
    """The binary interface: what was built elsewhere and at another time."""

    def output(self, library):
        with peer.Peer(peer.runner(library)) as worker:
            result = worker.run("1")
            self.assertEqual(worker.finish(), ([], 0), worker.errors())
            self.assertEqual(result["status"], "COMPLETED", result)
            return result["output"]

    def test_c90(self):
        self.assertEqual(self.output("c90"), {"language": "C90"})

    @unittest.skipUnless(peer.is_built("cplusplus"), "no C++ compiler")
    def test_cplusplus(self):
        self.assertEqual(self.output("cplusplus"), {"language": "C++"})

    def test_older_structure(self):
        self.assertEqual(self.output("oldsize"), {"age": "old"})

    def test_newer_structure(self):
        self.assertEqual(self.output("newsize"), {"age": "new"})


class Unusable(unittest.TestCase):
    """What cannot be loaded or started: the exit status, the words, nothing on stdout."""

    def check(self, command, status, *words, **environment):
        with peer.Peer(command, **environment) as worker:
            self.assertEqual(worker.finish(), ([], status))
            notified = "\n".join(worker.notified())
            self.assertNotIn("READY=1", notified)
            for word in words:
                self.assertIn(word, worker.errors())
            return notified

    def test_missing(self):
        notified = self.check(peer.runner("missing"), 78, "missing.so", "No such file")
        self.assertIn("STATUS=", notified)
        self.assertIn("missing.so", notified)

    def test_bare_name_is_an_installed_handler(self):
        self.check([peer.RUNNER, "missing.so"], 78, "/yardmaster/handlers/missing.so")

    def test_bare_name_by_path(self):
        command = [peer.RUNNER, "--describe", "probe.so"]
        environment = {**os.environ, "YARDMASTER_HANDLER_PATH": f"/nowhere:{peer.BUILT}"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertIn("name: probe\n", result.stdout, result.stderr)

    def test_no_shared_object(self):
        self.check([peer.RUNNER, __file__], 78, "invalid ELF header")

    def test_no_handler(self):
        self.check(peer.runner("nosymbol"), 78, "YARDMASTER_HANDLER")

    def test_wrong_version(self):
        self.check(peer.runner("wrongversion"), 78, "API version 99", "version 1")

    def test_no_execute(self):
        self.check(peer.runner("noexecute"), 78, "no execute")

    def test_init_fails(self):
        config = '{"init": "fail"}'
        notified = self.check(
            peer.runner("probe"),
            1,
            "init failed: asked to fail: Input/output error",
            YARDMASTER_HANDLER_CONFIG=config,
        )
        self.assertIn("ERRNO=5", notified)

    def test_init_returns_nonsense(self):
        config = '{"init": "positive"}'
        self.check(peer.runner("probe"), 1, "returned 3", YARDMASTER_HANDLER_CONFIG=config)

    def test_thread_init_fails(self):
        config = '{"thread_init": "fail"}'
        command = peer.runner("probe", THREADS)
        with peer.Peer(command, YARDMASTER_HANDLER_CONFIG=config) as worker:
            self.assertEqual(worker.finish(), ([], 1))
            self.assertIn("thread_init failed: asked to fail", worker.errors())
            self.assertNotIn("thread_deinit\n", worker.errors())
            self.assertIn("deinit\n", worker.errors())

    def test_init_crashes(self):
        config = '{"init": "crash"}'
        self.check(peer.runner("probe"), -signal.SIGABRT, YARDMASTER_HANDLER_CONFIG=config)

    def test_config_is_no_object(self):
        for config in ("[1]", "{", ""):
            self.check(
                peer.runner("probe"), 2, "no JSON object", YARDMASTER_HANDLER_CONFIG=config
            )

    def test_task_timeout_is_no_number(self):
        self.check(peer.runner("probe"), 2, "1s", YARDMASTER_TASK_TIMEOUT_USEC="1s")


class CommandLine(unittest.TestCase):
    def run_command(self, *arguments):
        return subprocess.run([peer.RUNNER, *arguments], capture_output=True, text=True)

    def test_describe(self):
        library = os.path.join(peer.BUILT, "probe.so")
        text = self.run_command("--describe", library)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn("name: probe\nversion: 1.2\n", text.stdout)
        self.assertIn("description: does what its input says\n", text.stdout)
        self.assertIn(
            "callbacks: init thread_init execute cancel thread_deinit deinit\n", text.stdout
        )
        described = json.loads(self.run_command("--describe", "--json", library).stdout)
        self.assertEqual(described["name"], "probe")
        self.assertEqual(described["apiVersion"], 1)
        self.assertEqual(described["callbacks"][2], "execute")

    def test_describe_of_a_handler_that_prints(self):
        result = self.run_command("--describe", "--json", os.path.join(peer.BUILT, "prints.so"))
        self.assertEqual(json.loads(result.stdout)["name"], "prints")

    def test_describe_unusable(self):
        result = self.run_command("--describe", os.path.join(peer.BUILT, "noexecute.so"))
        self.assertEqual((result.returncode, result.stdout), (78, ""))

    def test_usage(self):
        for arguments in ([], ["a.so", "b.so"], ["--threads", "0", "a.so"], ["--json", "a.so"]):
            result = self.run_command(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertIn("--help", result.stderr)
        self.assertEqual(self.run_command("--nonsense").returncode, 2)

    def test_help_and_version(self):
        text = self.run_command("--help")
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        self.assertLessEqual(max(map(len, text.stdout.splitlines())), 80)
        self.assertRegex(self.run_command("--version").stdout, r"^yardmaster-runner \d")


class Work(unittest.TestCase):
    arguments = ()
    environment = {}

    def setUp(self):
        self.worker = peer.Peer(peer.runner("probe", *self.arguments), **self.environment)
        self.addCleanup(self.worker.close)
        self.worker.wait_ready()

    def answer(self, **members):
        return self.worker.run("1", {"do": "answer", **members})

    def assert_ends_well(self):
        self.assertEqual(self.worker.finish(), ([], 0), self.worker.errors())


class One(Work):
    def test_what_execute_gets(self):
        value = {"do": "tell", "text": 'grün "\n\u0001', "n": 12345678901234567890}
        output = self.worker.run('i"d', value, taskType="some type", retryCount=3)["output"]
        self.assertEqual(json.loads(output.pop("input")), value)
        self.assertEqual(output.pop("pid"), self.worker.process.pid)
        self.assertEqual(
            output,
            {"id": 'i"d', "type": "some type", "deadline": 0, "retryCount": 3, "variable": ""},
        )

    def test_no_input(self):
        self.assertEqual(self.worker.run("1")["output"]["input"], "{}")

    def test_nothing_said(self):
        self.assertEqual(
            self.answer(), {"type": "result", "taskId": "1", "status": "COMPLETED"}
        )

    def test_statuses(self):
        self.assertEqual(self.answer(status=1, reason="so")["status"], "FAILED")
        result = self.answer(status=2, reason="for good")
        self.assertEqual(result["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(result["reason"], "for good")
        result = self.answer(status=3, callback_after=2500)
        self.assertEqual(result["status"], "IN_PROGRESS")
        self.assertEqual(result["callbackAfterSeconds"], 2.5)
        result = self.answer(status=1, retry_after=60000)
        self.assertEqual(result["retryAfterSeconds"], 60)
        self.assertEqual(self.answer(status=4)["status"], "COMPLETED")

    def test_errors(self):
        result = self.answer(**{"return": -2}, error="/x")
        self.assertEqual(result["status"], "FAILED")
        self.assertEqual(result["reason"], "/x: No such file or directory")
        # said once, for that task
        self.assertEqual(
            self.answer(**{"return": -2})["reason"], "execute failed: No such file or directory"
        )
        self.assertEqual(
            self.answer(**{"return": -2}, status=2)["status"], "FAILED_WITH_TERMINAL_ERROR"
        )
        self.assertIn("returned 5", self.answer(**{"return": 5})["reason"])

    def test_output_of_several_lines(self):
        result = self.answer(output='{"a":\n[1,\r\n"x  y"]}\n')
        self.assertEqual(result["output"], {"a": [1, "x  y"]})

    def test_output_is_no_json(self):
        for output, words in (
            ('{"a":NaN}', "at byte 5"),
            ("{'a':1}", "at byte 1"),
            ('{"a":1} x', "at byte 8"),
            ("[1]", "an object is wanted"),
            ("", "at byte 0"),
            ("[" * 901 + "]" * 901, "at byte 900"),
        ):
            result = self.answer(output=output, **{"expect-refusal": "yes"})
            self.assertEqual(result["status"], "FAILED", output)
            self.assertIn(words, result["reason"])
            self.assertNotIn("output", result)

    def test_large_output(self):
        size = 15 * 1024 * 1024
        result = self.worker.run("1", {"do": "fill", "size": size})
        self.assertEqual(len(result["output"]["text"]), size)
        result = self.worker.run("2", {"do": "fill", "size": 17 * 1024 * 1024})
        self.assertEqual(result["status"], "FAILED")
        self.assertIn("Message too long", result["reason"])
        self.assert_ends_well()

    def test_large_input(self):
        text = "x" * (15 * 1024 * 1024)
        result = self.worker.run("1", {"do": "answer", "reason": text})
        self.assertEqual(len(result["reason"]), 64 * 1024)

    def test_progress_and_log(self):
        self.worker.do("t", "report")
        messages = [self.worker.receive() for _ in range(5)]
        about = {"taskId": "t"}
        self.assertEqual(
            messages,
            [
                {
                    "type": "progress",
                    **about,
                    "percent": 50.0,
                    "stage": "half",
                    "message": 'of "it"',
                    "data": {"n": 1},
                },
                {"type": "progress", **about, "message": "only this"},
                {"type": "progress", **about, "percent": 100.0},
                {"type": "log", **about, "message": "a line\nand another"},
                {"type": "result", **about, "status": "COMPLETED"},
            ],
        )

    def test_crash_ends_only_this_process(self):
        self.worker.do("1", "crash")
        self.assertEqual(self.worker.finish(), ([], -signal.SIGABRT))

    def test_no_reader(self):
        self.worker.process.stdout.close()
        self.worker.do("1", "tell")
        self.assertEqual(self.worker.process.wait(peer.TIMEOUT), 74)

    def test_grandchild_does_not_hold_the_protocol(self):
        self.assertEqual(self.worker.run("1", {"do": "leave-child"})["status"], "COMPLETED")
        child = int(re.search(r"^\d+$", self.worker.errors(), re.MULTILINE)[0])
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assert_ends_well()


class Stream(Work):
    """What is no task."""

    def test_noise_is_ignored(self):
        for line in (
            b"",
            b"not JSON",
            b'{"type":"unknown"}',
            b'{"no":"type"}',
            b'{"type":"task"}',
            b'{"type":"task","task":[]}',
            b'{"type":"task","task":{"taskId":"0"',
            b'{"type":"cancel"}',
            b"\xff\xfe{}",
            b"[]",
            b"x" * (17 * 1024 * 1024),
        ):
            self.worker.send(line)
        self.assertEqual(self.worker.run("1")["taskId"], "1")
        self.assert_ends_well()
        self.assertIn("longer than", self.worker.errors())

    def test_no_task_id(self):
        self.worker.send({"type": "task", "task": {"taskType": "x"}})
        result = self.worker.receive()
        self.assertEqual(result["status"], "FAILED")
        self.assertNotIn("taskId", result)
        self.assertIn("no taskId", result["reason"])

    def test_byte_by_byte(self):
        line = b'{"type":"task","task":{"taskId":"1","inputData":{"do":"answer"}}}\n'
        for i in range(len(line)):
            self.worker.process.stdin.write(line[i : i + 1])
            self.worker.process.stdin.flush()
        self.assertEqual(self.worker.receive()["taskId"], "1")

    def test_end_of_input_finishes_what_is_in_hand(self):
        for i in range(100):
            self.worker.do(str(i), "count")
        messages, status = self.worker.finish()
        self.assertEqual([message["taskId"] for message in messages], [str(i) for i in range(100)])
        self.assertEqual([message["output"]["n"] for message in messages], list(range(1, 101)))
        self.assertEqual(status, 0)
        self.assertTrue(self.worker.errors().endswith("thread_deinit\ndeinit\n"))

    def test_drain(self):
        self.worker.do("1", "wait-for-cancel")
        self.worker.do("2", "tell")
        self.assertEqual(self.worker.receive()["type"], "log")
        self.worker.send({"type": "drain"})
        self.worker.send({"type": "drain"})
        # What comes after it goes back, without having cost an attempt.
        self.worker.do("3", "tell")
        result = self.worker.receive()
        self.assertEqual((result["taskId"], result["status"]), ("3", "IN_PROGRESS"))
        self.assertEqual(result["callbackAfterSeconds"], 0)
        # A cancel is heard all the same, and with the last task the process ends by itself.
        self.worker.send({"type": "cancel", "taskId": "1"})
        self.assertEqual(self.worker.receive()["output"], {"cancelled": 1})
        self.assertEqual(self.worker.receive()["taskId"], "2")
        self.assertIsNone(self.worker.receive())
        self.assertEqual(self.worker.process.wait(peer.TIMEOUT), 0)

    def test_drain_when_idle(self):
        self.worker.send({"type": "drain"})
        self.assertIsNone(self.worker.receive())
        self.assertEqual(self.worker.process.wait(peer.TIMEOUT), 0)
        self.assertIn("STOPPING=1", self.worker.notified())

    def test_cancel(self):
        self.worker.do("1", "wait-for-cancel")
        self.worker.do("2", "tell")
        self.assertEqual(self.worker.receive()["type"], "log")
        self.worker.send({"type": "cancel", "taskId": "unknown"})
        self.worker.send({"type": "cancel", "taskId": "2"})
        result = self.worker.receive()
        self.assertEqual((result["taskId"], result["status"]), ("2", "FAILED"))
        self.assertIn("before it started", result["reason"])
        self.worker.send({"type": "cancel", "taskId": "1"})
        self.assertEqual(self.worker.receive()["output"], {"cancelled": 1})
        self.assert_ends_well()


class Threads(Work):
    arguments = (THREADS,)
    environment = {"YARDMASTER_HANDLER_CONFIG": '{"meeting": 4}'}

    def test_they_run_at_the_same_time(self):
        for i in range(4):
            self.worker.do(str(i), "meet")
        self.assertEqual({self.worker.receive()["taskId"] for _ in range(4)}, set("0123"))

    def test_a_slow_task_holds_up_nothing(self):
        for i in range(3):
            self.worker.do(f"slow{i}", "wait-for-cancel")
            self.assertEqual(self.worker.receive()["type"], "log")
        for i in range(100):
            self.assertEqual(self.worker.run(str(i))["taskId"], str(i))
        for i in range(3):
            self.worker.send({"type": "cancel", "taskId": f"slow{i}"})
            self.assertEqual(self.worker.receive()["taskId"], f"slow{i}")
        self.assert_ends_well()

    def test_each_task_is_answered_once(self):
        n = 20000
        lines = b"\n".join(
            b'{"type":"task","task":{"taskId":"%d","inputData":{"do":"count"}}}' % i
            for i in range(n)
        )
        with peer.Peer(peer.runner("probe", THREADS)) as worker:
            pid = os.fork()
            if pid == 0:
                worker.send(lines)
                os._exit(0)
            worker.process.stdin.close()
            seen = collections.Counter(worker.receive()["taskId"] for _ in range(n))
            os.waitpid(pid, 0)
            self.assertIsNone(worker.receive())
            self.assertEqual(len(seen), n)


class Environment(unittest.TestCase):
    def test_config_is_not_inherited(self):
        config = '{"meeting": 3}'
        with peer.Peer(peer.runner("probe"), YARDMASTER_HANDLER_CONFIG=config) as worker:
            self.assertEqual(worker.run("1", {"do": "tell"})["output"]["variable"], "")

    def test_deadline(self):
        with peer.Peer(peer.runner("probe"), YARDMASTER_TASK_TIMEOUT_USEC="30000000") as worker:
            before = time.time() * 1000
            deadline = worker.run("1", {"do": "tell"})["output"]["deadline"]
            after = time.time() * 1000
            self.assertGreaterEqual(deadline, int(before) + 30000)
            self.assertLessEqual(deadline, int(after) + 30000)

    def test_heartbeat_is_the_handlers_and_limited(self):
        with peer.Peer(peer.runner("probe"), WATCHDOG_USEC="3600000000") as worker:
            worker.wait_ready()
            worker.run("1", {"do": "tell"})
            self.assertEqual(worker.notified(), [])
            worker.run("2", {"do": "heartbeat"})
            self.assertEqual(worker.notified(), ["WATCHDOG=1"])

    def test_a_printing_handler_does_not_corrupt_the_protocol(self):
        with peer.Peer(peer.runner("prints")) as worker:
            for task_id in ("1", "2"):
                self.assertEqual(worker.run(task_id)["output"], {"printed": 1})
            self.assertEqual(worker.finish(), ([], 0))
            for where in ("a constructor", "init", "execute", "a child"):
                self.assertIn(where, worker.errors())
            self.assertNotIn("stole", worker.errors())


if __name__ == "__main__":
    peer.main()
