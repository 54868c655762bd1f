#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user's own prefix, without systemd: install, write a handler, run the installed daemon.

As root the daemon runs as a user that no passwd file knows, with nothing but HOME, PATH and, where the
test is about it, the XDG folders in its environment.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import harness  # noqa: E402

MESON = os.environ["YARDMASTER_TEST_MESON"]
USER = 61234 if os.geteuid() == 0 else None

# A handler of its own, as the manual page shows one.
GREET = """
#include <errno.h>
#include <yardmaster-handler.h>

static int greet(void *thread, const struct yardmaster_task *task, struct yardmaster_result *result)
{
        const char *name = task->host->input_string(task, "name");

        (void)thread;
        if (!name)
                return -EINVAL;
        return task->host->add_string(result, "greeting", name);
}

static struct yardmaster_handler handler = {
        .name = "greet",
        .version = "1.0",
        .description = "greets people",
        .execute = greet,
};
YARDMASTER_HANDLER(handler)
"""
GREET_CONF = """
pools: { greet: { source = "local"; handler = { library = "greet.so"; threads = 2; }; }; };
"""


README = os.path.join(harness.SOURCE_ROOT, "README.md")


def blocks_of_readme():
    """(paragraph, the block of code below it) for each block of README's section "Write a worker"."""
    with open(README, encoding="utf-8") as file:
        section = file.read().split("## Write a worker\n")[1].split("\n## ")[0]
    return re.findall(r"((?:^\S.*\n)*)\n?((?:^(?: {4}.*)?\n)*^ {4}.*\n)", section, re.MULTILINE)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, check=False, **{"text": True, **options})
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Prefix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.mkdtemp(prefix="ym-")
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        os.chmod(cls.scratch, 0o755)
        cls.prefix = os.path.join(cls.scratch, "prefix")
        build = os.path.join(cls.scratch, "build")
        run(MESON, "setup", build, harness.SOURCE_ROOT, "--prefix", cls.prefix, "--buildtype=debug",
            "-Dtests=false", "--libdir=lib")
        run("ninja", "-C", build)
        run(MESON, "install", "-C", build, "--no-rebuild")
        shutil.rmtree(build)
        cls.pkgconfig = {**os.environ, "PKG_CONFIG_PATH": os.path.join(cls.prefix, "lib", "pkgconfig")}

    def setUp(self):
        self.home = self.folder("home")
        self.runtime = self.folder("runtime")
        self.environment = {"HOME": self.home, "PATH": f"{self.prefix}/bin:{os.environ['PATH']}",
                            "XDG_RUNTIME_DIR": self.runtime}

    def folder(self, name):
        path = tempfile.mkdtemp(prefix=name, dir=self.scratch)
        if USER:
            os.chown(path, USER, USER)
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def user_options(self):
        options = {"env": self.environment, "cwd": self.home, "text": True}
        if USER:
            options.update(user=USER, group=USER, extra_groups=[])
        return options

    def as_user(self, program, *arguments, status=0):
        done = subprocess.run([os.path.join(self.prefix, "bin", program), *arguments], check=False,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=harness.TIMEOUT,
                              **self.user_options())
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def shell(self, command):
        return run("sh", "-c", command, timeout=harness.TIMEOUT, **self.user_options())

    def start(self):
        """The daemon with the installed configuration, once it says that it is ready."""
        daemon = subprocess.Popen([os.path.join(self.prefix, "bin", "yardmasterd")], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace",
                                  **self.user_options())
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        log = harness.Log(daemon.stderr)
        self.assertIn("0 pools, 1 source,", log.wait_for("ready: "))
        return daemon, log

    def add_handler(self):
        """greet.so, by the installed header and pkg-config file, among the installed handlers."""
        source = os.path.join(self.home, "greet.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(GREET)
        flags = run("pkg-config", "--cflags", "--libs", "yardmaster-handler", env=self.pkgconfig).split()
        folder = run("pkg-config", "--variable=handlerdir", "yardmaster-handler", env=self.pkgconfig).strip()
        path = os.path.join(folder, "greet.so")
        run(*os.environ.get("CC", "cc").split(), "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path,
            source, *flags)
        self.addCleanup(os.unlink, path)

    def add_config(self, name, text):
        path = os.path.join(self.prefix, "etc", "yardmaster", "conf.d", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.addCleanup(os.unlink, path)

    def in_prefix(self, text):
        """What README says of a service, for this prefix and its user."""
        for folder in "/usr/local", "/etc/yardmaster":
            text = text.replace(folder, self.prefix + folder.removeprefix("/usr/local"))
        return text.replace("sudo ", "").replace("systemctl reload yardmaster", "yardctl reload")

    def test_readme(self):
        """What README tells a new user to do, from the first handler to the daemon's status."""
        self.start()
        commands = []
        for paragraph, block in blocks_of_readme():
            block = self.in_prefix(textwrap.dedent(block))
            path = re.search(r"`(/(?:usr/local|etc/yardmaster)/\S+)`", paragraph)
            if path:
                path = self.in_prefix(path[1])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(block)
                os.chmod(path, 0o755 if block.startswith("#!") else 0o644)
                self.addCleanup(os.unlink, path)
            else:
                commands.extend(block.strip().split("\n"))
        self.assertEqual([command.split()[0] for command in commands],
                         ["yardmasterd", "yardmasterd", "yardctl", "yardctl", "yardctl"])
        try_it, check, take_over, submit, status = commands
        self.assertEqual(json.loads(self.shell(try_it)), {"greeting": "Hello, Ada"})
        self.assertIn("valid, 1 pool, 1 source", self.shell(check))
        self.shell(take_over)
        self.assertEqual(json.loads(self.shell(submit)), {"greeting": "Hello, Ada"})
        self.assertRegex(self.shell(status), r"greet +running ")

    def test_installed_configuration_is_valid_and_has_no_pools(self):
        self.assertIn(f"{self.prefix}/etc/yardmaster/yardmaster.conf: valid, 0 pools, 1 source",
                      self.as_user("yardmasterd", "--check"))

    def test_whole_way_of_a_new_user(self):
        daemon, log = self.start()
        self.assertTrue(os.path.exists(os.path.join(self.runtime, "yardmaster", "control")))
        self.assertTrue(os.path.isdir(os.path.join(self.home, ".local", "state", "yardmaster")))

        self.add_handler()
        self.add_config("greet.conf", GREET_CONF)
        self.as_user("yardctl", "reload")
        greeting = self.as_user("yardctl", "submit", "greet", '{"name": "Ada"}', "--wait", "--timeout", "60s")
        self.assertEqual(json.loads(greeting), {"greeting": "Ada"})
        self.assertIn("greet", self.as_user("yardctl", "status"))

        self.as_user("yardctl", "drain")
        self.assertEqual(daemon.wait(harness.TIMEOUT), 0, log.text())
        self.assertFalse(os.path.exists(os.path.join(self.runtime, "yardmaster", "control")))

    def test_state_goes_where_xdg_says(self):
        state = self.environment["XDG_STATE_HOME"] = self.folder("state")
        daemon, log = self.start()
        self.assertTrue(os.path.exists(os.path.join(state, "yardmaster", "queue-local.db")))
        self.assertFalse(os.path.exists(os.path.join(self.home, ".local")))
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(harness.TIMEOUT), 0, log.text())

    def test_a_second_daemon_is_told_of_the_first(self):
        daemon, _ = self.start()
        self.assertIn(str(daemon.pid), self.as_user("yardmasterd", status=75))

    def test_without_a_place_for_the_socket(self):
        del self.environment["XDG_RUNTIME_DIR"]
        self.assertIn("XDG_RUNTIME_DIR", self.as_user("yardmasterd", status=78))

    @unittest.skipUnless(os.environ["YARDMASTER_TEST_CRYPTO"], "no libcrypto")
    def test_run_once_finds_runner_and_handlers(self):
        library = os.path.join(self.prefix, "lib", "yardmaster", "handlers", "hash.so")
        answer = self.as_user("yardmasterd", "run", "hash", "--once", "--input", '{"text": "abc"}', "--", library)
        self.assertIn(hashlib.sha256(b"abc").hexdigest(), answer)


if __name__ == "__main__":
    harness.main()
