#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up a meson run: each failure and skip by name, the time of each suite, one line of counts.

    summary.py BUILD ALLOWED-SKIPS     a program's second try, in second.json, counts in place of its first
    summary.py BUILD --list-failed     the programs that failed at the first try

A TAP program counts by its test points, any other as one. What meson says of a program as a whole
(that it died, hung, or made fewer points than it planned) is a failure under the program's name,
unless one of its points failed already. Exits 1 on a failure, on a skip that the list of allowed ones
does not name, and when no test passed.

This reads meson's JSON log, not its JUnit one, where a program that hangs has passed.
"""

import json
import os
import re
import sys

POINT = re.compile(r"(not )?ok\b\s*(?:\d+)?\s*(?:-\s+)?(.*?)\s*(?:#\s*skip\S*\s*(.*))?$", re.IGNORECASE)
SKIP_ALL = re.compile(r"1\.\.0\s*#\s*skip\S*\s*(.*)$", re.IGNORECASE)
NO_REASON = "no reason given"
LINE_MAX = 300


class Summary:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []  # (name, reason)
        self.seconds = {}  # of each suite

    def skip(self, name, reason):
        self.skipped.append((name, reason.strip() or NO_REASON))

    def add_points(self, name, lines):
        """The number of points; they are counted."""
        count = 0
        for line in lines:
            match = POINT.match(line)
            if not match:
                continue
            count += 1
            failed, point, reason = match.groups()
            if reason is not None:
                self.skip(f"{name}/{point}", reason)
            elif failed:
                self.failed.append(f"{name}/{point}")
            else:
                self.passed += 1
        return count

    def add_tap(self, name, result, lines):
        failed_before = len(self.failed)
        whole = [match for match in map(SKIP_ALL.match, lines) if match]
        if whole and result == "SKIP":
            self.skip(name, whole[0][1])
            return
        count = self.add_points(name, lines)
        if result == "SKIP" and count > 0:
            return  # each of its points
        if result != "OK" and len(self.failed) == failed_before:
            self.failed.append(f"{name}: {count} test points, then {result}")
        elif count == 0:
            self.failed.append(f"{name}: no test points")

    def add_program(self, name, result, lines):
        if result == "OK":
            self.passed += 1
        elif result == "SKIP":
            self.skip(name, lines[-1] if lines else "")
        else:
            self.failed.append(f"{name}: {result}")

    def add(self, entry, protocol):
        # "yardmaster:live / test_first", suites of subprojects are not ours
        suite, _, program = entry["name"].partition(" / ")
        name = f"{suite.split(':')[-1]}/{program}"
        lines = entry.get("stdout", "").splitlines()
        self.seconds[name.split("/")[0]] = self.seconds.get(name.split("/")[0], 0) + entry["duration"]
        if protocol == "tap":
            self.add_tap(name, entry["result"], lines)
        else:
            self.add_program(name, entry["result"], lines)


def read_allowed(path):
    """Each line is "name: why"; "*" in a name stands for anything."""
    with open(path, encoding="utf-8") as lines:
        names = [line.split(": ", 1)[0].strip() for line in lines if line.strip() and line[0] != "#"]
    return [re.compile(re.escape(name).replace(r"\*", ".*") + "$") for name in names]


def read_protocols(build):
    with open(os.path.join(build, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        return {(test["suite"][0], test["name"]): test["protocol"] for test in json.load(file)}


def read_log(build, base):
    try:
        with open(os.path.join(build, "meson-logs", base + ".json"), encoding="utf-8") as file:
            return {entry["name"]: entry for entry in map(json.loads, file)}
    except FileNotFoundError:
        return {}


def list_failed(build):
    """The programs that failed, a line each, as meson takes their names."""
    for entry in read_log(build, "testlog").values():
        if entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
            print(entry["name"].partition(" / ")[2])


def main():
    build, allowed_path = sys.argv[1:]
    if allowed_path == "--list-failed":
        return list_failed(build)
    summary = Summary()
    protocols = read_protocols(build)
    tests = read_log(build, "testlog")
    second = read_log(build, "second")
    for name, entry in second.items():
        if entry["result"] == "OK":
            print(f"FAILED AT FIRST, passed when run alone: {name}")
    for entry in {**tests, **second}.values():
        suite, _, program = entry["name"].partition(" / ")
        summary.add(entry, protocols.get((suite, program), "exitcode"))

    allowed = read_allowed(allowed_path)
    unexpected = [name for name, _ in summary.skipped if not any(known.match(name) for known in allowed)]
    for name in summary.failed:
        print(f"FAILED {name}"[:LINE_MAX])
    for name, reason in summary.skipped:
        print(f"SKIPPED {name}: {reason}"[:LINE_MAX])
    for name in unexpected:
        print(f"not in tests/allowed-skips: {name}"[:LINE_MAX])
    times = sorted(summary.seconds.items(), key=lambda item: -item[1])
    print("seconds: " + ", ".join(f"{suite} {seconds:.0f}" for suite, seconds in times))
    print(f"{summary.passed} passed, {len(summary.failed)} failed, {len(summary.skipped)} skipped")
    return 1 if summary.failed or unexpected or not summary.passed else 0


if __name__ == "__main__":
    sys.exit(main())
