# SPDX-License-Identifier: Apache-2.0
"""A pool of a domain gets that domain's tasks and no other, and its domain stays alive while it works."""

import time

import conductor
import harness
import proxy

# The server takes a domain for dead when nobody has polled it for so long.
ALIVE_SECONDS = 10


class Domains(conductor.Case):
    def pool(self, name, domain, keys="", **options):
        return conductor.pool(f"{domain or 'plain'}_pool",
                              f'task_type = "{name}"; {f"domain = {chr(34)}{domain}{chr(34)};" if domain else ""} {keys}',
                              **options)

    def wait_alive(self, name, domain):
        harness.eventually(lambda: any(row.get("domain") == domain for row in self.api.call(
            "GET", "/tasks/queue/polldata", taskType=name) or []), f"a finished poll of {domain}")

    def test_each_pool_gets_its_domain_only(self):
        name = self.api.define()
        plain, east = self.daemon(self.pool(name, None)), self.daemon(self.pool(name, "east", mode="per-task"))
        self.wait_alive(name, "east")
        there = [self.api.start(name, {"environ": ["POLL_DOMAIN"]}, taskToDomain={name: "east"}) for _ in range(3)]
        here = [self.api.start(name) for _ in range(3)]
        for workflow in there:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertEqual((task["domain"], task["outputData"]["POLL_DOMAIN"]), ("east", "east"))
            self.assertEqual(len(east.witnessed(task["taskId"])), 1)
        for workflow in here:
            [task] = self.api.wait_workflow(workflow)["tasks"]
            self.assertNotIn("domain", task)
            self.assertEqual(len(plain.witnessed(task["taskId"])), 1)

    def test_a_domain_stays_alive_at_capacity(self):
        """Its only worker is busy for longer than the server remembers a poll."""
        name = self.api.define()
        with proxy.Proxy() as between:
            daemon = self.daemon(self.pool(name, "busy"), url=between.url)
            self.wait_alive(name, "busy")
            first = self.api.start(name, {"gate": daemon.path("gate")}, taskToDomain={"*": "busy"})
            began = daemon.wait_witness()[0]["time"]
            while time.time() < began + ALIVE_SECONDS + 3:
                time.sleep(0.2)
            second = self.api.start(name, {}, taskToDomain={"*": "busy,NO_DOMAIN"})
            self.assertEqual(self.api.tasks(second)[0].get("domain"), "busy", "the domain counts as alive")
            self.assertEqual(len(daemon.witnessed()), 1, "nothing is fetched beyond capacity")
            daemon.open_gate()
            self.api.wait_workflow(first)
            self.api.wait_workflow(second)
            keeping = [request for request in between.seen("/tasks/poll") if request.query["count"] == "0"]
            self.assertGreaterEqual(len(keeping), 1)
            self.assertEqual({request.query["timeout"] for request in keeping}, {"0"})

    def test_a_paused_pool_lets_its_domain_go(self):
        name = self.api.define()
        daemon = self.daemon(self.pool(name, "paused"))
        self.wait_alive(name, "paused")
        daemon.ctl("pause", "paused_pool")
        began = time.monotonic()
        def domain_of_next():
            workflow = self.api.start(name, {}, taskToDomain={"*": "paused,NO_DOMAIN"})
            domain = self.api.tasks(workflow)[0].get("domain")
            self.api.terminate(workflow)
            return domain
        harness.eventually(lambda: domain_of_next() is None or time.sleep(0.5), "the domain counts as dead", 30)
        self.assertGreater(time.monotonic() - began, 5)

    def test_polls_without_a_domain_do_not_name_one(self):
        """An empty domain is one of its own, whose tasks nobody has."""
        name = self.api.define()
        with proxy.Proxy() as between:
            self.daemon(conductor.pool(name), url=between.url)
            self.api.run(name)
            polls = between.seen("/tasks/poll")
            self.assertEqual([request for request in polls if "domain" in request.query], [])
            self.assertGreaterEqual(len(polls), 1)

    def test_a_task_handed_back_stays_in_its_domain(self):
        name = self.api.define()
        first = self.daemon(self.pool(name, "home"), top='drain_timeout = "0s";')
        self.wait_alive(name, "home")
        workflow = self.api.start(name, {"sleep": 5}, taskToDomain={"*": "home"})
        task_id = first.wait_witness()[0]["taskId"]
        self.assertEqual(first.stop(), 0)
        second = self.daemon(self.pool(name, "home"))
        [task] = self.api.wait_workflow(workflow)["tasks"]
        self.assertEqual((task["taskId"], task["retryCount"], task["domain"]), (task_id, 0, "home"))
        self.assertEqual(len(second.witnessed(task_id)), 1)

    def test_the_next_task_by_update_v2_is_of_the_same_domain(self):
        name = self.api.define()
        self.api.define_workflow(name, *[name] * 4)
        east = self.daemon(self.pool(name, "east"))
        self.wait_alive(name, "east")
        tasks = self.api.run(name, taskToDomain={"*": "east"})["tasks"]
        self.assertEqual([task["domain"] for task in tasks], ["east"] * 4)
        self.assertEqual(len(east.witnessed()), 4)


if __name__ == "__main__":
    harness.main()
