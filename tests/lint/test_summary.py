#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/summary.py on logs as meson writes them: what died, hung or said nothing has not passed."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import harness  # noqa: E402

SUMMARY = os.path.join(harness.SOURCE_ROOT, "tests", "summary.py")


def tap(name, result, *lines):
    return {"protocol": "tap", "name": name, "result": result, "stdout": "\n".join(lines)}


def program(name, result, *lines):
    return {**tap(name, result, *lines), "protocol": "exitcode"}


def write_log(folder, base, tests):
    with open(os.path.join(folder, "meson-logs", base + ".json"), "w", encoding="utf-8") as file:
        for test in tests:
            json.dump({**test, "name": "yardmaster:live / " + test["name"], "duration": 1.5}, file)
            file.write("\n")


def summarize(*tests, allowed="", second=()):
    """The lines that summary.py prints, and its exit code."""
    with tempfile.TemporaryDirectory(prefix="ym-") as folder:
        for name in "meson-info", "meson-logs":
            os.mkdir(os.path.join(folder, name))
        with open(os.path.join(folder, "meson-info", "intro-tests.json"), "w", encoding="utf-8") as file:
            json.dump([{"suite": ["yardmaster:live"], "name": test["name"], "protocol": test["protocol"]}
                       for test in tests], file)
        write_log(folder, "testlog", tests)
        write_log(folder, "second", second)
        allowed_path = os.path.join(folder, "allowed")
        with open(allowed_path, "w", encoding="utf-8") as file:
            file.write(allowed)
        done = subprocess.run([sys.executable, SUMMARY, folder, allowed_path], capture_output=True,
                              text=True, check=False)
    return done.stdout.splitlines(), done.returncode


class Summary(unittest.TestCase):
    def check(self, tests, last, code, *others, allowed="", second=()):
        lines, returned = summarize(*tests, allowed=allowed, second=second)
        self.assertEqual(lines[-1], last)
        for other in others:
            self.assertIn(other, lines)
        self.assertEqual(returned, code)

    def test_points_are_counted(self):
        self.check([tap("a", "OK", "1..2", "ok 1 - x", "ok 2 y"), program("b", "OK", "ok, whatever")],
                   "3 passed, 0 failed, 0 skipped", 0, "seconds: live 3")

    def test_a_second_try_counts_and_is_named(self):
        first = [program("a", "FAIL"), program("b", "OK"), program("c", "FAIL")]
        self.check(first, "2 passed, 1 failed, 0 skipped", 1, "FAILED live/c: FAIL",
                   "FAILED AT FIRST, passed when run alone: yardmaster:live / a",
                   second=[program("a", "OK"), program("c", "FAIL")])

    def test_failed_point_has_its_name(self):
        self.check([tap("a", "FAIL", "1..2", "ok 1 - x", "not ok 2 - y")],
                   "1 passed, 1 failed, 0 skipped", 1, "FAILED live/a/y")

    def test_death_after_good_points(self):
        self.check([tap("a", "ERROR", "1..3", "ok 1 - x"), tap("b", "TIMEOUT", "1..3", "ok 1 - x")],
                   "2 passed, 2 failed, 0 skipped", 1,
                   "FAILED live/a: 1 test points, then ERROR", "FAILED live/b: 1 test points, then TIMEOUT")

    def test_no_points_at_all(self):
        self.check([tap("a", "SKIP"), tap("b", "TIMEOUT"), tap("c", "OK")],
                   "0 passed, 3 failed, 0 skipped", 1)

    def test_programs(self):
        self.check([program("a", "FAIL"), program("b", "TIMEOUT"), program("c", "ERROR"), program("d", "OK")],
                   "1 passed, 3 failed, 0 skipped", 1, "FAILED live/b: TIMEOUT")

    def test_skips_have_reasons(self):
        tests = [tap("a", "OK", "1..2", "ok 1 - x", "ok 2 - y # SKIP no disk"),
                 tap("d", "SKIP", "1..1", "ok 1 - x # SKIP no net"), tap("b", "SKIP", "1..0 # SKIP no node"), program("c", "SKIP", "looked", "no zsh")]
        reasons = ["SKIPPED live/a/y: no disk", "SKIPPED live/b: no node", "SKIPPED live/c: no zsh", "SKIPPED live/d/x: no net"]
        self.check(tests, "1 passed, 0 failed, 4 skipped", 1, *reasons,
                   "not in tests/allowed-skips: live/b")
        self.check(tests, "1 passed, 0 failed, 4 skipped", 0, *reasons,
                   allowed="# why not\nlive/a/y: a: colon\nlive/b: b\nlive/c*: c\nlive/d/*: d\n")

    def test_nothing_ran(self):
        self.check([], "0 passed, 0 failed, 0 skipped", 1)


if __name__ == "__main__":
    harness.main()
