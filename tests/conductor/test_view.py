# SPDX-License-Identifier: Apache-2.0
"""What yardctl says of a real server: checks before anything goes wrong, figures while it goes on."""

import json

import conductor
import harness
import proxy


class View(conductor.Case):
    def findings(self, daemon, status=0):
        found = daemon.ctl_json("source", "check", "prod", status=status)["findings"]
        return {(finding["subject"], finding.get("pool")): finding for finding in found}

    def test_a_check_finds_what_is_at_odds(self):
        good, short = self.api.define(), self.api.define(timeoutSeconds=20, responseTimeoutSeconds=20)
        limited, missing = self.api.define(concurrentExecLimit=1), conductor.fresh_name("missing")
        keys = 'task_timeout = "10s";'
        daemon = self.daemon(conductor.pool(good, keys), conductor.pool(short), conductor.pool(missing),
                             conductor.pool(limited, keys + " concurrency = 4;"))
        found = self.findings(daemon)
        self.assertEqual([found[name, None]["level"] for name in ("server", "search", "update-v2")], ["ok"] * 3)
        self.assertIn("3.32", found["server", None]["message"])
        self.assertEqual(found[good, good]["level"], "ok")
        for name, word in ((short, "timeoutSeconds = 20"), (missing, "no definition"), (limited, "concurrentExecLimit = 1")):
            finding = found[name, name]
            self.assertEqual(finding["level"], "warning", finding)
            self.assertIn(word, finding["message"])
            self.assertTrue(finding["remedy"])

    def test_a_check_of_a_server_without_an_index_or_update_v2(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            between.rule("/tasks/search", between.no_such_path)
            between.rule("/tasks/update-v2", between.no_such_path)
            daemon = self.daemon(conductor.pool(name), url=between.url)
            found = self.findings(daemon)
            for subject in ("search", "update-v2"):
                self.assertEqual(found[subject, None]["level"], "warning")
                self.assertTrue(found[subject, None]["remedy"])

    def test_a_check_of_a_server_that_is_not_there(self):
        daemon = self.daemon(conductor.pool("any"), url="http://127.0.0.1:9/api")
        found = self.findings(daemon, status=None)
        self.assertEqual(found["server", None]["level"], "error")
        self.assertIn("refused", json.dumps(found["server", None]).lower())

    def test_figures(self):
        name = self.api.define()
        daemon = self.daemon(conductor.pool(name))
        waiting = [self.api.start(name, {"gate": daemon.path("gate")}) for _ in range(4)]
        daemon.wait_witness()
        harness.eventually(lambda: daemon.pool(name).get("queued") == 3, "the depth of the server's queue", 30)
        [source] = daemon.call("ListSources")["sources"]
        self.assertEqual((source["type"], source["state"]), ("conductor", "ok"))
        self.assertEqual(source["server"]["outbox"]["held"], 1)
        daemon.open_gate()
        for workflow in waiting:
            self.api.wait_workflow(workflow)
        server = harness.eventually(
            lambda: found if (found := daemon.pool(name)["server"])["completed"] == 4 else None, "four completed")
        self.assertEqual((server["polled"], server["failed"], server["handedBack"]), (4, 0, 0))
        self.assertIn("prod", daemon.ctl("list", "sources").stdout)

    def test_a_server_that_goes_away_and_comes_back(self):
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(conductor.pool(name), url=between.url)
            self.api.run(name)
            between.rule("", between.answering(503))
            source = harness.eventually(lambda: found if (found := daemon.call("ListSources")["sources"][0])["state"] != "ok"
                                        else None, "the source is not ok")
            self.assertIn("503", json.dumps(source))
            between.clear()
            self.api.run(name)
            harness.eventually(lambda: daemon.call("ListSources")["sources"][0]["state"] == "ok", "it is ok again")


if __name__ == "__main__":
    harness.main()
