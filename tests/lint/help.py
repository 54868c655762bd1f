#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds --help and manual page together: help.py PROGRAM PAGE.scd

Each option and verb of the one stands in the other; help goes to stdout, fits 100 columns, and exits
0; a wrong option goes to stderr and exits 2.
"""

import re
import subprocess
import sys

WIDTH = 100


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def helps(program):
    """The program's help, and that of each of its verbs by name."""
    text = run(program, "--help").stdout
    verbs = re.findall(r"^  ([a-z][a-z-]*(?: [a-z-]+)?)  +\S", text, re.M)
    found = {"": text}
    for verb in verbs:
        found[verb] = run(program, *verb.split(), "--help").stdout
    return found


def problems(program, page):
    with open(page, encoding="utf-8") as file:
        manual = re.sub(r"\\(.)", r"\1", file.read())
    in_manual = set(re.findall(r"--[a-z][a-z-]+", manual))
    in_help = set()
    for verb, text in helps(program).items():
        if not text:
            yield f"{program} {verb} --help prints nothing"
        options = set(re.findall(r"--[a-z][a-z-]+", text))
        in_help |= options
        yield from (f"{page} does not mention {option} of {program} {verb}" for option in sorted(options - in_manual))
        yield from (f"{program} {verb} --help: too wide: {line}" for line in text.splitlines() if len(line) > WIDTH)
        if verb and not re.search(rf"\*{verb}\b", manual):
            yield f"{page} does not mention {program} {verb}"
    yield from (f"{page} has {option}, {program} has not" for option in sorted(in_manual - in_help))
    wrong = run(program, "--no-such-option")
    if wrong.returncode == 0 or wrong.stdout or not wrong.stderr:
        yield f"{program} --no-such-option: exit {wrong.returncode}, stdout {wrong.stdout!r}, stderr {wrong.stderr!r}"
    if run(program, "--help").returncode != 0 or run(program, "--help").stderr:
        yield f"{program} --help fails or writes to stderr"
    if not re.fullmatch(r"\S+ [0-9.]+\n", run(program, "--version").stdout):
        yield f"{program} --version does not print name and version"


def main():
    found = list(problems(*sys.argv[1:]))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
