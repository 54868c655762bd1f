# SPDX-License-Identifier: Apache-2.0
"""conf/examples as a user takes them: files copied into conf.d, a daemon, a task for each."""

import hashlib
import os
import shutil
import unittest

import harness

EXAMPLES = os.path.join(harness.SOURCE_ROOT, "conf", "examples")
LIBRARIES = os.environ.get("YARDMASTER_TEST_EXAMPLES", "")

# What each is given and must answer. The path is a file of 11 bytes.
TEXT = b"to be\nor no"
CASES = {
    "count": ({"path": "@PATH@"}, {"lines": 1, "words": 4, "bytes": 11}),
    "file-size": ({"path": "@PATH@"}, {"bytes": 11}),
    "hash": (
        {"path": "@PATH@"},
        {"algorithm": "sha256", "digest": hashlib.sha256(TEXT).hexdigest(), "bytes": 11},
    ),
    "letters": ({"template": "Dear {{x}}", "rows": [{"x": "Ada"}]}, {"letters": ["Dear Ada"]}),
    "words": (
        {"path": "@PATH@"},
        {"words": 4, "unique": 4, "longest": "to", "mostFrequent": "be", "occurrences": 1},
    ),
}


def can_run(name):
    if name in ("hash", "words"):
        return os.path.exists(os.path.join(LIBRARIES, name + ".so"))
    return name != "letters" or shutil.which("node")


class Examples(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon(
            'sources: { local: { type = "queue"; }; };\n',
            environment={"YARDMASTER_HANDLER_PATH": LIBRARIES},
        )
        self.addCleanup(self.daemon.remove)
        self.path = self.daemon.path("text")
        with open(self.path, "wb") as file:
            file.write(TEXT)
        self.names = [name for name in CASES if can_run(name)]
        os.mkdir(self.daemon.path("conf.d"))
        for file in os.listdir(EXAMPLES):
            if os.path.splitext(file)[0] in self.names:
                shutil.copy(os.path.join(EXAMPLES, file), self.daemon.path("conf.d", file))

    def test_every_example_has_a_case(self):
        confs = {name[:-5] for name in os.listdir(EXAMPLES) if name.endswith(".conf")}
        self.assertEqual(confs, set(CASES))

    def test_each_works_when_copied(self):
        with self.daemon as daemon:
            for name in self.names:
                with self.subTest(name):
                    task_input, output = CASES[name]
                    if "path" in task_input:
                        task_input = {"path": self.path}
                    task = daemon.run_task(name, task_input)
                    self.assertEqual(task["status"], "COMPLETED", task)
                    self.assertEqual(task["output"], output)


if __name__ == "__main__":
    harness.main()
