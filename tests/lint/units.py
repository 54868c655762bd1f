#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The units and their drop-ins: systemd finds nothing to say about them, and little that is not confined.

    units.py BINDIR DROP-INS UNIT...

UNIT: as they were built. systemd-analyze exits with 0 whatever it complains about, so any word is a failure.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

# In tenths: a unit of 1.5 passes, one of 1.6 does not.
THRESHOLD = 15
# Where this machine's own units are: ours refer to its targets.
SYSTEM_UNITS = "/lib/systemd/system"


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", "--no-pager", *arguments], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.strip()


def populate(root, bindir, units):
    """A system in which only our units and what they refer to are."""
    for name in "yardmasterd", "yardctl":
        path = root + os.path.join(bindir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)
    folder = os.path.join(root, "etc/systemd/system")
    os.makedirs(folder)
    for path in units:
        shutil.copy(path, folder)
    os.makedirs(os.path.join(root, "usr/lib/systemd"))
    shutil.copytree(SYSTEM_UNITS, os.path.join(root, "usr/lib/systemd/system"), symlinks=True)
    if not os.path.lexists(os.path.join(root, "lib")):
        os.symlink("usr/lib", os.path.join(root, "lib"))
    return folder


def instance_of(name):
    return name.replace("@.", "@tenant.")


def verify(root, name):
    _, said = analyze("verify", "--man=no", "--recursive-errors=no", "--root", root, instance_of(name))
    return said


def check_drop_ins(root, folder, name, drop_ins):
    """Each alone, then all together."""
    place = os.path.join(folder, instance_of(name) + ".d")
    paths = [os.path.join(drop_ins, file) for file in sorted(os.listdir(drop_ins))]
    for chosen in [[path] for path in paths] + [paths]:
        os.makedirs(place)
        for path in chosen:
            shutil.copy(path, place)
        said = verify(root, name)
        if said:
            yield f"{name} with {', '.join(os.path.basename(path) for path in chosen)}: {said}"
        shutil.rmtree(place)


def check_header(path):
    """A drop-in begins with what it is for, and sets something."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    if lines[0] != "# SPDX-License-Identifier: Apache-2.0" or not lines[2].startswith("# "):
        yield f"{path}: does not say what it is for"
    if not any(re.match(r"[A-Za-z]+=", line) for line in lines):
        yield f"{path}: sets nothing"


def check_unit(root, folder, path, drop_ins):
    name = os.path.basename(path)
    said = verify(root, name)
    if said:
        yield f"{name}: {said}"
        return
    yield from check_drop_ins(root, folder, name, drop_ins)
    status, table = analyze("security", "--offline=yes", f"--threshold={THRESHOLD}", "--root", root, instance_of(name))
    if status != 0 or "Overall exposure level" not in table:
        yield f"{name} is not confined well enough:\n{table}"


def main():
    bindir, drop_ins, *units = sys.argv[1:]
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is missing")
        return 77
    with tempfile.TemporaryDirectory(prefix="ym-") as root:
        folder = populate(root, bindir, units)
        problems = [problem for path in units for problem in check_unit(root, folder, path, drop_ins)]
    for name in sorted(os.listdir(drop_ins)):
        problems += check_header(os.path.join(drop_ins, name))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
