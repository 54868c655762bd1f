#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""meson install with DESTDIR, as a package is made: each file where it belongs, none besides."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import harness  # noqa: E402

BUILD = os.environ["YARDMASTER_TEST_BUILD"]
MESON = os.environ["YARDMASTER_TEST_MESON"]

PROGRAMS = {"{bindir}/yardctl", "{bindir}/yardmasterd", "{libexecdir}/yardmaster/yardmaster-runner",
            "{libexecdir}/yardmaster/yardmaster-launcher"}
EXAMPLES = "{datadir}/yardmaster/examples/"
EXAMPLE_PROGRAMS = {EXAMPLES + name for name in ("count.py", "file-size.sh", "letters.mjs")}
EXAMPLE_FILES = {
    EXAMPLES + name
    for name in ("count.conf", "file-size.conf", "hash.c", "hash.conf", "letters.conf", "words.cc", "words.conf")
}
DROP_INS = {
    f"{{datadir}}/yardmaster/systemd/20-{name}.conf"
    for name in ("credentials", "devices", "home", "instance", "jit", "namespaces", "network", "proc", "write")
}
PAGES = {
    f"{{mandir}}/man{page[-1]}/{page}"
    for page in (
        "io.yardmaster.Manager.7",
        "yardctl.1",
        "yardmaster-command.7",
        "yardmaster-handler.3",
        "yardmaster-protocol.7",
        "yardmaster-troubleshooting.7",
        "yardmaster-worker.7",
        "yardmaster.conf.5",
        "yardmasterd.8",
    )
}
DATA = {
    "{datadir}/bash-completion/completions/yardctl",
    "{datadir}/yardmaster/io.yardmaster.Manager.varlink",
    "{datadir}/zsh/site-functions/_yardctl",
    "{includedir}/yardmaster-handler.h",
    "{libdir}/pkgconfig/yardmaster-handler.pc",
    "{prefix}/lib/systemd/catalog/yardmaster.catalog",
    "{prefix}/lib/systemd/system/yardmaster.service",
    "{prefix}/lib/systemd/system/yardmaster@.service",
    "{prefix}/lib/sysusers.d/yardmaster.conf",
    "{prefix}/lib/tmpfiles.d/yardmaster.conf",
    "{datadir}/doc/yardmaster/examples/conductor.conf",
    "{datadir}/doc/yardmaster/examples/example.conf",
    "{sysconfdir}/yardmaster/conf.d/README",
    "{sysconfdir}/yardmaster/yardmaster.conf",
} | DROP_INS
HANDLERS = {
    f"{{libdir}}/yardmaster/handlers/{name}.so"
    for name, built in (("hash", "YARDMASTER_TEST_CRYPTO"), ("words", "YARDMASTER_TEST_CXX"))
    if os.environ[built]
}
ALL_FILES = PROGRAMS | EXAMPLE_PROGRAMS | EXAMPLE_FILES | PAGES | DATA | HANDLERS


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def directories():
    """bindir and the like, absolute."""
    options = {row["name"]: row["value"] for row in json.loads(output(MESON, "introspect", "--buildoptions", BUILD))}
    prefix = options["prefix"]
    return {
        name: os.path.join(prefix, options[name])
        for name in ("prefix", "bindir", "datadir", "includedir", "libdir", "libexecdir", "mandir", "sysconfdir")
    }


class Staged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="ym-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        output(MESON, "install", "-C", BUILD, "--no-rebuild", "--destdir", cls.root)
        cls.directories = directories()
        cls.pkgconfig = cls.staged("{libdir}/pkgconfig")

    @classmethod
    def staged(cls, path):
        return cls.root + path.format(**cls.directories)

    def read(self, path):
        with open(self.staged(path), encoding="utf-8") as file:
            return file.read()

    def require(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is missing")

    def test_each_file_and_no_other(self):
        found = {
            os.path.join(folder, name)[len(self.root):]
            for folder, _, names in os.walk(self.root)
            for name in names
        }
        self.assertEqual(found, {path.format(**self.directories) for path in ALL_FILES})

    def test_modes(self):
        for paths, mode in (PROGRAMS | EXAMPLE_PROGRAMS | HANDLERS, 0o755), (DATA | PAGES | EXAMPLE_FILES, 0o644):
            for path in paths:
                self.assertEqual(oct(stat.S_IMODE(os.stat(self.staged(path)).st_mode)), oct(mode), path)

    def test_nothing_tells_of_the_staging_or_build_folder(self):
        for path in DATA | PAGES:
            text = self.read(path)
            for folder in (self.root, BUILD):
                self.assertNotIn(folder, text, path)

    def test_examples_of_pools_are_valid(self):
        folder = self.staged("{sysconfdir}/yardmaster")
        scratch = os.path.join(self.root, "example")
        shutil.copytree(folder, scratch)
        self.addCleanup(shutil.rmtree, scratch)
        for example, pools, sources in (("example", "1 pool", "1 source"), ("conductor", "2 pools", "2 sources")):
            shutil.copy(self.staged(f"{{datadir}}/doc/yardmaster/examples/{example}.conf"), f"{scratch}/conf.d")
            text = output(self.staged("{bindir}/yardmasterd"), "--check", "--config",
                          os.path.join(scratch, "yardmaster.conf"),
                          env={**os.environ, "XDG_RUNTIME_DIR": scratch, "HOME": scratch})
            self.assertIn(f"valid, {pools}, {sources}", text)

    def test_pkg_config(self):
        self.require("pkg-config")
        environment = {**os.environ, "PKG_CONFIG_PATH": self.pkgconfig}
        ask = lambda *what: output("pkg-config", *what, "yardmaster-handler", env=environment).strip()  # noqa: E731
        self.assertRegex(ask("--modversion"), r"^\d+\.\d+\.\d+$")
        self.assertEqual(ask("--variable=handlerdir"), "{libdir}/yardmaster/handlers".format(**self.directories))
        self.assertEqual(ask("--libs"), "")
        self.assertEqual(ask("--variable=includedir"), self.directories["includedir"])

    def test_units_name_what_is_installed(self):
        for name, folder, runtime in (("yardmaster", "", "yardmaster"),
                                      ("yardmaster@", "/instances/%i", "yardmaster-%i")):
            unit = self.read(f"{{prefix}}/lib/systemd/system/{name}.service")
            config = f"{{sysconfdir}}/yardmaster{folder}/yardmaster.conf".format(**self.directories)
            bindir = self.directories["bindir"]
            self.assertIn(f"\nExecStart={bindir}/yardmasterd --config {config}\n", unit)
            self.assertIn(f"\nExecReload={bindir}/yardctl --socket /run/{runtime}/control reload\n", unit)
            self.assertIn(f"\nRuntimeDirectory={runtime}\n", unit)
            self.assertIn(f"\nStateDirectory={runtime}\n", unit)
            self.assertNotRegex(unit, "@[A-Z]")
            # systemd 252 reads the newer type as "simple", without a word to the daemon
            self.assertIn("\nType=notify\n", unit)
            for page, section in re.findall(r"man:(\S+)\((\d)\)", unit):
                self.assertIn(f"{{mandir}}/man{section}/{page}.{section}", PAGES)
            drop_ins = re.search(r"(\S+) has\n# drop-ins", unit).group(1)
            self.assertIn(drop_ins + "/20-jit.conf", {path.format(**self.directories) for path in DROP_INS})

    def test_systemd_accepts_the_units(self):
        self.require("systemd-analyze")
        for unit in "yardmaster.service", "yardmaster@tenant.service":
            # systemd looks at targets too, which a staging folder has not
            text = output("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root", self.root, unit)
            complaints = [line for line in text.splitlines() if "yardmaster" in line]
            self.assertEqual(complaints, [])

    def test_tmpfiles_makes_the_folder_of_instances(self):
        self.require("systemd-tmpfiles")
        if os.geteuid() != 0:
            self.skipTest("only root makes folders of root")
        with tempfile.TemporaryDirectory(prefix="ym-") as root:
            os.makedirs(f"{root}/etc")
            shutil.copy("/etc/passwd", f"{root}/etc")
            shutil.copy("/etc/group", f"{root}/etc")
            output("systemd-tmpfiles", "--root", root, "--create", self.staged("{prefix}/lib/tmpfiles.d/yardmaster.conf"))
            folder = root + "{sysconfdir}/yardmaster/instances".format(**self.directories)
            self.assertEqual(oct(stat.S_IMODE(os.stat(folder).st_mode)), oct(0o755))

    def test_sysusers_makes_the_user_of_the_unit(self):
        self.require("systemd-sysusers")
        if os.geteuid() != 0:
            self.skipTest("only root makes users")
        with tempfile.TemporaryDirectory(prefix="ym-") as root:
            for folder in "etc", "usr/lib/sysusers.d":
                os.makedirs(os.path.join(root, folder))
            shutil.copy(self.staged("{prefix}/lib/sysusers.d/yardmaster.conf"), f"{root}/usr/lib/sysusers.d")
            output("systemd-sysusers", "--root", root)
            with open(f"{root}/etc/passwd", encoding="utf-8") as file:
                user = [line.split(":") for line in file if line.startswith("yardmaster:")][0]
        self.assertEqual(user[5], "/var/lib/yardmaster")
        self.assertIn("\nUser=yardmaster\n", self.read("{prefix}/lib/systemd/system/yardmaster.service"))

    def test_journal_reads_the_catalog(self):
        self.require("journalctl")
        output("journalctl", "--root", self.root, "--update-catalog")
        self.addCleanup(shutil.rmtree, os.path.join(self.root, "var"))
        text = output("journalctl", "--root", self.root, "--no-pager", "--dump-catalog")
        catalog = self.read("{prefix}/lib/systemd/catalog/yardmaster.catalog")
        for message_id in re.findall(r"^-- (\w+)$", catalog, re.MULTILINE):
            self.assertIn(f"-- {message_id}", text)

    def test_bash_takes_the_completion(self):
        path = self.staged("{datadir}/bash-completion/completions/yardctl")
        self.assertIn("yardctl", output("bash", "--norc", "-c", f". '{path}' && complete -p yardctl"))


if __name__ == "__main__":
    harness.main()
