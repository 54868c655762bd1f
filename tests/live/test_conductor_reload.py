# SPDX-License-Identifier: Apache-2.0
"""Conductor sources whose configuration changes: secrets, another server, another name."""

import json
import os
import unittest

import harness
import stub

# Answers with its environment when the gate is there; a task whose input says so needs none.
SHOW = """#!/bin/sh
read task
echo "has $(echo "$task" | jq -r .taskId)" >&2
[ "$(echo "$task" | jq -r .inputData.now)" = true ] || while [ ! -e gate ]; do sleep 0.02; done
jq -nc '{status: "COMPLETED", output: {url: env.CONDUCTOR_SERVER_URL, key: env.CONDUCTOR_AUTH_KEY,
                                       secret: env.CONDUCTOR_AUTH_SECRET}}'
"""

NOW = {"now": True}


class Reload(unittest.TestCase):
    def server(self, *options):
        server = stub.Stub(*options)
        self.addCleanup(server.stop)
        return server

    def config(self, url, keys="", pool=""):
        return (f'sources = {{ prod = {{ type = "conductor"; url = "{url}"; {keys} }}; }};\n'
                f'pools = {{ t = {{ source = "prod"; handler = {{ command = ["@DIR@/show"]; }}; workers = 2;'
                f" working_directory = \"@DIR@\"; poll_timeout = \"100ms\"; {pool} }}; }};\n")

    def daemon(self, config, **environment):
        daemon = harness.Daemon(environment=environment)
        self.addCleanup(daemon.remove)
        self.addCleanup(daemon.stop)
        daemon.script("show", SHOW)
        daemon.write("secret", "the-secret\n", 0o600)
        daemon.write_config(config)
        return daemon.start()

    def reload(self, daemon, config):
        daemon.write_config(config)
        return daemon.ctl_json("reload")

    def run_one(self, server, **members):
        task_id = server.create("t", 1, input=NOW, **members)[0]
        server.wait("settled")
        return server.task(task_id)

    def test_another_server(self):
        old, new = self.server(), self.server()
        daemon = self.daemon(self.config(old.url))
        held = old.create("t", 1)[0]
        daemon.log.wait_for(f"has {held}")
        report = self.reload(daemon, self.config(new.url))
        self.assertEqual(report["restarted"], ["t"])

        # what is in hand ends where it came from, and nothing is fetched anywhere before
        first = new.create("t", 1, input=NOW)[0]
        late = old.create("t", 1, input=NOW)[0]
        daemon.write("gate", "")
        old.wait("completed", 1)
        new.wait("completed", 1)
        self.assertEqual(old.task(held)["outputData"]["url"], old.url)
        self.assertEqual(new.task(first)["outputData"]["url"], new.url)
        self.assertEqual(old.task(late)["status"], "SCHEDULED")
        self.assertEqual(daemon.ctl_json("list", "pools")["pools"][0]["state"], "running")

        # and back again, with nothing in hand
        self.reload(daemon, self.config(old.url))
        old.wait("settled")
        self.assertEqual(old.task(late)["outputData"]["url"], old.url)

    def test_server_at_a_new_address(self):
        """The old address answers no more: its results reach the new one."""
        nowhere, server = "http://127.0.0.1:1/api", self.server()
        daemon = self.daemon(self.config(server.url))
        held = server.create("t", 1)[0]
        daemon.log.wait_for(f"has {held}")
        fault = server.fault("status", path="/api/tasks*", method="POST", status=503, count=1000000)
        self.reload(daemon, self.config(nowhere))
        daemon.write("gate", "")
        daemon.log.wait_for(f"task {held} .* COMPLETED after")
        harness.eventually(lambda: server.faults()[fault]["fired"] > 0, "the result was refused")
        daemon.log.wait_for("source prod is now as the configuration has it")
        server.clear_faults()
        self.reload(daemon, self.config(server.url))
        server.wait("settled")
        self.assertEqual(server.task(held)["status"], "COMPLETED")

    def test_another_worker_id(self):
        server = self.server()
        daemon = self.daemon(self.config(server.url))
        self.assertRegex(self.run_one(server)["workerId"], r":t:[0-9a-f]{16}$")
        self.reload(daemon, self.config(server.url, 'worker_id = "me";'))
        self.assertEqual(self.run_one(server)["workerId"], "me")

    def test_other_keys_change_in_place(self):
        server = self.server()
        daemon = self.daemon(self.config(server.url))
        held = server.create("t", 1)[0]
        daemon.log.wait_for(f"has {held}")
        report = self.reload(daemon, self.config(server.url, 'connections = 2; headers = ["X-A: b"];', "batch = 1;"))
        self.assertEqual((report["restarted"], report["changed"]), ([], ["t"]))
        self.run_one_beside(server)
        daemon.write("gate", "")
        server.wait("settled")
        self.assertEqual(server.counts()["handedBack"], 0)

    def test_set_by_command(self):
        server = self.server()
        daemon = self.daemon(self.config(server.url, pool="batch = 1;"))
        daemon.ctl("set", "t", "batch=7", "poll_timeout=0")
        self.run_one(server)
        settings = {row["path"]: row for row in daemon.ctl_json("config", "dump")["settings"]}
        self.assertEqual((settings["pools.t.batch"]["value"], settings["pools.t.batch"]["origin"]), (7, "set"))
        self.assertTrue(settings["pools.t.batch"]["live"])
        self.assertNotIn("pools.t.retry.attempts", settings)
        for setting, expected in (
            ("batch=1001", "batch: 1001 is out of range: 1 to 1000"),
            ("poll_timeout=6s", "poll_timeout: 6s is out of range: 0s to 5s"),
            ("pol_timeout=1s", "pol_timeout: unknown key, did you mean 'poll_timeout'?"),
            ("retry.attempts=2", 'retry.attempts: has no effect for a source of type "conductor"'),
            ("task_timeout=infinity", "task_timeout: infinity needs watchdog"),
            ("domain=d", "domain: cannot change while workers run: change it in the file and reload"),
        ):
            with self.subTest(setting):
                self.assertIn(expected, daemon.ctl("set", "t", setting, status=1).stderr)

    def run_one_beside(self, server):
        """While another task is held."""
        server.create("t", 1, input=NOW)
        server.wait("completed", 1)

    def test_secret(self):
        """The handler gets it only where the pool says so; a new one comes with a reload."""
        server = self.server("--auth=key:the-secret")
        auth = 'auth = { key_id = "key"; secret_file = "@DIR@/secret"; };'
        daemon = self.daemon(self.config(server.url, auth))
        output = self.run_one(server)["outputData"]
        self.assertEqual(output, {"url": server.url, "key": None, "secret": None})

        self.reload(daemon, self.config(server.url, auth, "pass_credentials = true;"))
        output = self.run_one(server)["outputData"]
        self.assertEqual(output, {"url": server.url, "key": "key", "secret": "the-secret"})
        for shown in (daemon.log.text(), daemon.ctl("config", "dump").stdout,
                      json.dumps(daemon.ctl_json("config", "dump")), daemon.ctl("status").stdout):
            self.assertNotIn("the-secret", shown)

        daemon.write("secret", "another\n", 0o600)
        daemon.ctl("reload")
        server.call("POST", "/stub/expire-tokens")
        server.create("t", 1, input=NOW)
        harness.eventually(lambda: daemon.ctl_json("list", "sources")["sources"][0]["state"] != "ok",
                           "the server refuses the new secret")
        os.rename(daemon.write("fresh", "the-secret\n", 0o600), daemon.path("secret"))
        daemon.ctl("reload")
        server.wait("settled")

    def test_environment_wins_at_a_reload_too(self):
        server = self.server()
        daemon = self.daemon(self.config("http://127.0.0.1:1/api"), CONDUCTOR_SERVER_URL=server.url)
        self.assertEqual(self.run_one(server)["outputData"]["url"], server.url)
        self.assertEqual(self.reload(daemon, self.config("http://127.0.0.1:2/api"))["restarted"], [])
        self.assertEqual(self.run_one(server)["outputData"]["url"], server.url)
        dump = daemon.ctl("config", "dump").stdout
        self.assertIn(f'url = "{server.url}";  # environment CONDUCTOR_SERVER_URL', dump)


if __name__ == "__main__":
    harness.main()
