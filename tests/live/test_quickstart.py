# SPDX-License-Identifier: Apache-2.0
"""packaging/quickstart in copies of the tree: right, altered, interrupted, killed; and what it
compares with, fed with replies of the test's own."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness

PACKAGING = os.path.join(harness.SOURCE_ROOT, "packaging")
BUILD = os.environ["YARDMASTER_TEST_BUILD"]

# Answers as yardctl --json does, from files in the folder that it stands in.
YARDCTL = """#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
*list*) cat list ;;
*show*) cat show ;;
esac
"""


class Scratch(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ym quick'start ")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)


class Compare(Scratch):
    TEXT = "to be\nor not to be\n"

    def setUp(self):
        super().setUp()
        self.write("yardctl", YARDCTL, 0o755)
        self.write("text", self.TEXT)
        self.outputs = {
            "hash": {"digest": hashlib.sha256(self.TEXT.encode()).hexdigest()},
            "count": {"lines": 2, "words": 6, "bytes": len(self.TEXT)},
            "file-size": {"bytes": len(self.TEXT)},
        }

    def compare(self, status, count=3, states=None):
        tasks = [{"taskId": f"id-{name}", "taskType": name, "status": (states or {}).get(name, "COMPLETED"),
                  "inputData": {"path": self.path("text")}, "output": output} for name, output in self.outputs.items()]
        # Two replies, as a long list has.
        self.write("list", "".join(json.dumps({"tasks": part}) + "\n" for part in (tasks[:1], tasks[1:])))
        self.write("show", "".join(json.dumps({"task": task}) + "\n" for task in tasks))
        result = subprocess.run([os.path.join(PACKAGING, "quickstart-tasks"), "compare", self.path("yardctl"), str(count)],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertEqual(result.stderr, "")
        return result.stdout

    def test_right(self):
        output = self.compare(0)
        self.assertNotIn("WRONG", output)
        for pool in self.outputs:
            self.assertIn(f"{pool}: 1 of 1 results are right", output)

    def test_one_wrong_digit(self):
        digest = self.outputs["hash"]["digest"]
        self.outputs["hash"]["digest"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        output = self.compare(1)
        self.assertIn("WRONG hash of " + self.path("text"), output)
        self.assertIn("hash: 0 of 1", output)
        self.assertIn("count: 1 of 1", output)

    def test_one_word_more(self):
        self.outputs["count"]["words"] += 1
        self.assertIn("WRONG count", self.compare(1))

    def test_altered_file(self):
        self.write("text", self.TEXT.replace("not", "now"))
        self.assertIn("WRONG hash", self.compare(1))

    def test_no_output(self):
        self.outputs["file-size"] = None
        self.assertIn("WRONG file-size", self.compare(1))

    def test_not_completed(self):
        self.assertIn("WRONG count", self.compare(1, states={"count": "FAILED"}))

    def test_a_task_is_missing(self):
        self.assertIn("4 tasks were submitted, 3 are there", self.compare(1, count=4))

    def test_a_pool_did_nothing(self):
        del self.outputs["count"]
        self.assertIn("count: 0 of 0", self.compare(1, count=2))


class Make(Scratch):
    def test_every_readable_file(self):
        os.makedirs(self.path("a b", ".git"))
        os.makedirs(self.path("build-x"))
        for name in ("a b/ü", "a b/.git/x", "build-x/x", "build.txt"):
            self.write(name, "")
        with open(os.fsencode(self.directory) + b"/\xff", "wb"):
            pass
        os.symlink("build.txt", self.path("link"))
        result = subprocess.run([os.path.join(PACKAGING, "quickstart-tasks"), "make", self.directory],
                                capture_output=True, text=True, check=True)
        paths = [json.loads(line)["input"]["path"] for line in result.stdout.splitlines()]
        self.assertEqual(sorted(set(paths)), sorted([self.path("a b/ü"), self.path("build.txt")]))
        self.assertEqual(len(paths), 6)
        self.assertIn("left out", result.stderr)


class Quickstart(Scratch):
    """Runs it in a copy of what it needs, with the programs under test."""

    def setUp(self):
        super().setUp()
        for folder in ("packaging", "conf"):
            shutil.copytree(os.path.join(harness.SOURCE_ROOT, folder), self.path("tree", folder))
        self.temporary = tempfile.mkdtemp(prefix="ym-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.temporary, ignore_errors=True)
        self.environment = {**os.environ, "TMPDIR": self.temporary}

    def alter(self, name, old, new):
        with open(self.path("tree", name), encoding="utf-8") as file:
            text = file.read()
        self.assertIn(old, text)
        with open(self.path("tree", name), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new, 1))

    def start(self):
        return subprocess.Popen([self.path("tree", "packaging", "quickstart"), "--build", BUILD], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
                                start_new_session=True)

    def run_to_end(self, status):
        process = self.start()
        output = process.communicate(timeout=harness.TIMEOUT)[0]
        self.assertEqual(process.returncode, status, output)
        self.assertEqual(os.listdir(self.temporary), [])
        self.assertEqual(sorted(os.listdir(self.path("tree"))), ["conf", "packaging"])
        self.assertFalse(os.path.exists(os.path.join(BUILD, "scratch")))
        return output

    def read_until(self, process, text):
        seen = ""
        for line in process.stdout:
            seen += line
            if text in line:
                return
        self.fail(f"no {text!r} in: {seen}")

    def test_all_is_right_and_again(self):
        for _ in range(2):
            output = self.run_to_end(0)
            for pool in ("hash", "count", "file-size"):
                self.assertRegex(output, rf"{pool}: ([1-9]\d*) of \1 results are right")
            self.assertIn("Done: ", output)

    def test_altered_result(self):
        self.alter("conf/examples/file-size.sh", '"bytes": %d', '"bytes": 1%d')
        output = self.run_to_end(1)
        self.assertIn("WRONG file-size", output)
        self.assertIn("file-size: 0 of", output)
        self.assertNotIn("Done: ", output)

    def test_failing_handler(self):
        self.alter("conf/examples/count.py", "    lines = words = n_bytes = 0", "    1 / 0")
        self.assertIn("A task of count has failed: ", self.run_to_end(1))

    def test_daemon_that_does_not_start(self):
        self.alter("conf/quickstart.conf", "mode =", "mood =")
        self.assertIn("unknown key", self.run_to_end(1))

    def test_interrupted(self):
        self.alter("conf/examples/file-size.sh", "bytes=", "sleep 1; bytes=")
        process = self.start()
        self.read_until(process, "4. Watch")
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=harness.TIMEOUT)[0]
        self.assertEqual(process.returncode, 130, output)
        self.assertEqual(os.listdir(self.temporary), [])

    def test_killed(self):
        """What it left behind, the next run removes; its daemon ends at once."""
        self.alter("conf/examples/file-size.sh", "bytes=", "sleep 1; bytes=")
        process = self.start()
        self.read_until(process, "4. Watch")
        process.kill()
        process.communicate(timeout=harness.TIMEOUT)  # its output ends with the daemon
        self.assertEqual(len(os.listdir(self.temporary)), 1)
        self.alter("conf/examples/file-size.sh", "sleep 1; ", "")
        self.run_to_end(0)

    def test_arguments(self):
        for arguments, status, text in ((["--help"], 0, "--build DIR"), (["--frob"], 2, "unknown argument --frob")):
            result = subprocess.run([os.path.join(PACKAGING, "quickstart"), *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, status)
            self.assertIn(text, result.stdout + result.stderr)


if __name__ == "__main__":
    harness.main()
