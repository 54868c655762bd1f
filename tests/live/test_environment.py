# SPDX-License-Identifier: Apache-2.0
"""What handlers find in their environment, and what they do not: credentials, servers, secrets."""

import os
import unittest

import harness

# The whole environment of the handler's process as the kernel shows it, and its credentials.
SHOW = """#!/usr/bin/env python3
import json, os, sys
sys.stdin.read()
folder = os.environ.get("CREDENTIALS_DIRECTORY")
files = {name: open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder))} if folder else None
environment = dict(entry.split("=", 1) for entry in open("/proc/self/environ").read().split("\\0") if "=" in entry)
print(json.dumps({"status": "COMPLETED", "output": {"environment": environment, "files": files}}))
"""

CONFIG = """
sources = { q = { type = "queue"; }; };
defaults = { source = "q"; handler = { command = ["@DIR@/show"]; }; };
pools = { %s };
"""

# What the daemon has, and no handler may inherit.
OWN = {
    "CONDUCTOR_SERVER_URL": "http://127.0.0.1:1/api",
    "CONDUCTOR_AUTH_KEY": "the-key",
    "CONDUCTOR_AUTH_SECRET": "the-secret",
    "CONDUCTOR_REFRESH_TOKEN_INTERVAL": "60",
    "CONDUCTOR_MAX_HTTP2_CONNECTIONS": "3",
}


class Credentials(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.remove)
        self.daemon.script("show", SHOW)
        for name in ("db", "mail", "other"):
            self.daemon.write(f"given/{name}", f"secret of {name}", 0o600)
        self.daemon.environment.update(OWN, CREDENTIALS_DIRECTORY=self.daemon.path("given"))

    def show(self, task_type):
        task = self.daemon.wait_task(self.daemon.submit(task_type))
        self.assertEqual(task["status"], "COMPLETED", task)
        return task["output"]

    def test_only_those_that_the_pool_names(self):
        self.daemon.write_config(CONFIG % 'a = { credentials = ["db", "mail"]; }; b = { credentials = "other"; }; c = {};')
        self.daemon.start()
        self.assertEqual(self.show("a")["files"], {"db": "secret of db", "mail": "secret of mail"})
        self.assertEqual(self.show("b")["files"], {"other": "secret of other"})
        self.assertIsNone(self.show("c")["files"])
        for task_type in "abc":
            environment = self.show(task_type)["environment"]
            self.assertEqual({name for name in OWN if name in environment}, set())
            self.assertNotIn("secret", " ".join(environment.values()))

        # a reload takes away and adds
        self.daemon.write_config(CONFIG % 'a = { credentials = ["mail", "other"]; }; b = {}; c = { credentials = ["db"]; };')
        self.daemon.ctl("reload")
        self.assertEqual(self.show("a")["files"], {"mail": "secret of mail", "other": "secret of other"})
        self.assertIsNone(self.show("b")["files"])
        self.assertEqual(self.show("c")["files"], {"db": "secret of db"})
        self.assertEqual(sorted(os.listdir(self.daemon.path("state", "credentials"))), ["a", "c"])
        self.assertEqual(self.daemon.stop(), 0)

        # what is left of a pool that is gone goes at the next start
        self.daemon.write_config(CONFIG % 'c = { credentials = ["db"]; };')
        self.daemon.start()
        self.assertEqual(os.listdir(self.daemon.path("state", "credentials")), ["c"])
        self.assertEqual(self.show("c")["files"], {"db": "secret of db"})
        self.assertEqual(self.daemon.stop(), 0)

    def test_one_that_is_missing_is_refused(self):
        self.daemon.write_config(CONFIG % 'a = { credentials = ["db", "nothing"]; };')
        self.daemon.spawn()
        self.assertEqual(self.daemon.wait(), 78)
        self.assertIn("pools.a.credentials: no credential 'nothing': the service needs "
                      "LoadCredential=nothing:/path", self.daemon.log.text())

    def test_check_in_a_shell_has_none(self):
        source = ('sources = { c = { type = "conductor"; url = "http://h/api"; '
                  'auth = { key_id = "k"; secret_credential = "key"; }; }; };')
        self.daemon.environment.pop("CONDUCTOR_AUTH_SECRET")
        self.daemon.environment.pop("CREDENTIALS_DIRECTORY")
        self.daemon.write_config(source)
        self.daemon.spawn("--check")
        self.assertEqual(self.daemon.wait(), 0)
        self.assertIn("sources.c.auth.secret_credential: warning: no credentials: CREDENTIALS_DIRECTORY is not set",
                      self.daemon.log.text())
        # but the daemon itself does not start without its secret
        self.daemon.spawn()
        self.assertEqual(self.daemon.wait(), 78)


if __name__ == "__main__":
    harness.main()
