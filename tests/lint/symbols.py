#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs and handlers export, call and link.

    symbols.py YARDMASTERD YARDCTL YARDMASTER-RUNNER [HANDLER.so]...

The daemon never loads foreign code and never forks; client and runner stay small; a program exports
nothing of its own, a handler its one symbol.
"""

import os
import re
import subprocess
import sys

# Never called: foreign code, fork's copy of the address space, a shell.
DAEMON_NEVER = {"dlopen", "dlmopen", "fork", "system", "popen", "wordexp"}
NEVER_LINKED = {
    "yardctl": {"sqlite3", "config", "curl"},
    "yardmaster-runner": {"sqlite3", "config", "json-c", "curl"},
}
# The linker's own.
UNAVOIDABLE = {"_edata", "_end", "__bss_start", "_init", "_fini", "_IO_stdin_used", "data_start", "__data_start"}
HANDLER_SYMBOL = "yardmaster_handler_v1"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def symbols(path, which):
    """(name, letter) of each dynamic symbol, but for those that come from another library's version."""
    for line in output("nm", "--dynamic", which, path).splitlines():
        letter, name = line.split()[-2:]
        if which == "--undefined-only" or "@" not in name:
            yield name.split("@")[0], letter


def linked(path):
    return set(re.findall(r"NEEDED.*\[lib([\w.+-]+?)\.so", output("readelf", "--dynamic", path)))


def check_program(path):
    name = os.path.basename(path)
    for symbol, _ in symbols(path, "--defined-only"):
        if symbol not in UNAVOIDABLE:
            yield f"{name} exports {symbol}"
    for library in sorted(linked(path) & NEVER_LINKED.get(name, set())):
        yield f"{name} is linked to lib{library}"
    if name == "yardmasterd":
        for symbol, _ in symbols(path, "--undefined-only"):
            if symbol in DAEMON_NEVER:
                yield f"{name} calls {symbol}"
    if "RUNPATH" in output("readelf", "--dynamic", path):
        yield f"{name} looks for libraries in a folder of its own"


def check_handler(path):
    # weak ones are instances of C++ templates
    strong = {symbol for symbol, letter in symbols(path, "--defined-only") if letter not in "WVu"}
    if strong != {HANDLER_SYMBOL}:
        yield f"{path} exports {sorted(strong)}, not {HANDLER_SYMBOL} alone"


def main():
    found = []
    for path in sys.argv[1:]:
        found.extend(check_handler(path) if path.endswith(".so") else check_program(path))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
