#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the include lines of src/ against the table of layers.

A file may include its own folder and the folders that its row names, and nothing else of ours.
"""

import os
import re
import sys

BELOW_POOL = {"base", "task", "config", "worker", "source", "outbox"}
MAY_INCLUDE = {
    "base": set(),
    "task": {"base"},
    "config": {"base", "task"},
    "worker": {"base", "task", "config"},
    "outbox": {"base"},
    "source": {"base", "task", "config", "outbox"},
    "pool": BELOW_POOL,
    "manager": BELOW_POOL | {"pool"},
    "control": BELOW_POOL | {"pool", "manager"},
    "daemon": BELOW_POOL | {"pool", "manager", "control"},
    "handler": set(),
    "launcher": {"base", "worker/launch-wire.h", "worker/process-setup.h"},
    "runner": {"base", "task", "worker/protocol.h", "handler"},
    "ctl": {"base", "control/wire.h"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def violations(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            layer = os.path.relpath(path, root).split(os.sep)[0]
            if layer not in MAY_INCLUDE:
                yield f"{path}: folder {layer} has no row in the table of layers"
                continue
            with open(path, encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    match = INCLUDE.match(line)
                    if not match or "/" not in match[1]:
                        continue
                    target = match[1].split("/")[0]
                    if target == layer or {target, match[1]} & MAY_INCLUDE[layer]:
                        continue
                    yield f"{path}:{number}: {layer} must not include {match[1]}"


def main():
    found = list(violations(sys.argv[1]))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
