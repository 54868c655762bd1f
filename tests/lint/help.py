#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the help texts of a program against its manual page, both ways.

    help.py NAME PROGRAM PAGE.scd

Each option and verb of the help stands in the page in bold, and each option that the page has in bold,
and each verb that its sections VERBS describe, is in the help. Bold that begins with anything but an
option, a verb or the program's own name (*pkg-config --cflags*) is about something else. Help is for stdout and at most 100 columns wide.
"""

import os
import re
import subprocess
import sys

COLUMNS_MAX = 100
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
BOLD = re.compile(r"\*([^*\n]+)\*")
VERB_ROW = re.compile(r"^  ([a-z][a-z-]*(?: [a-z-]+)*)  +\S", re.MULTILINE)
# Every program has them; a page that is about more than the program need not say so.
UNIVERSAL = {"--help", "--version"}


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          encoding="utf-8")


def help_text(program, *arguments):
    result = run(program, *arguments)
    words = " ".join([os.path.basename(program), *arguments])
    if result.returncode != 0 or result.stderr or not result.stdout:
        yield f"{words}: exit {result.returncode}, {len(result.stdout)} bytes on stdout, stderr {result.stderr!r}"
    for line in result.stdout.splitlines():
        if len(line) > COLUMNS_MAX:
            yield f"{words}: over {COLUMNS_MAX} columns: {line}"
    return result.stdout


def all_help(program, found):
    """The main help, the verbs it lists, and all options of main and verbs."""
    main = yield from help_text(program, "--help")
    verbs = VERB_ROW.findall(main.split("\n\n  --")[0]) if "VERB" in main else []
    options = set(OPTION.findall(main))
    for verb in verbs:
        text = yield from help_text(program, *verb.split(), "--help")
        options |= set(OPTION.findall(text))
    found.update(verbs=verbs, options=options)


def check_manners(name, program):
    result = run(program, "--version")
    if not re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", result.stdout) or result.returncode != 0:
        yield f"{name} --version: exit {result.returncode}, {result.stdout!r}"
    result = run(program, "--no-such-option")
    if result.returncode != 2 or result.stdout or "no-such-option" not in result.stderr:
        yield f"{name} --no-such-option: exit {result.returncode}, {result.stdout!r}, {result.stderr!r}"


def described_options(text, name, verbs):
    beginnings = {name, *(verb.split()[0] for verb in verbs)}
    for bold in BOLD.findall(text):
        if bold.startswith("--") or bold.split()[:1] and bold.split()[0] in beginnings:
            yield from OPTION.findall(bold)


def check_page(page, name, help_):
    with open(page, encoding="utf-8") as file:
        text = re.sub(r"\\(.)", r"\1", file.read())
    own = page.endswith((f"{name}.1.scd", f"{name}.8.scd"))
    described = set(described_options(text, name, help_["verbs"]))
    wanted = help_["options"] if own else help_["options"] - UNIVERSAL
    for option in sorted(wanted - described):
        yield f"{page}: {option} is missing, {name} has it"
    for option in sorted(described - help_["options"]):
        yield f"{page}: {name} has no {option}"

    for verb in help_["verbs"]:
        if not re.search(rf"^\*(.*, \*)?{verb}[ *]", text, re.MULTILINE):
            yield f"{page}: no paragraph is headed *{verb}*, {name} has it"
    for section in re.findall(r"^# VERBS.*?$(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL):
        for term in re.findall(r"^\*([a-z][a-z -]*)", section, re.MULTILINE):
            if not any(re.match(rf"{verb}\b", term) for verb in help_["verbs"]):
                yield f"{page}: {name} has no verb '{term}'"


def violations(name, program, page):
    help_ = {}
    yield from all_help(program, help_)
    yield from check_manners(name, program)
    yield from check_page(page, name, help_)


def main():
    name, program, page = sys.argv[1:]
    if not os.path.exists(page):
        print(f"{page} is not written")
        return 77
    found = list(violations(name, program, page))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
