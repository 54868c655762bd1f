#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of the bench for a moment each, so that they cannot rot: what they print is an
object with the figures that the driver reads. TAP.

    smoke.py BENCH_WORKER BARE_SQLITE CHILD PERSISTENT_CHILD LIBRARY BARE_CURL CONDUCTOR_STUB
"""

import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "live"))
ROUND_MSEC = "20"


def main():
    bench_worker, bare_sqlite, child, persistent_child, library, bare_curl, conductor_stub = sys.argv[1:]
    os.environ["YARDMASTER_TEST_STUB"] = conductor_stub
    from stub import Stub

    with tempfile.TemporaryDirectory(prefix="ym-smoke-") as directory, Stub() as stub:
        stub.create("smoke", 300)
        cases = {
            "per-task": ([bench_worker, "per-task", child, "2", ROUND_MSEC],
                         ("tasksPerSecond", "barePerSecond", "ratio", "ratioRange")),
            "persistent": ([bench_worker, "persistent", persistent_child, "64", ROUND_MSEC], ("tasksPerSecond",)),
            "library": ([bench_worker, "library", library, "64", ROUND_MSEC], ("tasksPerSecond",)),
            "bare-sqlite": ([bare_sqlite, directory, "3000"], ("tasksPerSecond",)),
            "bare-curl": ([bare_curl, stub.url, "smoke", "4", "4"], ("tasksPerSecond", "cpuUsecPerTask")),
        }
        print(f"1..{len(cases)}", flush=True)
        failed = 0
        for number, (name, (command, members)) in enumerate(cases.items(), 1):
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            try:
                figures = json.loads(result.stdout)
                good = result.returncode == 0 and all(figures[member] for member in members)
            except (ValueError, KeyError):
                good = False
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} {name}", flush=True)
            if not good:
                print(f"# exit {result.returncode}: {result.stdout}{result.stderr}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
