#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds files to 600 lines and function bodies to 80, as src/README.md says."""

import os
import sys

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 80


def long_functions(lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and start is None:
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield start, number - start - 1
            start = None


def violations(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                lines = file.read().split("\n")
            if len(lines) - 1 > FILE_LINES_MAX:
                yield f"{path}: {len(lines) - 1} lines, at most {FILE_LINES_MAX}: split it by noun"
            for start, length in long_functions(lines):
                yield f"{path}:{start}: a function body of {length} lines, at most {FUNCTION_LINES_MAX}"


def main():
    found = [line for root in sys.argv[1:] for line in violations(root)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
