#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pages on writing handlers against what they describe: every member of the header's structures
has its entry, every message of the protocol an example, and every example is JSON."""

import json
import os
import re
import sys

MESSAGES = {"task", "cancel", "drain", "result", "progress", "log"}
STATUSES = {"COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "IN_PROGRESS"}
SET_BY_MACRO = {"struct_size", "api_version"}


def read(root, *names):
    with open(os.path.join(root, *names), encoding="utf-8") as file:
        return file.read()


def members(header, structure):
    """Names of the members of a structure, functions included."""
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    body = re.search(rf"^struct {structure} \{{(.*?)^\}};", header, re.MULTILINE | re.DOTALL)[1]
    for declaration in body.split(";"):
        match = re.search(r"\(\*(\w+)\)", declaration) or re.search(r"(\w+)\s*$", declaration)
        if match:
            yield match[1]


def undocumented(header, page):
    for structure in ("yardmaster_handler", "yardmaster_task", "yardmaster_host"):
        for member in members(header, structure):
            entry = rf"^.*\*([^*\n]*\W)?{member}(\(|\*)"
            if member not in SET_BY_MACRO and not re.search(entry, page, re.MULTILINE):
                yield f"yardmaster-handler(3) has no entry for {structure}.{member}"
    for name in re.findall(r"^ {8}(YARDMASTER_[A-Z_]+) = ", header, re.MULTILINE):
        if f"*{name}*" not in page:
            yield f"yardmaster-handler(3) does not mention {name}"


def json_examples(page):
    """Objects in literal blocks; each begins a line with {" and may go on over the next."""
    for block in re.findall(r"^\t*```\n(.*?)^\t*```$", page, re.MULTILINE | re.DOTALL):
        text = re.sub(r"(^|\n)\t*", "", block)
        decoder = json.JSONDecoder()
        position = 0
        while text[position : position + 2] == '{"':
            value, position = decoder.raw_decode(text, position)
            yield value


def wrong_examples(page, name):
    try:
        examples = list(json_examples(page))
    except ValueError as error:
        yield f"{name}: an example is no JSON: {error}"
        return
    for example in examples:
        status = example.get("status", "COMPLETED")
        if status not in STATUSES:
            yield f"{name}: an example has the status {status}"
    if name == "yardmaster-protocol(7)":
        shown = {example.get("type") for example in examples}
        for message in sorted(MESSAGES ^ shown):
            yield f"{name}: {message} is a message without example, or none of ours"


def main():
    root = sys.argv[1]
    found = list(
        undocumented(
            read(root, "src", "handler", "yardmaster-handler.h"),
            read(root, "docs", "yardmaster-handler.3.scd"),
        )
    )
    for name in ("yardmaster-protocol", "yardmaster-command"):
        found += wrong_examples(read(root, "docs", f"{name}.7.scd"), f"{name}(7)")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
