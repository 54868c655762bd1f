#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""packaging/debian against the rest of the tree, as far as that shows without building packages."""

import fnmatch
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
import test_staged  # noqa: E402

DEBIAN = os.path.join(harness.SOURCE_ROOT, "packaging", "debian")
PACKAGES = ("yardmaster", "yardctl", "yardmaster-dev")
# Where debian/rules has meson put things.
DIRECTORIES = {
    "bindir": "usr/bin",
    "datadir": "usr/share",
    "includedir": "usr/include",
    "libdir": "usr/lib/${DEB_HOST_MULTIARCH}",
    "libexecdir": "usr/libexec",
    "mandir": "usr/share/man",
    "prefix": "usr",
    "sysconfdir": "etc",
}
MOVED = (
    ("usr/lib/systemd/system/", "lib/systemd/system/"),
    ("usr/share/zsh/site-functions/", "usr/share/zsh/vendor-completions/"),
)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def installed():
    for path in test_staged.ALL_FILES:
        path = path.format(**DIRECTORIES)
        for old, new in MOVED:
            if path.startswith(old):
                path = new + path.removeprefix(old)
        yield path


def takes(entry, path):
    """Whether a line of debian/PACKAGE.install takes the file: itself, or a folder above it."""
    while path:
        if fnmatch.fnmatchcase(path, entry):
            return True
        path = os.path.dirname(path)
    return False


class Packaging(unittest.TestCase):
    def test_each_file_is_in_one_package(self):
        entries = [(package, line) for package in PACKAGES
                   for line in read(DEBIAN, f"{package}.install").split("\n") if line]
        for path in installed():
            packages = [package for package, entry in entries if takes(entry, path)]
            self.assertEqual(len(packages), 1, f"{path} is in packages {packages}; see debian/*.install")
        for package, entry in entries:
            self.assertTrue(any(takes(entry, path) for path in installed()), f"{package}: nothing is {entry}")

    def test_version_is_that_of_the_programs(self):
        version = re.search(r"version: '([^']+)'", read(harness.SOURCE_ROOT, "meson.build"))[1]
        self.assertRegex(read(DEBIAN, "changelog").split("\n", 1)[0], rf"^yardmaster \({re.escape(version)}\) ")

    def test_what_the_build_needs_is_installed_for_it(self):
        text = read(harness.SOURCE_ROOT, "packaging", "install-dependencies")
        known = set(re.search(r"^build=\(([^)]*)\)", text, re.MULTILINE)[1].split())
        known |= set(re.search(r"^packaging=\(([^)]*)\)", text, re.MULTILINE)[1].split())
        field = re.search(r"^Build-Depends:((?:\n .*)+)", read(DEBIAN, "control"), re.MULTILINE)[1]
        needed = {re.match(r"[a-z0-9+.-]+", entry.strip())[0] for entry in field.split(",") if entry.strip()}
        # of debhelper
        needed = {"debhelper" if name.startswith(("debhelper-", "dh-sequence-")) else name for name in needed}
        self.assertLessEqual(needed, known)


if __name__ == "__main__":
    harness.main()
