# SPDX-License-Identifier: Apache-2.0
"""The packages under test: built once a run, or taken from where they are, and a newer one of each."""

import glob
import os
import re
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DEB = os.path.join(TOP, "packaging", "build-deb")
# What the version that an upgrade brings has more.
NEWER = "+newer"


class BuildFailed(Exception):
    pass


def run(*command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace", check=False, **options)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-30:])
        raise BuildFailed(f"{' '.join(command)}: exit {result.returncode}\n{tail}")


def make_newer(package, folder):
    """The same package under a version that is higher, so that an upgrade is one to dpkg."""
    unpacked = os.path.join(folder, "unpacked")
    run("dpkg-deb", "-R", package, unpacked)
    path = os.path.join(unpacked, "DEBIAN", "control")
    with open(path, encoding="utf-8") as file:
        control = file.read()
    # What its siblings ask of each other by version goes up with it.
    version = re.search(r"^Version: (.*)$", control, re.MULTILINE)[1]
    control = re.sub(re.escape(version) + r"(?![\w.+~-])", version + NEWER, control)
    with open(path, "w", encoding="utf-8") as file:
        file.write(control)
    os.makedirs(os.path.join(folder, "newer"), exist_ok=True)
    run("dpkg-deb", "-Znone", "-b", unpacked, os.path.join(folder, "newer"))
    shutil.rmtree(unpacked)


def stage(build, folder):
    """A package of what `meson install` would install."""
    root = os.path.join(folder, "stage")
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": root})
    os.makedirs(os.path.join(root, "DEBIAN"))
    scripts = {
        "control": "Package: yardmaster\nVersion: 0.0.1\nArchitecture: amd64\nMaintainer: nobody <nobody@localhost>\n"
                   "Description: staged from a build folder\n",
        "postinst": "#!/bin/sh\nset -e\n[ -d /usr/local/etc/yardmaster ] && ln -sfT /usr/local/etc/yardmaster /etc/yardmaster\n"
                    "systemd-sysusers\nsystemctl daemon-reload\nsystemctl enable -q --now yardmaster\n",
        "prerm": "#!/bin/sh\nsystemctl disable -q --now yardmaster\n",
    }
    for name, text in scripts.items():
        path = os.path.join(root, "DEBIAN", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
    run("dpkg-deb", "-Znone", "-b", root, folder)
    shutil.rmtree(root)


def prepare(folder, debs=None, build=None, say=print):
    """Fills folder with *.deb and newer/*.deb."""
    os.makedirs(folder)
    if debs:
        found = glob.glob(os.path.join(debs, "yard*.deb"))
        if not found:
            raise BuildFailed(f"no yard*.deb in {debs}")
        for package in found:
            shutil.copy(package, folder)
    elif build:
        stage(build, folder)
    else:
        say("building the packages")
        run(BUILD_DEB, "--no-lintian", "--output", folder)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        make_newer(package, folder)
