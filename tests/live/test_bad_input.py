# SPDX-License-Identifier: Apache-2.0
"""Garbage, too much, nothing, half: on the control socket, it hurts the connection it came on and nothing else."""

import json
import os
import socket
import unittest

import harness

CONFIG = """
sources: { local: { type = "queue"; }; };
pools: { work: { source = "local"; handler = { command = ["@DIR@/worker.sh"]; }; }; };
"""
WORKER = "#!/bin/sh\ncat >/dev/null\necho '{\"status\":\"COMPLETED\"}'\n"
MANAGER = "io.yardmaster.Manager."


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon()
        cls.daemon.script("worker.sh", WORKER)
        cls.daemon.write_config(CONFIG)
        cls.daemon.start()
        cls.healthy = cls.daemon.varlink()

    @classmethod
    def tearDownClass(cls):
        cls.healthy.close()
        assert cls.daemon.stop() == 0
        cls.daemon.remove()

    def tearDown(self):
        self.healthy.call("GetStatus")
        self.assertEqual(self.daemon.run_task("work")["status"], "COMPLETED")

    def answer(self, raw):
        """The error the daemon answers with, or None where it closes the connection."""
        with self.daemon.varlink() as client:
            try:
                client.send_raw(raw)
                return client.receive().get("error")
            except (EOFError, ConnectionError):
                return None

    def assert_error(self, call, parameters, name, **fields):
        with self.daemon.varlink() as client:
            with self.assertRaises(harness.VarlinkError) as caught:
                client.call(call, parameters)
            self.assertEqual(caught.exception.name, name)
            for key, value in fields.items():
                self.assertEqual(caught.exception.parameters.get(key), value)
            # The connection goes on.
            client.call("GetStatus")

    def test_unknown_methods(self):
        self.assert_error("NoSuch", {}, "org.varlink.service.MethodNotFound", method=MANAGER + "NoSuch")
        self.assert_error("no.such.Interface", {}, "org.varlink.service.MethodNotFound")

    def test_wrong_types_name_the_parameter(self):
        invalid = "org.varlink.service.InvalidParameter"
        self.assert_error("PausePool", {}, invalid, parameter="pool")
        self.assert_error("PausePool", {"pool": 1}, invalid, parameter="pool")
        self.assert_error("PausePool", {"pool": "work", "more": 1}, invalid, parameter="more")
        self.assert_error("Submit", {"task": []}, invalid, parameter="task")
        self.assert_error("ListTasks", {"limit": "many"}, invalid, parameter="limit")
        self.assert_error("ListTasks", {"filter": {"status": ["DONE"]}}, invalid)

    def test_tasks_that_cannot_be(self):
        for task in ({"type": "work", "input": [1]}, {"type": ""}, {"type": "work", "priority": 101},
                     {"type": "work", "attempts": 0}, {"type": "work", "colour": 1}, {"type": "work", "conflict": "x"}):
            with self.subTest(task=task), self.daemon.varlink() as client:
                with self.assertRaises(harness.VarlinkError):
                    client.call("Submit", {"task": task})
                client.call("GetStatus")

    def test_unknown_names(self):
        self.assert_error("PausePool", {"pool": "wrok"}, MANAGER + "NoSuchPool", suggestion="work")
        self.assert_error("GetTask", {"taskId": "x"}, MANAGER + "NoSuchTask")
        self.assert_error("GetTask", {"taskId": "0" * 100_000}, MANAGER + "NoSuchTask")
        self.assert_error("Submit", {"task": {"type": "wrok"}}, MANAGER + "TypeNotServed", suggestion="work")

    def test_no_json(self):
        for raw in (b"hello\0", b"[]\0", b"\0", b"{\0", b'{"method":1}\0', b'{"method":"x","parameters":[]}\0',
                    b'{"method":"\xff"}\0', b"{'method':'x'}\0", b'{"method":"a","more":1}\0', b'{"a":NaN}\0'):
            with self.subTest(raw=raw):
                self.answer(raw)
                self.healthy.call("GetStatus")

    def test_nested_too_deep(self):
        deep = b'{"method":"' + MANAGER.encode() + b'Submit","parameters":{"task":{"type":"work","input":'
        self.answer(deep + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}}}\0")

    def test_nul_character_and_odd_text_pass_through(self):
        task = self.daemon.run_task("work", {"text": "a\u0000b\U0001f600\ud7ff"})
        self.assertEqual(task["inputData"]["text"], "a\u0000b\U0001f600\ud7ff")

    def test_too_large(self):
        head = b'{"method":"' + MANAGER.encode() + b'Submit","parameters":{"task":{"type":"work","input":{"a":"'
        self.answer(head + b"x" * (17 << 20) + b'"}}}}\0')

    def test_half_a_message_and_gone(self):
        for _ in range(50):
            client = self.daemon.varlink()
            client.send_raw(b'{"method":"io.yardm')
            client.close()

    def test_a_byte_at_a_time(self):
        with self.daemon.varlink() as client:
            for byte in json.dumps({"method": MANAGER + "GetLogLevel"}).encode() + b"\0":
                client.send_raw(bytes([byte]))
            self.assertIn("level", client.reply())

    def test_pipelined_calls_are_answered_in_order(self):
        with self.daemon.varlink() as client:
            for _ in range(20):
                client.send("GetLogLevel")
                client.send("NoSuch")
            for _ in range(20):
                self.assertIn("level", client.reply())
                with self.assertRaises(harness.VarlinkError):
                    client.reply()

    def test_oneway_is_not_answered(self):
        with self.daemon.varlink() as client:
            client.send("GetStatus", oneway=True)
            client.send("GetLogLevel")
            self.assertIn("level", client.reply())

    def test_a_client_that_never_reads(self):
        with self.daemon.varlink() as client:
            client.socket.setblocking(False)
            try:
                for _ in range(100_000):
                    client.send("GetStatus")
            except BlockingIOError:
                pass
            self.healthy.call("GetStatus")

    def test_many_connections(self):
        clients = []
        try:
            for _ in range(300):
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.settimeout(harness.TIMEOUT)
                client.connect(self.daemon.socket_path)
                clients.append(client)
        except OSError:
            pass
        self.healthy.call("GetStatus")
        for client in clients:
            client.close()
        harness.eventually(self.accepts, "new clients are accepted again")

    def accepts(self):
        try:
            return self.daemon.call("GetLogLevel")
        except (OSError, EOFError):
            return None

    def test_introspection(self):
        info = self.healthy.call("org.varlink.service.GetInfo")
        self.assertIn("io.yardmaster.Manager", info["interfaces"])
        text = self.healthy.call("org.varlink.service.GetInterfaceDescription",
                                 {"interface": "io.yardmaster.Manager"})["description"]
        path = os.path.join(harness.SOURCE_ROOT, "src", "control", "io.yardmaster.Manager.varlink")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text.strip(), file.read().strip())

    def test_every_method_of_the_interface_is_there(self):
        text = self.healthy.call("org.varlink.service.GetInterfaceDescription",
                                 {"interface": "io.yardmaster.Manager"})["description"]
        for line in text.split("\n"):
            if line.startswith("method ") and "Drain" not in line and "Reload" not in line:
                name = line.split()[1].split("(")[0]
                with self.subTest(method=name), self.daemon.varlink() as client:
                    try:
                        client.call(name, {"noSuchParameter": 1})
                    except harness.VarlinkError as error:
                        self.assertNotIn("NotFound", error.name)
                        self.assertNotIn("NotImplemented", error.name)


if __name__ == "__main__":
    harness.main()
