# SPDX-License-Identifier: Apache-2.0
"""The handlers of conf/examples, each run as the daemon runs it, compared with other programs."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import peer

EXAMPLES = os.path.join(peer.SOURCE_ROOT, "conf", "examples")


def example(name):
    return os.path.join(EXAMPLES, name)


def library(name, *arguments):
    path = os.path.join(peer.EXAMPLES_BUILT, name + ".so")
    if not os.path.exists(path):
        raise unittest.SkipTest(f"{name}.so was not built")
    return [peer.RUNNER, *arguments, path]


class Example(unittest.TestCase):
    environment = {}

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ym-")
        self.addCleanup(self.directory.cleanup)

    def file(self, data):
        path = os.path.join(self.directory.name, 'a "file"\n')
        with open(path, "wb") as file:
            file.write(data)
        return path

    def start(self, command):
        worker = peer.Peer(command, **self.environment)
        self.addCleanup(worker.close)
        return worker

    def assert_drains(self, worker):
        worker.send({"type": "drain"})
        self.assertIsNone(worker.receive())
        self.assertEqual(worker.process.wait(peer.TIMEOUT), 0, worker.errors())


class Hash(Example):
    def test_text_and_file(self):
        worker = self.start(library("hash", "--threads=2"))
        result = worker.run("1", {"text": "abc"})
        digest = hashlib.sha256(b"abc").hexdigest()
        self.assertEqual(result["output"], {"algorithm": "sha256", "digest": digest, "bytes": 3})
        data = os.urandom(200000)
        result = worker.run("2", {"path": self.file(data)})
        self.assertEqual(result["output"]["digest"], hashlib.sha256(data).hexdigest())
        self.assert_drains(worker)

    def test_failures(self):
        worker = self.start(library("hash"))
        result = worker.run("1", {"path": "/nonexistent"})
        self.assertEqual(result["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(result["reason"], "/nonexistent: No such file or directory")
        for task_input in ({}, {"text": "a", "path": "b"}, {"text": 5}):
            result = worker.run("2", task_input)
            self.assertEqual(result["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assert_drains(worker)

    def test_config(self):
        self.environment = {"YARDMASTER_HANDLER_CONFIG": '{"algorithm": "sha512"}'}
        worker = self.start(library("hash"))
        digest = hashlib.sha512(b"abc").hexdigest()
        self.assertEqual(worker.run("1", {"text": "abc"})["output"]["digest"], digest)
        self.environment = {"YARDMASTER_HANDLER_CONFIG": '{"algorithm": "rot13"}'}
        worker = self.start(library("hash"))
        self.assertEqual(worker.finish(), ([], 1))
        self.assertIn("algorithm must be", worker.errors())

    def test_cancel(self):
        worker = self.start(library("hash"))
        worker.task("1", {"path": "/dev/zero"})
        self.assertEqual(worker.receive()["type"], "progress")
        worker.send({"type": "cancel", "taskId": "1"})
        while (message := worker.receive())["type"] != "result":
            pass
        self.assertIn("cancel", message["reason"])


class Words(Example):
    def test_text(self):
        worker = self.start(library("words"))
        result = worker.run("1", {"text": "to be, or NOT to be: größer"})
        self.assertEqual(
            result["output"],
            {"words": 7, "unique": 5, "longest": "größer", "mostFrequent": "be", "occurrences": 2},
        )
        result = worker.run("2", {"text": ""})
        self.assertEqual(result["output"]["words"], 0)
        self.assert_drains(worker)

    def test_file_and_config(self):
        self.environment = {"YARDMASTER_HANDLER_CONFIG": '{"min_length": 3}'}
        worker = self.start(library("words"))
        result = worker.run("1", {"path": self.file(b"a bc def\ndef ghi")})
        self.assertEqual(result["output"]["words"], 3)
        self.assertEqual(result["output"]["mostFrequent"], "def")

    def test_failures(self):
        worker = self.start(library("words"))
        result = worker.run("1", {"path": "/nonexistent"})
        self.assertEqual(result["reason"], "/nonexistent: No such file or directory")
        self.assertEqual(worker.run("2", {})["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.environment = {"YARDMASTER_HANDLER_CONFIG": '{"min_length": "3"}'}
        self.assertEqual(self.start(library("words")).finish(), ([], 1))


class Count(Example):
    def wc(self, path):
        output = subprocess.run(
            ["wc", "-lwc"], stdin=open(path, "rb"), env={"LC_ALL": "C.UTF-8"}, capture_output=True
        ).stdout
        return dict(zip(("lines", "words", "bytes"), map(int, output.split())))

    def test_as_wc(self):
        worker = self.start([example("count.py"), "2"])
        block = b"one two\nthree" * 100000  # words and blocks end at different places
        for data in (b"", b"a", b" a b\n\n", block, block + b" ", os.fsencode(__file__)):
            path = self.file(data)
            self.assertEqual(worker.run("1", {"path": path})["output"], self.wc(path))
        self.assert_drains(worker)

    def test_failures(self):
        worker = self.start([example("count.py")])
        result = worker.run("1", {"path": "/nonexistent"})
        self.assertEqual(result["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertIn("/nonexistent", result["reason"])
        self.assertEqual(worker.run("2", {"path": 1})["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(worker.run("3", {"path": "/"})["status"], "FAILED")
        self.assertEqual(worker.run("4")["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(worker.finish(), ([], 0), worker.errors())

    def test_cancel_and_drain(self):
        worker = self.start([example("count.py"), "1"])
        fifo = os.path.join(self.directory.name, "fifo")
        os.mkfifo(fifo)
        worker.task("1", {"path": fifo})
        worker.task("2", {"path": __file__})
        worker.send({"type": "cancel", "taskId": "2"})
        worker.send({"type": "drain"})
        with open(fifo, "wb") as file:
            file.write(b"x y\n")
        self.assertEqual(worker.receive()["output"]["words"], 2)
        result = worker.receive()
        self.assertEqual((result["status"], result["reason"]), ("FAILED", "cancelled"))
        self.assertIsNone(worker.receive())
        self.assertEqual(worker.process.wait(peer.TIMEOUT), 0)


class FileSize(Example):
    def run_task(self, task_input):
        task = {"taskId": "1", "taskType": "file-size", "inputData": task_input}
        return subprocess.run(
            [example("file-size.sh")], input=json.dumps(task), capture_output=True, text=True
        )

    def test_size(self):
        for data in (b"", b"x" * 12345):
            result = self.run_task({"path": self.file(data)})
            self.assertEqual(
                json.loads(result.stdout), {"status": "COMPLETED", "output": {"bytes": len(data)}}
            )

    def test_failures(self):
        result = self.run_task({"path": "/nonexistent"})
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/nonexistent", result.stderr)
        for task_input in ({}, {"path": 5}, None):
            result = self.run_task(task_input)
            answer = json.loads(result.stdout)
            self.assertEqual(answer["status"], "FAILED_WITH_TERMINAL_ERROR", result.stderr)
            self.assertIn("path", answer["reason"])


@unittest.skipUnless(shutil.which("node"), "no node")
class Letters(Example):
    def test_rows(self):
        worker = self.start([example("letters.mjs")])
        rows = [{"name": "Ada", "n": 1}, {"name": "{{n}} $& é", "n": 2.5}]
        result = worker.run("1", {"template": "Dear {{name}}: {{n}}{{", "rows": rows})
        self.assertEqual(
            result["output"], {"letters": ["Dear Ada: 1{{", "Dear {{n}} $& é: 2.5{{"]}
        )
        self.assert_drains(worker)

    def test_failures(self):
        worker = self.start([example("letters.mjs")])
        result = worker.run("1", {"template": "{{constructor}}", "rows": [{}]})
        self.assertEqual(result["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(result["reason"], 'row 0 has no "constructor"')
        self.assertEqual(worker.run("2")["status"], "FAILED_WITH_TERMINAL_ERROR")
        self.assertEqual(worker.finish(), ([], 0), worker.errors())

    def test_cancel_and_drain(self):
        worker = self.start([example("letters.mjs")])
        worker.task("1", {"template": "{{x}}", "rows": [{"x": "y"}] * 200000})
        self.assertEqual(worker.receive()["type"], "progress")
        worker.send({"type": "drain"})
        worker.send({"type": "cancel", "taskId": "1"})
        while (message := worker.receive())["type"] != "result":
            pass
        self.assertEqual((message["status"], message["reason"]), ("FAILED", "cancelled"))
        self.assertIsNone(worker.receive())
        self.assertEqual(worker.process.wait(peer.TIMEOUT), 0)


class Configuration(unittest.TestCase):
    def test_each_example_has_one(self):
        for name in os.listdir(EXAMPLES):
            stem, extension = os.path.splitext(name)
            if extension in (".c", ".cc", ".py", ".sh", ".mjs"):
                with open(example(stem + ".conf"), encoding="utf-8") as file:
                    self.assertIn(f"\n  {stem}: {{\n", file.read())


if __name__ == "__main__":
    peer.main()
