#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What holds for every file of the checkout, whatever its language.

    tree.py SOURCE-ROOT

A licence line in each source file; no marks of unfinished work; no path that exists on one machine only;
lines without trailing white space; each manual page built.
"""

import os
import re
import sys

SOURCES = (".c", ".h", ".cc", ".py", ".sh", ".mjs", ".build", ".bash", ".service.in", ".catalog")
SOURCE_NAMES = ("meson_options.txt",)
UNTIDY = (".md", ".scd", ".conf", ".varlink", *SOURCES)
# Inputs of tests are as bad as the tests need them.
INPUTS = ("tests/config/", "tests/fuzz/corpus/")
# Spelt so that this file does not find itself.
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.*~-])/(?:wo" r"rk|ro" r"ot|home/(?!u/|user/)\w+)/")
LICENCE = "SPDX-License-" "Identifier: Apache-2.0"


def files(root):
    for folder, folders, names in os.walk(root):
        # build folders and what belongs to tools
        folders[:] = sorted(
            name for name in folders
            if name == ".ci" or not name.startswith(".") and name != "__pycache__"
            and not os.path.exists(os.path.join(folder, name, "build.ninja"))
            and not name.startswith("build"))
        for name in sorted(names):
            path = os.path.join(folder, name)
            # a worktree's .git is a file
            if name != ".git" and os.path.isfile(path):
                yield os.path.relpath(path, root), path


def is_source(name, text):
    return name.endswith(SOURCES) or os.path.basename(name) in SOURCE_NAMES or text.startswith("#!")


def check(name, text):
    if is_source(name, text) and LICENCE not in text[:400]:
        yield f"{name}: no line '{LICENCE}' at its beginning"
    for number, line in enumerate(text.split("\n"), 1):
        for match in MARKS.finditer(line):
            yield f"{name}:{number}: unfinished: {match[0]}"
        for match in MACHINE_PATHS.finditer(line):
            yield f"{name}:{number}: a path of one machine: {match[0]}"
        if line != line.rstrip() and name.endswith(UNTIDY):
            yield f"{name}:{number}: white space at the end of the line"
    if name.endswith(UNTIDY) and text and not text.endswith("\n"):
        yield f"{name}: the last line has no end"


def violations(root):
    checked = 0
    for name, path in files(root):
        if name.startswith(INPUTS):
            continue
        with open(path, "rb") as file:
            data = file.read()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            yield f"{name}: not UTF-8"
            continue
        checked += 1
        yield from check(name, text)
    if checked == 0:
        yield f"{root}: no files"

    with open(os.path.join(root, "docs", "meson.build"), encoding="utf-8") as file:
        listed = set(re.findall(r"'([\w.-]+\.\d)'", file.read()))
    written = {name.partition(".scd")[0] for name in os.listdir(os.path.join(root, "docs")) if ".scd" in name}
    for page in sorted(written - listed):
        yield f"docs/{page}.scd: docs/meson.build does not build it"


def main():
    found = list(violations(sys.argv[1]))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
