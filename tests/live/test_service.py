#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What makes the daemon a service: its control socket over restarts, and what it tells the service manager."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import unittest

import harness

POOL = """sources: { local: { type = "queue"; }; };
pools: { work: { source = "local"; stop_timeout = "1s"; %s
                 handler = { command = ["@DIR@/work.sh"]; }; }; };
"""

LISTEN_FDS = """#!/bin/sh
cat >/dev/null
set -- $(ls -l /proc/$$/fd | grep -c socket:)
printf '{"status": "COMPLETED", "output": {"sockets": %d, "environment": "%s"}}' "$1" "$(env | grep -c LISTEN_)"
"""


def listener(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(1)
    return server


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.remove)

    def ctl(self, *arguments):
        """yardctl that runs beside the test; its end is waited for."""
        process = subprocess.Popen(
            [harness.YARDCTL, "--socket", self.daemon.socket_path, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()


class StoredSocket(Case):
    def start(self):
        self.daemon.start()
        self.daemon.notify.clear()
        return self.daemon

    def restart(self):
        """As systemctl restart: what is stored comes back."""
        self.daemon.notify.clear()
        self.daemon.passed = self.daemon.notify.take_stored()
        self.assertEqual([name for name, _ in self.daemon.passed], ["control"])
        self.daemon.stop()
        return self.daemon

    def inode(self):
        return os.stat(self.daemon.socket_path).st_ino

    def test_clients_wait_over_a_restart(self):
        self.start()
        before = self.inode()
        self.restart()
        self.assertEqual(self.inode(), before)
        waiting = self.ctl("--json", "status")
        # it is connected, and has sent its call, before there is anybody to read it
        self.wait_for_clients(1)
        self.daemon.start()
        out, error = waiting.communicate(timeout=harness.TIMEOUT)
        self.assertEqual((waiting.returncode, error), (0, ""))
        self.assertEqual(json.loads(out)["pid"], self.daemon.process.pid)
        self.assertEqual(self.inode(), before)
        # and once more: the socket was stored again
        self.restart()
        self.daemon.start()
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)

    def wait_for_clients(self, n):
        """Until n connections wait in the backlog."""
        deadline = time.monotonic() + harness.TIMEOUT
        while time.monotonic() < deadline:
            with open("/proc/net/unix", encoding="utf-8") as file:
                # state 2: connecting or waiting to be accepted
                found = [line for line in file if line.split()[-1] == self.daemon.socket_path]
            if len([line for line in found if line.split()[5] == "02"]) >= n:
                return
            time.sleep(0.01)
        self.fail(f"nobody waits: {found}")

    def test_a_removed_path_is_bound_anew(self):
        self.start()
        self.restart()
        os.unlink(self.daemon.socket_path)
        self.daemon.start()
        self.daemon.log.wait_for("of no use: .*removed or replaced")
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)
        self.daemon.notify.clear()
        self.assertEqual(len(self.daemon.notify.stored["control"]), 1)
        self.assertIn("FDSTOREREMOVE=1\nFDNAME=control", self.daemon.notify.messages)

    def test_a_replaced_path_is_bound_anew(self):
        self.start()
        self.restart()
        os.unlink(self.daemon.socket_path)
        listener(self.daemon.socket_path).close()
        self.daemon.start()
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)

    def test_someone_elses_socket_is_left_alone(self):
        self.start()
        self.restart()
        os.unlink(self.daemon.socket_path)
        with contextlib.closing(listener(self.daemon.socket_path)):
            self.daemon.spawn()
            self.assertEqual(self.daemon.wait(), 1)
            self.daemon.log.wait_for("another process listens")

    def test_another_path_is_bound_and_the_old_one_removed(self):
        self.start()
        old = self.daemon.socket_path
        self.restart()
        self.daemon.socket_path = self.daemon.path("elsewhere")
        self.daemon.write_config("")
        self.daemon.start()
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)
        self.assertFalse(os.path.exists(old))
        self.restart()
        self.daemon.start()

    def test_the_mode_is_set_again(self):
        self.start()
        self.restart()
        os.chmod(self.daemon.socket_path, 0o666)
        self.daemon.start()
        self.assertEqual(os.stat(self.daemon.socket_path).st_mode & 0o777, 0o660)

    def test_others_are_closed_and_named(self):
        self.start()
        self.restart()
        others = [("junk", listener(self.daemon.path("junk"))), ("control", listener(self.daemon.path("second"))),
                  ("yardmaster.socket", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))]
        self.daemon.passed += [(name, other.detach()) for name, other in others]
        self.daemon.start()
        for reason in ('"junk": there is no use', '"control": one of that kind', '"yardmaster.socket": it is no listen'):
            self.daemon.log.wait_for("closing what the service manager passed as " + reason)
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)
        for path in "junk", "second":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                self.assertRaises(ConnectionRefusedError, client.connect, self.daemon.path(path))

    def test_a_socket_unit_still_works(self):
        path = self.daemon.path("activated")
        self.daemon.passed = [("yardmaster.socket", listener(path).detach())]
        self.daemon.start()
        self.daemon.socket_path = path
        self.assertEqual(self.daemon.call("GetStatus")["pid"], self.daemon.process.pid)
        self.daemon.notify.clear()
        self.assertEqual(self.daemon.notify.stored, {})
        self.daemon.stop()
        self.assertTrue(os.path.exists(path))

    def test_workers_inherit_none_of_it(self):
        self.daemon.write_config(POOL % "")
        self.daemon.script("work.sh", LISTEN_FDS)
        self.start()
        self.restart()
        self.daemon.start()
        task = self.daemon.wait_task(self.daemon.submit("work"))
        self.assertEqual(task["output"], {"sockets": 0, "environment": "0"})

    def test_nobody_keeps_it_without_a_service_manager(self):
        process = subprocess.Popen([harness.YARDMASTERD, "--config", self.daemon.config_path], stderr=subprocess.PIPE,
                                   text=True, env={**os.environ, "NOTIFY_SOCKET": ""})
        log = harness.Log(process.stderr)
        log.wait_for("ready: ")
        process.terminate()
        self.assertEqual(process.wait(harness.TIMEOUT), 0)
        self.assertFalse(os.path.exists(self.daemon.socket_path))


class Timeouts(Case):
    """EXTEND_TIMEOUT_USEC=: systemd waits as long as there is something to wait for."""

    def begin_drain(self, keys, n):
        self.daemon.write_config(f'drain_timeout = "{keys}";' + POOL % f"workers = {n};")
        self.daemon.script("work.sh", f"""#!/bin/sh
cat >/dev/null
until [ -e {self.daemon.path("gate")}.$TASK_ID ]; do sleep 0.02; done
echo '{{"status": "COMPLETED"}}'
""")
        self.daemon.start()
        ids = [self.daemon.submit("work") for _ in range(n)]
        harness.eventually(lambda: self.daemon.pool("work")["tasksInHand"] == n, "all tasks run")
        self.daemon.notify.clear()
        self.daemon.signal(signal.SIGTERM)
        self.daemon.notify.wait_for("STOPPING=1")
        return ids

    def finish(self, task_id):
        self.daemon.write("gate." + task_id, "")

    def test_a_drain_without_a_deadline_waits_only_while_tasks_end(self):
        first, second = self.begin_drain("infinity", 2)
        # as it ticks each second, nothing is asked for
        with self.assertRaises(TimeoutError):
            self.daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=", timeout=2.5)
        self.finish(first)
        self.daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=120000000")
        self.finish(second)
        self.assertEqual(self.daemon.wait(), 0)

    def test_a_drain_with_a_deadline_is_waited_for(self):
        (task,) = self.begin_drain("1h", 1)
        for _ in range(2):
            self.daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=10000000")
        self.finish(task)
        self.assertEqual(self.daemon.wait(), 0)

    def test_pools_that_start_are_waited_for(self):
        self.daemon.write_config((POOL % 'start_timeout = "1h";').replace(
            "handler = {", 'handler = { mode = "persistent"; notify = true;'))
        self.daemon.script("work.sh", "#!/bin/sh\nexec cat >/dev/null\n")
        self.daemon.spawn()
        self.daemon.notify.wait_for("EXTEND_TIMEOUT_USEC=20000000")
        self.assertFalse([message for message in self.daemon.notify.messages if "READY=1" in message])
        self.assertEqual(self.daemon.stop(), 0)


class Watchdog(Case):
    """Twelve seconds: a ping every four, and a look every half second at what does not turn."""

    def test_a_machine_that_slept_costs_no_ping(self):
        # something that the pool has to do each second
        self.daemon.write_config((POOL % 'restart = { backoff = "1s"; backoff_max = "1s"; };').replace(
            "handler = {", 'handler = { mode = "persistent";'))
        self.daemon.script("work.sh", "#!/bin/sh\nexit 1\n")
        self.daemon.environment["WATCHDOG_USEC"] = "12000000"
        self.daemon.start()
        self.daemon.notify.wait_for("WATCHDOG=1")
        # the loop is past the ping
        self.daemon.log.wait_for("work/1: is now starting", start=len(self.daemon.log.lines))
        self.daemon.signal(signal.SIGSTOP)
        time.sleep(6)  # longer than what is waited for a pool: this is what is tested
        self.daemon.notify.clear()
        self.daemon.signal(signal.SIGCONT)
        self.daemon.notify.wait_for("WATCHDOG=1", timeout=3.5)
        self.assertNotIn("stands still", self.daemon.log.text())
        self.daemon.kill()


class Check(Case):
    """yardmasterd --check for a unit, of which a systemctl of the test tells."""

    UNIT = ("ProtectSystem=strict\nProtectHome=yes\nPrivateTmp=yes\nReadWritePaths=-/srv /data/in\n"
            "StateDirectory=yardmaster\nRuntimeDirectory=yardmaster\nCacheDirectory=\nLogsDirectory=\n")

    def check(self, unit="yardmaster@a.service", shown=UNIT, status=0, exit_code=0, **folders):
        self.daemon.write("shown", shown)
        self.daemon.script("bin/systemctl", f"""#!/bin/sh
echo "$@" >{self.daemon.path("asked")}
cat {self.daemon.path("shown")}
exit {status}
""")
        pools = "".join(f'{name}: {{ source = "q"; handler = {{ command = ["true"]; }}; working_directory = "{folder}"; }};'
                        for name, folder in folders.items())
        self.daemon.write_config('sources: { q: { type = "queue"; }; }; pools: { %s };' % pools)
        done = subprocess.run(
            [harness.YARDMASTERD, "--check", "--config", self.daemon.config_path, *(["--unit", unit] if unit else [])],
            capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": self.daemon.path("bin") + ":" + os.environ["PATH"]})
        self.assertEqual(done.returncode, exit_code, done.stderr)
        return done.stderr

    def test_names_the_line_that_is_needed(self):
        told = self.check(a="/usr", b="/tmp", c="/home", d="/srv")
        self.assertIn("yardmaster@a.service", open(self.daemon.path("asked"), encoding="utf-8").read())
        self.assertIn("warning: pools.a.working_directory /usr: yardmaster@a.service cannot write there: if it has to, "
                      "it needs ReadWritePaths=/usr in section [Service] (systemctl edit yardmaster@a.service)\n", told)
        self.assertIn("pools.c.working_directory /home: yardmaster@a.service does not see it", told)
        self.assertNotIn("pools.b", told)
        self.assertNotIn("pools.d", told)
        # the scratch folder is below /tmp, which is the service's own
        self.assertNotIn("state_dir", told)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_looks_as_the_user_of_the_service(self):
        os.chmod(self.daemon.directory, 0o755)
        shown = "User=nobody\nGroup=nogroup\nStateDirectory=yardmaster\nRuntimeDirectory=yardmaster\n"
        self.assertEqual(self.check(shown=shown, a="/usr"), "")
        path = self.daemon.write("conf.d/secret.conf", 'drain_timeout = "5s";\n', mode=0o600)
        self.assertIn(f"{path}: cannot read it: Permission denied; the daemon's user has to be able to",
                      self.check(shown=shown, exit_code=78))
        self.assertEqual(self.check(shown="User=\n"), "")
        self.assertIn("cannot check as the user of the service: No such process", self.check(shown="User=nosuchuser\n"))

    def test_other_units_and_none(self):
        self.assertEqual(self.check(shown="ProtectSystem=full\nProtectHome=read-only\n", a="/usr", b="/home"), "")
        self.assertIn("warning: state_dir ", self.check(shown="ProtectSystem=strict\nPrivateTmp=no\n"))
        self.assertEqual(self.check(status=1, a="/usr"), "")
        self.assertEqual(self.check(shown="nonsense\n=\n\n", a="/usr"), "")
        for unit in (None, "x'; touch y; '", "", "-H"):
            self.daemon.write("asked", "")
            self.assertEqual(self.check(unit=unit, a="/usr"), "")
            self.assertEqual(os.path.getsize(self.daemon.path("asked")), 0)


class FakeDaemon:
    """A socket where the test decides what becomes of each client."""

    ANSWER = b'{"parameters":{"level":"info"}}\0'

    def __init__(self, path, backlog=16):
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(path)
        self.server.listen(backlog)
        self.server.settimeout(harness.TIMEOUT)

    def accept(self):
        client, _ = self.server.accept()
        client.settimeout(harness.TIMEOUT)
        return client

    @staticmethod
    def read_call(client):
        data = b""
        while not data.endswith(b"\0"):
            data += client.recv(65536)
        return json.loads(data[:-1])["method"]

    def answer(self):
        with self.accept() as client:
            method = self.read_call(client)
            client.sendall(self.ANSWER)
            return method

    def close(self):
        self.server.close()


class Patience(Case):
    """yardctl towards a daemon that is there but takes nothing, or ends."""

    def setUp(self):
        super().setUp()
        self.fake = FakeDaemon(self.daemon.socket_path)
        self.addCleanup(self.fake.close)

    def finish(self, process, status):
        out, error = process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(process.returncode, status, error)
        return out, error

    def test_it_says_that_it_waits(self):
        process = self.ctl("log-level")
        log = harness.Log(process.stderr)
        log.wait_for(r"^yardctl: yardmasterd does not answer yet.*waiting up to 90s \(systemctl status yardmaster ")
        self.fake.answer()
        self.assertEqual(process.wait(harness.TIMEOUT), 0)
        self.assertEqual(process.stdout.read(), "info\n")

    def test_it_gives_up(self):
        _, error = self.finish(self.ctl("log-level", "--connect-timeout", "300ms"), 3)
        self.assertIn("does not answer: ", error)
        _, error = self.finish(self.ctl("log-level", "--connect-timeout", "soon"), 2)
        self.assertIn("is no span", error)

    def test_what_was_taken_may_take_long(self):
        process = self.ctl("log-level", "--connect-timeout", "0")
        with self.fake.accept() as client:
            self.fake.read_call(client)
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(1)
            client.sendall(FakeDaemon.ANSWER)
            self.assertEqual(self.finish(process, 0), ("info\n", ""))

    def test_a_full_backlog_is_waited_for(self):
        path = self.daemon.path("full")
        full = FakeDaemon(path, backlog=0)
        self.addCleanup(full.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(path)
            _, error = self.finish(self.ctl("--socket", path, "log-level", "--connect-timeout", "300ms"), 3)
            self.assertIn("does not answer: ", error)
            process = self.ctl("--socket", path, "log-level")
            full.accept().close()
            full.answer()
            self.assertEqual(self.finish(process, 0), ("info\n", ""))

    def test_what_was_not_read_goes_to_the_successor(self):
        process = self.ctl("log-level", "debug")
        with self.fake.accept() as client:
            client.recv(1)
        # the rest of the call was never read, so it was not carried out
        self.assertEqual(self.fake.answer(), "io.yardmaster.Manager.SetLogLevel")
        self.assertEqual(self.finish(process, 0), ("", ""))

    def test_what_was_read_is_not_sent_twice(self):
        process = self.ctl("log-level", "debug")
        with self.fake.accept() as client:
            self.fake.read_call(client)
        self.assertIn("closed the connection", self.finish(process, 3)[1])
        self.fake.server.settimeout(0)
        self.assertRaises(BlockingIOError, self.fake.accept)

    def test_it_does_not_try_for_ever(self):
        process = self.ctl("log-level", "debug")
        for _ in range(4):
            with self.fake.accept() as client:
                client.recv(1)
        self.assertIn("closed the connection", self.finish(process, 3)[1])

    def test_a_daemon_that_ends_for_good(self):
        process = self.ctl("log-level", "--connect-timeout", "1h")
        with self.fake.accept() as client:
            client.recv(1)
            os.unlink(self.daemon.socket_path)
        self.assertIn("systemctl start yardmaster", self.finish(process, 3)[1])

    def test_a_stopped_process_is_not_waited_for_in_vain(self):
        os.unlink(self.daemon.socket_path)
        self.daemon.start()
        self.daemon.signal(signal.SIGSTOP)
        try:
            self.finish(self.ctl("log-level", "--connect-timeout", "100ms"), 3)
            process = self.ctl("log-level")
        finally:
            self.daemon.signal(signal.SIGCONT)
        self.assertEqual(self.finish(process, 0), ("debug\n", ""))

    def test_an_instance_has_its_own_unit(self):
        for name, status, text in (("blue", 3, "systemctl start yardmaster@blue"), ("../x", 2, "no name"),
                                   ("", 2, "no name")):
            result = subprocess.run([harness.YARDCTL, "--instance", name, "status"], capture_output=True, text=True,
                                    check=False, env={**os.environ, "XDG_RUNTIME_DIR": self.daemon.directory})
            self.assertEqual(result.returncode, status)
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    harness.main()
