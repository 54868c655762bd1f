# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share, inside a booted guest: the service as its administrator sees it.

A scenario waits for what it expects (a state of the unit, an entry of the journal, the end of a task),
never for a time. Each begins with a service that runs without pools, and with nothing of the others.
"""

import contextlib
import glob
import io
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

import harness

PAYLOAD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNIT = "yardmaster.service"
ETC = "/etc/yardmaster"
CONF_D = ETC + "/conf.d"
STATE = "/var/lib/yardmaster"
CONTROL = "/run/yardmaster/control"
HANDLERS = "/usr/local/lib/yardmaster-handlers"
DROP_INS = "/etc/systemd/system/yardmaster.service.d"
DEBS = PAYLOAD + "/debs"
TIMEOUT = harness.TIMEOUT
JOURNAL_TAIL = 80
LOOK_SECONDS = 0.1

# It answers with what it was given.
ECHO = """#!/bin/sh
jq '{status: "COMPLETED", output: .inputData}'
"""


class Failed(AssertionError):
    pass


def eventually(condition, what, timeout=TIMEOUT):
    """Looks until it holds. What looks is a program or two each time: not too often."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"not within {timeout:.0f} s: {what() if callable(what) else what}")
        time.sleep(LOOK_SECONDS)
    return value


def run(*argv, status=0, input=None, timeout=TIMEOUT, user=None, environment=None):
    """A program, which must exit with status (None: whatever)."""
    if user:
        argv = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *argv)
    result = subprocess.run(list(map(str, argv)), input=input, capture_output=True, text=True, errors="replace",
                            timeout=timeout, check=False, stdin=subprocess.DEVNULL if input is None else None,
                            env={**os.environ, **(environment or {})})
    if status is not None and result.returncode != status:
        raise Failed(f"{' '.join(map(str, argv))}: exit {result.returncode}, not {status}\n{result.stdout}{result.stderr}")
    return result


def systemctl(*arguments, **options):
    return run("systemctl", *arguments, **options)


def show(*properties, unit=UNIT):
    """Properties of the unit; of one, its value."""
    text = systemctl("show", "-p", ",".join(properties), unit).stdout
    values = dict(line.split("=", 1) for line in text.splitlines())
    return values[properties[0]] if len(properties) == 1 else values


def main_pid(unit=UNIT):
    return int(show("MainPID", unit=unit))


def wait_state(state, unit=UNIT, timeout=TIMEOUT):
    """active, inactive, failed, …"""
    return eventually(lambda: show("ActiveState", unit=unit) == state, f"{unit} is {state}", timeout)


def yardctl(*arguments, **options):
    return run("yardctl", *arguments, **options)


def yardctl_json(*arguments, **options):
    return json.loads(yardctl("--json", *arguments, **options).stdout)


def call(method, parameters=None):
    with harness.Varlink(CONTROL) as connection:
        return connection.call(method, parameters)


def pool(name):
    """What `yardctl --json status` says of it."""
    return next(pool for pool in yardctl_json("status")["pools"] if pool["name"] == name)


def workers(name):
    return [worker for worker in yardctl_json("list", "workers", name)["workers"]]


def submit(task_type, given=None):
    return yardctl("submit", task_type, json.dumps(given or {})).stdout.strip()


def task(task_id):
    return yardctl_json("task", "show", task_id)["task"]


def wait_task(task_id, status="COMPLETED", timeout=TIMEOUT):
    yardctl("wait", task_id, "--timeout", f"{int(timeout)}s", status=0 if status == "COMPLETED" else 5,
            timeout=timeout + TIMEOUT)
    shown = task(task_id)
    if shown["status"] != status:
        raise Failed(f"{task_id} is {shown['status']}, not {status}: {shown}")
    return shown


def wait_running(task_id):
    return eventually(lambda: task(task_id)["status"] == "IN_PROGRESS", f"{task_id} runs")


# The journal

class Journal:
    """Entries of the journal from now on."""

    def __init__(self, *matches):
        self.matches = matches
        shown = run("journalctl", "--quiet", "-n", "0", "--show-cursor").stdout
        self.cursor = shown.split("cursor: ", 1)[1].strip() if "cursor: " in shown else None

    def read(self, *matches):
        # --after-cursor also leaves out the first entry behind one that the matches do not let through.
        begin = ["--cursor", self.cursor] if self.cursor else []
        text = run("journalctl", "--quiet", "--no-pager", "-o", "json", *begin, *self.matches, *matches).stdout
        entries = map(json.loads, text.splitlines())
        return [entry for entry in entries if entry["__CURSOR"] != self.cursor]

    def entries(self, *matches):
        """All that was said until now."""
        run("journalctl", "--sync")
        return self.read(*matches)

    def messages(self, *matches):
        return messages(self.entries(*matches))

    def wait_for(self, text, *matches, timeout=TIMEOUT):
        """The first message that contains it."""
        return eventually(lambda: next((one for one in messages(self.read(*matches)) if text in one), None),
                          lambda: f"the journal says {text!r}; it says:\n" + "\n".join(self.messages(*matches)[-20:]),
                          timeout)


def messages(entries):
    return [entry["MESSAGE"] for entry in entries if isinstance(entry.get("MESSAGE"), str)]


# Files of the administrator

def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def handler(name, text):
    return write(os.path.join(HANDLERS, name), text, 0o755)


def configure(name, text):
    """A file of conf.d, for the next start or reload."""
    return write(os.path.join(CONF_D, name + ".conf"), text)


def pool_text(name, command, **keys):
    lines = "".join(f" {key} = {value};" for key, value in keys.items())
    command = ", ".join(f'"{word}"' for word in ([command] if isinstance(command, str) else command))
    return f'pools: {{ {name}: {{ source = "local"; handler = {{ command = [{command}]; }};{lines} }}; }};\n'


def persistent(name, command, **keys):
    return pool_text(name, command, **keys).replace("]; };", ']; mode = "persistent"; };', 1)


def drop_in(name, text):
    write(os.path.join(DROP_INS, name + ".conf"), text)
    systemctl("daemon-reload")


def echo_pool():
    configure("echo", pool_text("echo", handler("echo", ECHO)))


# The service

def packages(*names, folder=DEBS):
    found = []
    for name in names:
        found += glob.glob(f"{folder}/{name}_*.deb")
    return found


def install(*names, folder=DEBS, **options):
    """As the README says it."""
    return run("apt-get", "install", "-y", "-q", *packages(*(names or ("yardmaster", "yardctl")), folder=folder),
               environment={"DEBIAN_FRONTEND": "noninteractive"}, timeout=TIMEOUT * 5, **options)


def is_installed():
    return run("dpkg-query", "-W", "-f", "${db:Status-Status}", "yardmaster", status=None).stdout == "installed"


def reset():
    """The service as it is after its installation, running."""
    systemctl("stop", UNIT, status=None, timeout=TIMEOUT * 3)
    for folder in (DROP_INS, HANDLERS):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (CONF_D + "/*.conf", STATE + "/*"):
        for path in glob.glob(folder):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    systemctl("daemon-reload")
    systemctl("reset-failed", UNIT, status=None)
    systemctl("start", UNIT, timeout=TIMEOUT * 3)


class Scenario(unittest.TestCase):
    """A fresh service each; what the journal said meanwhile is shown of one that failed."""

    fresh = True

    def setUp(self):
        self.began = time.monotonic()
        self.journal = Journal()
        if self.fresh:
            if not is_installed():
                install()
            reset()

    def run(self, result=None):
        result = super().run(result)
        print(f"# {self.id()}: {time.monotonic() - self.began:.1f} s", flush=True)
        if getattr(result, "failed", False):
            self.show_what_happened()
        return result

    def show_what_happened(self):
        with contextlib.suppress(Exception):
            lines = run("systemctl", "status", "--no-pager", "-n", "0", UNIT, status=None).stdout.splitlines()
            lines += self.journal_lines()
            for line in lines:
                print("#   " + line, flush=True)

    def journal_lines(self):
        after = ["--after-cursor", self.journal.cursor] if self.journal.cursor else []
        lines = run("journalctl", "--quiet", "--no-pager", "-o", "short-monotonic", *after).stdout.splitlines()
        return [line for line in lines if "request to sync journal" not in line][-JOURNAL_TAIL:]


def main():
    """Runs the tests that the arguments name ("Class.test"), in the order in which they are written."""
    tests = []
    for group in unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]):
        tests += group
    tests.sort(key=lambda test: getattr(type(test), test.id().rsplit(".", 1)[1]).__code__.co_firstlineno)
    tests = [test for test in tests if len(sys.argv) < 2 or test.id().split(".", 1)[1] in sys.argv[1:]]
    print(f"1..{len(tests)}", flush=True)
    result = harness.TapResult()
    # What it says of a failure on both comes once.
    with contextlib.redirect_stderr(io.StringIO()):
        unittest.TestSuite(tests).run(result)
    sys.exit(1 if result.n_failed or result.n_points != len(tests) else 0)
