#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up a meson run: each failure, each skip with its reason, then one line of counts.

Exits 1 on a failure, on a skip that the list of allowed ones does not name, and when no test ran.
"""

import sys
import xml.etree.ElementTree as ElementTree


def allowed_skips(path):
    with open(path, encoding="utf-8") as lines:
        return {line.split(":", 1)[0].strip() for line in lines if not line.startswith("#")}


def main():
    report, allowed_path = sys.argv[1:]
    allowed = allowed_skips(allowed_path)
    passed, failed, skipped, unexpected = 0, [], [], []
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            # A TAP program is a suite of its own, its test points are the cases.
            name = f"{suite.get('name')}/{case.get('name')}".removeprefix("yardmaster.")
            skip = case.find("skipped")
            if skip is not None:
                reason = skip.get("message") or (skip.text or "").strip() or "no reason given"
                skipped.append(f"{name}: {reason}")
                if name not in allowed:
                    unexpected.append(name)
            elif case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
            else:
                passed += 1
    for name in failed:
        print(f"FAILED {name}")
    for line in skipped:
        print(f"SKIPPED {line}")
    for name in unexpected:
        print(f"not in tests/allowed-skips: {name}")
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or unexpected or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
