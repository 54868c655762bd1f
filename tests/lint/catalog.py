#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the message ids of the code and the texts of the journal catalog together.

    catalog.py SOURCE-ROOT

Each id of src/base/log-ids.h has one entry in systemd/yardmaster.catalog and is logged somewhere; each
entry has an id, and names only fields that log.c sends.
"""

import glob
import os
import re
import sys

DEFINITION = re.compile(r'^#define (LOG_ID_\w+)\s+"([0-9a-f]{32})"$', re.MULTILINE)
ENTRY = re.compile(r"^-- ([0-9a-f]{32})\n(.*?)(?=^-- |\Z)", re.MULTILINE | re.DOTALL)
HEADERS = ("Subject: ", "Defined-By: yardmaster\n", "Documentation: man:")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def check_entry(identifier, text, fields):
    head, _, body = text.partition("\n\n")
    for header in HEADERS:
        if not any((line + "\n").startswith(header) for line in head.split("\n")):
            yield f"catalog entry {identifier}: no {header.strip()}"
    if not body.strip():
        yield f"catalog entry {identifier}: no text"
    for field in set(re.findall(r"@(\w+)@", text)) - fields:
        yield f"catalog entry {identifier}: log.c sends no {field}"


def violations(root):
    definitions = DEFINITION.findall(read(root, "src/base/log-ids.h"))
    entries = ENTRY.findall(read(root, "systemd/yardmaster.catalog"))
    fields = set(re.findall(r'"(YARDMASTER_\w+)"', read(root, "src/base/log.c")))
    code = "".join(read(path) for path in glob.glob(f"{root}/src/**/*.c", recursive=True))

    if not definitions or not entries or not fields:
        yield f"nothing to check: {len(definitions)} ids, {len(entries)} entries, {len(fields)} fields"
    for kind, ids in ("log-ids.h", [value for _, value in definitions]), ("catalog", [id_ for id_, _ in entries]):
        for twice in {value for value in ids if ids.count(value) > 1}:
            yield f"{kind}: {twice} stands there twice"
    described = {id_ for id_, _ in entries}
    for name, value in definitions:
        if value not in described:
            yield f"{name} ({value}) has no entry in the catalog"
        if not re.search(rf"\b{name}\b", code):
            yield f"{name} is never logged"
    for id_ in sorted(described - {value for _, value in definitions}):
        yield f"catalog entry {id_} is no id of log-ids.h"
    for id_, text in entries:
        yield from check_entry(id_, text, fields)


def main():
    found = list(violations(sys.argv[1]))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
