# SPDX-License-Identifier: Apache-2.0
"""One contract, three kinds of handlers: the same deeds, good and bad, and what must come of each.

After every case the pool must still do its work: a handler hurts its own task, nothing else.
"""

import os
import signal
import unittest

import harness

MISBEHAVE = os.path.join(harness.SOURCE_ROOT, "tests", "handlers", "misbehave.py")
LIBRARY = os.environ.get("YARDMASTER_TEST_LIBRARY", "")

HANDLER = {
    "per_task": f'command = ["{MISBEHAVE}"];',
    "persistent": f'command = ["{MISBEHAVE}", "persistent"]; mode = "persistent";',
    "library": f'library = "{LIBRARY}";',
}
POOL = """
  {name}: {{
    source = "local"; handler = {{ {handler} }};
    task_timeout = "{timeout}"; stop_timeout = "200ms";
    retry = {{ attempts = {attempts}; backoff = "10ms"; backoff_max = "20ms"; }};
    restart = {{ backoff = "10ms"; backoff_max = "50ms"; }};
    limits = {{ output = "1M"; }};
  }};
"""


class Contract:
    """The cases; each kind below is a TestCase of its own."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon()
        handler = HANDLER[cls.kind]
        cls.daemon.write_config(
            'sources: { local: { type = "queue"; }; };\npools: {'
            + POOL.format(name="work", handler=handler, timeout="30s", attempts=1)
            + POOL.format(name="again", handler=handler, timeout="30s", attempts=3)
            + POOL.format(name="quick", handler=handler, timeout="500ms", attempts=1)
            + "};\n"
        )
        cls.daemon.start()

    @classmethod
    def tearDownClass(cls):
        try:
            status = cls.daemon.stop()
            if status != 0:
                raise AssertionError(f"the daemon ended with {status}:\n{cls.daemon.log.text()}")
        finally:
            cls.daemon.remove()

    def tearDown(self):
        for pool in ("work", "again"):
            self.assertEqual(self.echo(pool)["output"]["echo"], "still there", pool)
        # On a busy machine a program may take all of the half second only to start.
        harness.eventually(lambda: self.echo("quick")["status"] == "COMPLETED", "quick does its work")

    def echo(self, pool):
        return self.daemon.run_task(pool, {"do": "echo", "value": "still there"})

    def do(self, what, pool="work", **members):
        return self.daemon.run_task(pool, {"do": what, **members})

    def assert_failed(self, task, *words, status="FAILED"):
        self.assertEqual(task["status"], status, task)
        for word in words:
            self.assertIn(word, task["reason"])

    def test_completed(self):
        value = {"text": 'grün € "quoted"\nline\u0001', "n": 12345678901234567890, "f": 1e21, "none": None}
        task = self.do("echo", value=value)
        self.assertEqual(task["status"], "COMPLETED")
        self.assertEqual(task["output"]["echo"], value)

    def test_failed_keeps_reason_and_output(self):
        task = self.do("fail")
        self.assert_failed(task, "asked to fail")
        self.assertEqual(task["output"], {"partial": 1})

    def test_terminal_is_not_retried(self):
        task = self.do("terminal", "again")
        self.assert_failed(task, "no use", status="FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(task["attempts"], 1)

    def test_retry(self):
        task = self.do("once", "again")
        self.assertEqual((task["status"], task["attempts"]), ("COMPLETED", 2))
        self.assertEqual([attempt["reason"] for attempt in task["history"]], ["the first time"])

    def test_attempts_are_used_up(self):
        task = self.do("fail", "again")
        self.assertEqual((task["status"], task["attempts"]), ("FAILED", 3))

    def test_in_progress_comes_back_without_using_an_attempt(self):
        task = self.do("later", "again")
        self.assertEqual((task["status"], task["pollCount"]), ("COMPLETED", 2))
        self.assertEqual(task["attempts"], 1)

    def test_conductor_names(self):
        task = self.do("conductor-names")
        self.assert_failed(task, "long name")
        self.assertEqual(task["output"], {"a": 1})

    def test_logs(self):
        task = self.do("logs")
        self.assertEqual([line["log"] for line in task["logs"]], ["one", "two"])

    def test_crash(self):
        self.assert_failed(self.do("crash"), "signal: segmentation fault")

    def test_crash_is_retried(self):
        task = self.do("crash", "again")
        self.assertEqual((task["status"], task["attempts"]), ("FAILED", 3))

    def test_exit(self):
        self.assert_failed(self.do("exit"), "exit status 3")
        self.daemon.log.wait_for("the disk is on fire")

    def test_hang(self):
        self.assert_failed(self.do("hang", "quick"), "timed out after 500ms")

    def test_hang_that_ignores_term(self):
        self.assert_failed(self.do("hang-hard", "quick"), "timed out after 500ms")

    def test_huge_output(self):
        task = self.do("huge", size=2_000_000)
        self.assert_failed(task, "limits.output")

    def test_large_output(self):
        task = self.do("huge", size=900_000)
        self.assertEqual(len(task["output"]["data"]), 900_000)

    def test_large_input(self):
        task = self.do("echo", value="z" * 3_000_000)
        # Its echo is over the bound of the output, its input is not over that of the input.
        self.assert_failed(task, "limits.output")

    def test_stderr_reaches_the_log_as_pool_and_worker(self):
        self.do("stderr", text="a line of its own")
        self.daemon.log.wait_for(r"work/1.*a line of its own")

    def test_grandchild_delays_nothing(self):
        task = self.do("grandchild", "again")
        self.assertEqual(task["status"], "COMPLETED")
        self.grandchild_ends(task["output"])

    def grandchild_ends(self, output):
        """A persistent worker may have children of its own; they go when it does."""
        os.kill(output["pid"], signal.SIGKILL)
        harness.eventually(lambda: not harness.is_alive(output["grandchild"]), "the grandchild is gone")


class Text:
    """What only a handler that writes its own JSON can get wrong."""

    def test_unknown_status(self):
        task = self.do("bad-status")
        self.assert_failed(task, "invalid status from worker: FAILED")
        self.assertEqual(task["output"], {"kept": True})

    def test_wrong_type_of_output(self):
        self.assert_failed(self.do("bad-output"), "output")


class PerTask(Text, Contract, unittest.TestCase):
    kind = "per_task"

    def grandchild_ends(self, output):
        harness.eventually(lambda: not harness.is_alive(output["grandchild"]), "the grandchild is gone")

    def test_garbage(self):
        self.assert_failed(self.do("garbage"), "invalid worker stdout JSON: ")

    def test_nothing_printed(self):
        self.assert_failed(self.do("raw", text=""), "invalid worker stdout JSON: ")

    def test_stderr_tail_is_in_the_reason(self):
        self.assert_failed(self.do("exit"), "worker execution failed: exit status 3; stderr: the disk is on fire")

    def test_flood(self):
        self.assert_failed(self.do("flood", lines=100_000), "limits.output")

    def test_too_deep(self):
        deep = '{"status":"COMPLETED","output":{"a":' + "[" * 2000 + "]" * 2000 + "}}"
        self.assert_failed(self.do("raw", text=deep), "invalid worker stdout JSON: ")


class Persistent(Text, Contract, unittest.TestCase):
    kind = "persistent"

    def test_stray_prints_hurt_nothing(self):
        self.assertEqual(self.do("garbage")["status"], "COMPLETED")
        self.daemon.log.wait_for("this is no JSON")

    def test_flood(self):
        self.assertEqual(self.do("flood")["status"], "COMPLETED")

    def test_task_id_left_out(self):
        task = self.do("raw", text='{"type":"result","status":"COMPLETED","output":{"short":1}}')
        self.assertEqual(task["output"], {"short": 1})

    def test_lie_about_the_id(self):
        lie = '{"type":"result","taskId":"not-mine","status":"COMPLETED"}\\n'
        text = lie.replace("\\n", "\n") + '{"type":"result","status":"COMPLETED","output":{"true":1}}'
        self.assertEqual(self.do("raw", text=text)["output"], {"true": 1})
        self.daemon.log.wait_for("not-mine")

    def test_too_deep(self):
        deep = '{"type":"result","status":"COMPLETED","output":{"a":' + "[" * 2000 + "]" * 2000 + "}}"
        task = self.do("raw", "quick", text=deep)
        self.assertEqual(task["status"], "FAILED")


class Library(Contract, unittest.TestCase):
    kind = "library"

    def test_printing_hurts_nothing(self):
        self.assertEqual(self.do("garbage")["status"], "COMPLETED")
        self.daemon.log.wait_for("this is no JSON")

    def test_flood(self):
        self.assertEqual(self.do("flood")["status"], "COMPLETED")


class Unread(unittest.TestCase):
    """A handler that does not read what it is given."""

    BIG = {"value": "b" * 1_000_000}

    def run_with(self, arguments, mode):
        handler = f'command = ["{MISBEHAVE}", {arguments}]; mode = "{mode}";'
        config = 'sources: { local: { type = "queue"; }; };\npools: {' + POOL.format(
            name="work", handler=handler, timeout="500ms" if mode == "persistent" else "30s", attempts=1
        )
        with harness.Daemon(config + "};") as daemon:
            return daemon.run_task("work", self.BIG)

    def test_per_task_closes_its_input(self):
        self.assertEqual(self.run_with('"unread"', "per-task")["output"], {"echo": "unread"})

    def test_persistent_never_reads(self):
        task = self.run_with('"persistent", "unread"', "persistent")
        self.assertEqual(task["status"], "FAILED")
        self.assertIn("timed out", task["reason"])


if __name__ == "__main__":
    harness.main()
