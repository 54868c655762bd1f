#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Conductor stub server against what a real server was seen to do. TAP."""

import http.client
import json
import os
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "live"))
import harness
from stub import Stub

POLL = "/api/tasks/poll/batch/"


class Client:
    """One connection, as a worker host has it."""

    def __init__(self, stub):
        self.connection = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=harness.TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def request(self, method, path, body=None, **headers):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer, json.loads(text) if text and "json" in answer.headers["Content-Type"] else text.decode()

    def poll(self, task_type, count=1, timeout=0, worker="me", **query):
        query = "".join(f"&{name}={value}" for name, value in query.items())
        return self.request("GET", f"{POLL}{task_type}?workerid={worker}&count={count}&timeout={timeout}{query}")[1]

    def update(self, task, status="COMPLETED", path="/api/tasks", **members):
        return self.request("POST", path, {"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"],
                                           "status": status, "workerId": "me", **members})


class StubTest(unittest.TestCase):
    OPTIONS = ()

    def setUp(self):
        self.stub = Stub(*self.OPTIONS)
        self.addCleanup(self.stub.stop)
        self.client = Client(self.stub)
        self.addCleanup(self.client.connection.close)

    def take(self, task_type="demo", **members):
        self.stub.create(task_type, **members)
        return self.client.poll(task_type)[0]


class Polls(StubTest):
    def test_batch(self):
        self.stub.create("demo", 5)
        self.assertEqual([3, 2, 0], [len(self.client.poll("demo", 3)) for _ in range(3)])
        self.assertEqual([], self.client.poll("never-named"))
        self.assertEqual(5, self.stub.counts()["IN_PROGRESS"])

    def test_zero_takes_none_and_minus_one_all(self):
        self.stub.create("demo", 3)
        self.assertEqual([], self.client.poll("demo", 0, 5000))
        self.assertEqual(3, len(self.client.poll("demo", -1)))

    def test_long_poll_is_answered_at_the_first_task(self):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.client.poll("demo", 10, 5000)))
        thread.start()
        self.stub.wait("polls", 1)
        self.stub.create("demo")
        thread.join()
        self.assertEqual(1, len(answers[0]))
        self.assertLess(self.stub.stats()["handoutUsec"]["max"], 1e6)

    def test_a_long_poll_ends_empty(self):
        start = time.monotonic()
        self.assertEqual([], self.client.poll("demo", 1, 50))
        self.assertGreater(time.monotonic() - start, 0.045)
        self.assertEqual(400, self.client.request("GET", POLL + "demo?timeout=5001")[0].status)

    def test_domains_are_queues_of_their_own(self):
        self.stub.create("demo", domain="d")
        self.assertEqual([], self.client.poll("demo"))
        self.assertEqual([], self.client.poll("demo", domain=""))
        self.assertEqual("d", self.client.poll("demo", domain="d")[0]["domain"])

    def test_what_a_dropped_poll_gets_is_stranded(self):
        with Client(self.stub) as dropped:
            dropped.connection.request("GET", POLL + "demo?workerid=gone&timeout=5000")
            self.stub.wait("polls", 1)
        self.stub.create("demo")
        self.stub.wait("in-progress", 1)
        harness.eventually(lambda: self.stub.stats()["stranded"] == 1, "the task is stranded")
        found = self.client.request("GET", "/api/tasks/search-v2?query=status%3DIN_PROGRESS%20AND%20taskType%20IN%20(demo)")[1]
        self.assertEqual((1, "gone"), (found["totalHits"], found["results"][0]["workerId"]))

    def test_the_body_is_the_tasks_own(self):
        task = self.take(input={"big": 12345678901234567890, "n": "@n@"})
        self.assertEqual({"big": 12345678901234567890, "n": 1}, task["inputData"])
        self.assertEqual(("IN_PROGRESS", "me", 1, 0), tuple(task[k] for k in ("status", "workerId", "pollCount", "retryCount")))
        self.assertEqual(task, self.client.request("GET", "/api/tasks/" + task["taskId"])[1])
        self.stub.create("full", full=True)
        full = self.client.request("GET", POLL + "full")[0]
        self.assertEqual("chunked", full.headers["Transfer-Encoding"])

    def test_names_are_percent_decoded(self):
        self.stub.create("grün &?")
        self.assertEqual("a b/ü", self.client.poll("gr%C3%BCn%20%26%3F", worker="a%20b%2f%C3%BC")[0]["workerId"])


class Holding(StubTest):
    OPTIONS = ("--hold",)

    def test_a_poll_waits_until_it_is_full(self):
        self.stub.create("demo")
        self.assertEqual(1, len(self.client.poll("demo", 2, 50)))
        self.assertGreater(self.stub.stats()["handoutUsec"]["max"], 45000)
        self.stub.create("demo", 2)
        self.assertEqual(2, len(self.client.poll("demo", 2, 5000)))


class Updates(StubTest):
    def test_an_accepted_result(self):
        task = self.take(expect={"r": "@n@"})
        answer, text = self.client.update(task, outputData={"r": 1})
        self.assertEqual((200, task["taskId"]), (answer.status, text))
        self.assertEqual([], self.stub.wrong())
        self.client.update(task, outputData={"r": 1})
        self.assertEqual((1, 0), tuple(self.stub.task(task["taskId"])[k] for k in ("ignored", "conflicting")))
        self.client.update(task, outputData={"r": 2})
        self.assertEqual(1, self.stub.wrong()[0]["conflicting"])
        self.assertEqual({"r": 1}, self.stub.wrong()[0]["outputData"])

    def test_a_wrong_output_is_seen(self):
        self.client.update(self.take(expect={"r": 1}), outputData={"r": 2})
        self.assertTrue(self.stub.wrong()[0]["wrongOutput"])

    def test_update_v2_brings_the_next_task(self):
        self.stub.create("demo", 2)
        first = self.client.poll("demo")[0]
        answer, second = self.client.update(first, path="/api/tasks/update-v2")
        self.assertEqual((200, "IN_PROGRESS", "me"), (answer.status, second["status"], second["workerId"]))
        self.assertNotEqual(first["taskId"], second["taskId"])
        for status, members in (("IN_PROGRESS", {}), ("COMPLETED", {}), ("COMPLETED", {})):
            self.assertEqual(204, self.client.update(second, status, "/api/tasks/update-v2", **members)[0].status)

    def test_handing_back(self):
        task = self.take()
        self.client.update(task, "IN_PROGRESS", outputData={"kept": 1})
        again = self.client.poll("demo", worker="other")[0]
        self.assertEqual((task["taskId"], 2, 0, {"kept": 1}), tuple(again[k] for k in ("taskId", "pollCount", "retryCount", "outputData")))
        self.client.update(again, "IN_PROGRESS", callbackAfterSeconds=1)
        self.assertEqual([], self.client.poll("demo"))
        self.assertEqual(1, len(self.client.poll("demo", timeout=5000)))
        self.client.update(again, "IN_PROGRESS", callbackAfterSeconds=-1)
        self.assertEqual([], self.client.poll("demo", timeout=50))
        self.assertEqual("SCHEDULED", self.stub.task(task["taskId"])["status"])

    def test_handing_back_after_the_poll_timeout(self):
        self.stub.define("late", retryCount=0, pollTimeoutSeconds=1, responseTimeoutSeconds=60)
        task = self.take("late")
        time.sleep(max(0, task["scheduledTime"] / 1000 + 1.05 - time.time()))
        self.client.update(task, "IN_PROGRESS", callbackAfterSeconds=1)
        self.assertEqual("SCHEDULED", self.stub.task(task["taskId"])["status"])
        self.client.update(task, "IN_PROGRESS")
        self.assertEqual("TIMED_OUT", self.stub.task(task["taskId"])["status"])

    def test_silence_costs_a_retry(self):
        self.stub.define("quiet", retryCount=1, retryDelaySeconds=0, responseTimeoutSeconds=1)
        task = self.take("quiet")
        retry = self.client.poll("quiet", timeout=5000)[0]
        self.assertEqual((task["taskId"], 1, task["workflowInstanceId"]), tuple(retry[k] for k in ("retriedTaskId", "retryCount", "workflowInstanceId")))
        self.assertEqual("TIMED_OUT", self.stub.task(task["taskId"])["status"])
        self.client.update(retry, "FAILED", reasonForIncompletion="x" * 600)
        self.assertEqual([], self.client.poll("quiet"))
        self.assertEqual("x" * 500, self.stub.task(retry["taskId"])["reasonForIncompletion"])

    def test_a_lease_is_extended(self):
        self.stub.define("quiet", retryCount=0, responseTimeoutSeconds=1)
        task = self.take("quiet")
        for _ in range(3):
            time.sleep(0.5)
            self.client.request("POST", "/api/tasks", {"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"], "extendLease": True})
        self.assertEqual(("IN_PROGRESS", 3), tuple(self.stub.task(task["taskId"])[k] for k in ("status", "leases")))

    def test_refusals(self):
        task = self.take()
        status = lambda *arguments: self.client.request(*arguments)[0].status
        self.assertEqual(500, status("POST", "/api/tasks", "{not json"))
        self.assertEqual(400, status("POST", "/api/tasks", {"taskId": task["taskId"], "status": "COMPLETED"}))
        self.assertEqual(500, status("POST", "/api/tasks/update-v2", {"status": "COMPLETED"}))
        self.assertEqual(500, self.client.update(task, "completed")[0].status)
        self.assertEqual(500, self.client.update(task, outputData=[])[0].status)
        self.assertEqual(404, self.client.update({**task, "taskId": "unknown"})[0].status)
        self.assertEqual("IN_PROGRESS", self.stub.task(task["taskId"])["status"])

    def test_stored_without_decide(self):
        task = self.take()
        answer, error = self.client.update(task, logs=[{"log": None}])
        self.assertEqual((500, False), (answer.status, error["retryable"]))
        self.assertEqual(200, self.client.update(task, logs=[{"log": None}])[0].status)
        self.assertEqual((True, "COMPLETED"), tuple(self.stub.wrong()[0][k] for k in ("undecided", "status")))
        self.assertEqual(200, self.client.request("PUT", "/api/workflow/decide/" + task["workflowInstanceId"])[0].status)
        self.assertEqual([], self.stub.wrong())

    def test_another_workflows_id(self):
        task = self.take()
        self.stub.create("other")
        other = self.client.poll("other")[0]
        self.client.update({**task, "workflowInstanceId": other["workflowInstanceId"]})
        self.assertTrue(self.stub.task(task["taskId"])["undecided"])

    def test_canceled(self):
        task = self.take()
        self.stub.cancel(task["taskId"])
        self.assertEqual("CANCELED", self.client.request("GET", "/api/tasks/" + task["taskId"])[1]["status"])
        self.assertEqual(200, self.client.update(task)[0].status)
        self.assertEqual("CANCELED", self.stub.task(task["taskId"])["status"])

    def test_logs(self):
        task = self.take()
        path = f"/api/tasks/{task['taskId']}/log"
        self.assertEqual([200, 500], [self.client.request("POST", path, text)[0].status for text in ("line", "")])
        self.client.update(task, logs=[{"log": str(n)} for n in range(12)])
        self.assertEqual(11, self.stub.task(task["taskId"])["logs"])


class Http(StubTest):
    def test_a_connection_has_a_hundred_requests(self):
        answers = [self.client.request("GET", "/health")[0].headers["Connection"] for _ in range(101)]
        self.assertEqual((["keep-alive"] * 99, "close", "keep-alive"), (answers[:99], *answers[99:]))

    def test_a_chunked_body(self):
        task = self.take()
        text = json.dumps({"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"], "status": "COMPLETED"}).encode()
        self.client.connection.request("POST", "/api/tasks", iter([text[:10], text[10:]]), encode_chunked=True,
                                       headers={"Transfer-Encoding": "chunked"})
        self.assertEqual(200, self.client.connection.getresponse().status)

    def test_byte_by_byte(self):
        self.stub.create("demo")
        with socket.create_connection(("127.0.0.1", self.stub.port)) as raw:
            for byte in f"GET {POLL}demo HTTP/1.1\r\nHost: x\r\n\r\n".encode():
                raw.sendall(bytes([byte]))
            self.assertIn(b"200", raw.recv(12))

    def test_too_long_a_head_is_an_html_error(self):
        answer, text = self.client.request("GET", "/api/tasks/search?query=" + "x" * 8300)
        self.assertEqual((400, "<!doctype"), (answer.status, text[:9]))

    def test_search(self):
        self.stub.create("a", 3)
        self.stub.create("b", 2)
        ids = [task["taskId"] for task in self.client.poll("a", 2) + self.client.poll("b", 2)]
        hits = lambda query, **more: self.client.request("GET", "/api/tasks/search-v2?size=2" + "&query=" + query.replace(" ", "%20"))[1]
        self.assertEqual(2, hits('taskType IN (a) AND status="IN_PROGRESS"')["totalHits"])
        self.assertEqual(4, hits("workerId=nobody")["totalHits"])
        self.assertEqual(2, len(hits("workerId=nobody")["results"]))
        self.assertEqual(ids[1], hits(f"taskId IN ({ids[1]},x)")["results"][0]["taskId"])
        self.assertEqual(400, self.client.request("GET", "/api/tasks/search?query=a!%3Db")[0].status)


class Tokens(StubTest):
    OPTIONS = ("--auth", "key:secret")

    def test_tokens(self):
        get = lambda token: self.client.request("GET", "/api/metadata/taskdefs", **{"X-Authorization": token})
        self.assertEqual((401, "INVALID_TOKEN"), (get("x")[0].status, get("x")[1]["error"]))
        self.assertEqual(401, self.client.request("POST", "/api/token", {"keyId": "key", "keySecret": "no"})[0].status)
        token = self.client.request("POST", "/api/token", {"keyId": "key", "keySecret": "secret"})[1]["token"]
        self.assertEqual(200, get(token)[0].status)
        self.stub.call("POST", "/stub/expire-tokens")
        self.assertEqual("EXPIRED_TOKEN", get(token)[1]["error"])


class Faults(StubTest):
    def test_a_status_is_not_applied(self):
        task = self.take()
        rule = self.stub.fault("status", "/api/tasks", method="POST", status=429, retryAfter="7", skip=1)
        self.assertEqual(200, self.client.update(self.take("other"))[0].status)
        answer, error = self.client.update(task)
        self.assertEqual((429, "7", False), (answer.status, answer.headers["Retry-After"], error["retryable"]))
        self.assertEqual("IN_PROGRESS", self.stub.task(task["taskId"])["status"])
        self.assertEqual(200, self.client.update(task)[0].status)
        self.assertEqual(1, self.stub.faults()[rule]["fired"])

    def test_bodies(self):
        for members, expected in (({"html": True}, "<!doctype"), ({"error": "EXPIRED_TOKEN"}, "EXPIRED_TOKEN"),
                                  ({"retryable": True}, "'retryable': True"), ({"body": "own"}, "own")):
            self.stub.fault("status", "/health", status=404, **members)
            self.assertIn(expected, str(self.client.request("GET", "/health")[1]) if "body" not in members
                          else self.raw("GET /health"))

    def raw(self, request):
        with socket.create_connection(("127.0.0.1", self.stub.port)) as connection:
            connection.sendall(f"{request} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while chunk := connection.recv(4096):
                data += chunk
        return data.decode()

    def test_resets(self):
        for kind, status in (("reset-before", "IN_PROGRESS"), ("reset-middle", "IN_PROGRESS"), ("reset-after", "COMPLETED")):
            with self.subTest(kind):
                task = self.take()
                self.stub.fault(kind, "/api/tasks")
                with Client(self.stub) as client, self.assertRaises(ConnectionResetError):
                    client.update(task)
                self.assertEqual(status, self.stub.task(task["taskId"])["status"])

    def test_a_poll_whose_answer_is_lost(self):
        self.stub.create("demo")
        self.stub.fault("reset-after", POLL + "*")
        with Client(self.stub) as client, self.assertRaises(ConnectionResetError):
            client.poll("demo")
        self.assertEqual(1, self.stub.counts()["IN_PROGRESS"])

    def test_a_waiting_poll_is_reset_when_its_task_comes(self):
        self.stub.fault("reset-after", POLL + "*")
        with Client(self.stub) as client:
            client.connection.request("GET", POLL + "demo?timeout=5000")
            self.stub.wait("polls", 1)
            self.stub.create("demo")
            with self.assertRaises(ConnectionResetError):
                client.connection.getresponse()
        self.assertEqual(1, self.stub.counts()["IN_PROGRESS"])

    def test_truncated(self):
        self.stub.create("demo")
        self.stub.fault("truncate", POLL + "*")
        with Client(self.stub) as client, self.assertRaises((http.client.IncompleteRead, ValueError)):
            client.poll("demo")

    def test_garbage(self):
        self.stub.create("demo")
        self.stub.fault("garbage", POLL + "*")
        with self.assertRaises(json.JSONDecodeError):
            self.client.poll("demo")
        self.assertEqual([], self.client.poll("demo"))

    def test_slow(self):
        self.stub.fault("slow", "/health", delayMsec=30, byteMsec=1)
        start = time.monotonic()
        self.assertEqual(200, self.client.request("GET", "/health")[0].status)
        self.assertGreater(time.monotonic() - start, 0.1)
        self.assertEqual(200, self.client.request("GET", "/health")[0].status)

    def test_never(self):
        task = self.take()
        self.stub.fault("never", "/api/tasks", apply=False)
        with Client(self.stub) as client:
            client.connection.timeout = 0.1
            with self.assertRaises(TimeoutError):
                client.update(task)
        self.assertEqual("IN_PROGRESS", self.stub.task(task["taskId"])["status"])

    def test_polls(self):
        self.stub.create("demo", 4)
        self.stub.fault("empty", POLL + "*")
        self.stub.fault("more", POLL + "*", extra=2)
        self.assertEqual([0, 3, 1], [len(self.client.poll("demo")) for _ in range(3)])

    def test_undecided(self):
        task = self.take()
        self.stub.fault("undecided", "/api/tasks*")
        self.assertEqual(500, self.client.update(task)[0].status)
        self.assertTrue(self.stub.task(task["taskId"])["undecided"])

    def test_for_a_time_and_each_second_one(self):
        self.stub.fault("status", "/health", durationMsec=200, every=2)
        answers = []
        start = time.monotonic()
        while time.monotonic() < start + 0.3:
            answers.append(self.client.request("GET", "/health")[0].status)
        self.assertEqual([200, 503, 200, 503], answers[:4])
        self.assertEqual([200] * 2, answers[-2:])

    def test_clearing(self):
        self.stub.fault("status", durationMsec=60000)
        self.assertEqual(503, self.client.request("GET", "/health")[0].status)
        self.stub.clear_faults()
        self.assertEqual(200, self.client.request("GET", "/health")[0].status)

    def test_away(self):
        self.stub.create("demo")
        self.stub.away(150)
        harness.eventually(lambda: self.refused(), "connections are refused")
        harness.eventually(lambda: not self.refused(), "it is back")
        self.assertEqual(1, self.stub.counts()["SCHEDULED"])

    def refused(self):
        try:
            socket.create_connection(("127.0.0.1", self.stub.port)).close()
            return False
        except ConnectionRefusedError:
            return True


class Control(StubTest):
    def test_arrivals(self):
        self.stub.create("demo", 20, ratePerSecond=200)
        with Client(self.stub) as client:
            for _ in range(20):
                task = client.poll("demo", timeout=5000)[0]
                client.update(task, outputData={"start": int(time.monotonic() * 1e6)})
        stats = self.stub.stats()
        self.assertEqual((20, 20), (stats["pickupUsec"]["n"], stats["settleUsec"]["n"]))
        self.assertGreater(stats["pickupUsec"]["p50"], 0)
        self.assertTrue(self.stub.wait("settled")["reached"])
        self.assertEqual(20, self.stub.wait("completed", 20)["completed"])

    def test_waiting_ends(self):
        self.stub.create("demo")
        self.assertFalse(self.stub.call("GET", "/stub/wait?for=settled&timeout=20")["reached"])

    def test_queues(self):
        self.stub.create("demo", 3)
        self.client.poll("demo", 2)
        queue = self.stub.queues()[0]
        self.assertEqual((1, 2, 2, 1), tuple(queue[k] for k in ("ready", "inProgress", "inProgressMax", "polls")))

    def test_unknown_calls(self):
        for method, path, body in (("GET", "/stub/nothing", None), ("POST", "/stub/tasks", "{}"), ("POST", "/stub/faults", '{"kind":"x"}')):
            self.assertIn(self.client.request(method, path, body)[0].status, (400, 404))


if __name__ == "__main__":
    harness.main()
