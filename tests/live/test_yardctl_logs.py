# SPDX-License-Identifier: Apache-2.0
"""yardctl logs: what it makes of the daemon's answers for journalctl, which here only tells its words."""

import os
import tempfile
import time

import harness
from scripted import POOL, STATUS, WORKER, Error, ScriptedCase

JOURNALCTL = """#!/bin/sh
printf '%s\\n' "$@"
exit 7
"""


def workers(pool, *numbers):
    return {"workers": [{**WORKER, "name": f"{pool}/{n}", "pool": pool} for n in numbers]}


class Logs(ScriptedCase):
    def setUp(self):
        super().setUp()
        self.programs = tempfile.TemporaryDirectory(prefix="ym-")
        self.addCleanup(self.programs.cleanup)
        path = os.path.join(self.programs.name, "journalctl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(JOURNALCTL)
        os.chmod(path, 0o755)
        self.environment = {"PATH": self.programs.name + ":" + os.environ["PATH"]}

    def log(self, **members):
        return {**STATUS, "log": {**STATUS["log"], **members}}

    def words(self, *words, **options):
        """What journalctl is called with; its exit status is yardctl's."""
        result = harness.subprocess.run(
            [harness.YARDCTL, "--socket", self.path, "logs", *words], capture_output=True, text=True, check=False,
            stdin=harness.subprocess.DEVNULL, env={**os.environ, **self.environment, **options})
        self.assertEqual(result.returncode, 7, result.stderr)
        self.stderr = result.stderr
        return result.stdout.splitlines()

    def test_of_the_service(self):
        self.serve(GetStatus=STATUS)
        self.assertEqual(self.words(), ["--lines=1000", "--unit=yardmaster.service"])
        self.assertEqual(self.words("-f"), ["--follow", "--unit=yardmaster.service"])
        self.assertEqual(self.words("-n", "5"), ["--lines=5", "--unit=yardmaster.service"])
        self.assertEqual(self.words("-n5", "--follow"), ["--follow", "--lines=5", "--unit=yardmaster.service"])
        self.assertEqual(self.words("--lines=all", "--json"), ["--output=json", "--lines=all", "--unit=yardmaster.service"])
        self.assertEqual(self.words("-x", "-p", "error", "--no-pager"),
                         ["--lines=1000", "--priority=3", "--catalog", "--no-pager", "--unit=yardmaster.service"])
        self.assertEqual(self.words("-o", "cat", "-f")[0], "--output=cat")
        self.assertEqual(self.stderr, "")
        self.serve(GetStatus=self.log(unit="mine.service", user=True))
        self.assertEqual(self.words(), ["--lines=1000", "--user-unit=mine.service"])

    def test_when(self):
        self.serve(GetStatus=STATUS)
        since, unit = self.words("--since", "2h")
        self.assertEqual(unit, "--unit=yardmaster.service")
        self.assertAlmostEqual(float(since.removeprefix("--since=@")), time.time() - 7200, delta=60)
        self.assertEqual(self.words("--since", "@1700000000", "--until", "2023-11-14T22:13:21.5Z", TZ="UTC")[:2],
                         ["--since=@1700000000.000", "--until=@1700000001.500"])
        self.assertEqual(self.words("--since", "yesterday")[0], "--since=yesterday")

    def test_of_a_pool(self):
        self.serve(GetStatus=STATUS, ListWorkers=workers("thumbnail", 1, 2, 40))
        words = self.words("thumbnail")
        self.assertEqual(self.sent(), ("ListWorkers", {"pool": "thumbnail"}))
        self.assertEqual(words[:2], ["--lines=1000", "_SYSTEMD_UNIT=yardmaster.service"])
        self.assertEqual(words[-3:], ["+", "_SYSTEMD_UNIT=yardmaster.service", "YARDMASTER_POOL=thumbnail"])
        # Those that a scale may add while the log is followed, too; and of those that end at once, whose unit
        # the journal does not find.
        names = [f"SYSLOG_IDENTIFIER=thumbnail/{n}" for n in range(1, 73)]
        self.assertEqual(words[2:-3], [*names, "+", "_TRANSPORT=stdout", "_UID=997", *names])

    def test_of_a_worker(self):
        self.serve(GetStatus=STATUS, ListWorkers=workers("thumbnail", 1))
        unit = "_SYSTEMD_UNIT=yardmaster.service"
        self.assertEqual(self.words("thumbnail/7", "-f"),
                         ["--follow", unit, "SYSLOG_IDENTIFIER=thumbnail/7", "+", "_TRANSPORT=stdout", "_UID=997",
                          "SYSLOG_IDENTIFIER=thumbnail/7", "+", unit, "YARDMASTER_WORKER=thumbnail/7"])
        self.serve(GetStatus=self.log(unit=None), ListWorkers=workers("thumbnail", 1))
        self.assertEqual(self.words("thumbnail/7", "-f"),
                         ["--follow", "SYSLOG_IDENTIFIER=thumbnail/7", "+", "YARDMASTER_WORKER=thumbnail/7"])

    def test_of_a_task(self):
        self.serve(GetStatus=STATUS, ListWorkers=workers("thumbnail", 1))
        self.assertEqual(self.words("--task", "t-1"), ["_SYSTEMD_UNIT=yardmaster.service", "YARDMASTER_TASK_ID=t-1"])
        self.assertEqual(self.words("thumbnail", "--task", "t-1")[-1], "YARDMASTER_POOL=thumbnail")
        self.assertEqual(self.words("thumbnail/1", "--task", "t-1", "-n", "1")[0], "--lines=1")

    def test_without_a_daemon(self):
        nowhere = {"YARDMASTER_SOCKET": "", "XDG_RUNTIME_DIR": self.directory.name}
        for words, unit in ((["thumbnail/1"], "yardmaster.service"),
                            (["thumbnail/1", "--instance", "blue"], "yardmaster@blue.service")):
            result = harness.subprocess.run([harness.YARDCTL, "logs", *words], capture_output=True, text=True, check=False,
                                            env={**os.environ, **self.environment, **nowhere})
            self.assertIn(f"_SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=thumbnail/1\n", result.stdout)
            self.assertEqual(result.stderr, f"yardctl: the daemon cannot be asked; this is what the journal has of {unit}\n")

    def test_what_cannot_be_shown(self):
        self.serve(GetStatus=STATUS, ListWorkers=Error("NoSuchPool", pool="thumbnial", suggestion="thumbnail"))
        self.assertIn("there is no pool thumbnial", self.ctl("logs", "thumbnial", status=4).stderr)
        self.assertIn("there is no pool thumbnial", self.ctl("logs", "thumbnial/3", status=4).stderr)
        self.assertIn("there is no level loud", self.ctl("logs", "-p", "loud", status=2).stderr)
        self.serve(GetStatus=self.log(journal=False, unit=None))
        self.assertIn("does not log to the journal but to its standard error", self.ctl("logs", status=1).stderr)
        self.serve(GetStatus=STATUS)
        error = self.ctl("logs", status=1, environment={"PATH": self.directory.name}).stderr
        self.assertIn("cannot run journalctl: No such file", error)

    def test_last_lines_of_a_status(self):
        self.serve(GetStatus=STATUS, ListPools={"pools": [POOL]}, ListWorkers=workers("thumbnail", 1))
        unit = "_SYSTEMD_UNIT=yardmaster.service"
        out = self.ctl("status", "thumbnail/1", environment=self.environment).stdout
        self.assertTrue(out.endswith("\n\n" + "\n".join(
            ["--quiet", "--no-pager", "--lines=10", unit, "SYSLOG_IDENTIFIER=thumbnail/1", "+", "_TRANSPORT=stdout", "_UID=997",
             "SYSLOG_IDENTIFIER=thumbnail/1", "+", unit,
             "YARDMASTER_WORKER=thumbnail/1"]) + "\n"), out)
        out = self.ctl("status", "thumbnail", environment=self.environment).stdout
        self.assertTrue(out.endswith("\nYARDMASTER_POOL=thumbnail\n"), out)
        self.assertNotIn("SYSLOG_IDENTIFIER", self.ctl("status", "thumbnail/1", "--json", environment=self.environment).stdout)
        # Without them it is a status all the same.
        self.serve(GetStatus=self.log(journal=False), ListWorkers=workers("thumbnail", 1))
        self.assertNotIn("--quiet", self.ctl("status", "thumbnail/1", environment=self.environment).stdout)
        self.serve(ListWorkers=workers("thumbnail", 1))
        self.assertEqual(self.ctl("status", "thumbnail/1").stderr, "")

    def test_lost_lines_are_a_problem(self):
        self.serve(GetStatus=self.log(dropped=12))
        self.assertIn("log: 12 lines are missing", self.ctl("status").stdout)

    def test_completion(self):
        self.serve(ListNames=lambda p: {"names": {"pools": ["thumb"], "workers": ["thumb/1"]}[p["kind"]]})
        self.assertEqual(self.ctl("__complete", "--", "logs", "").stdout.split(), ["thumb", "thumb/1"])
        self.assertEqual(self.ctl("__complete", "--", "logs", "--f").stdout.split(), ["--follow"])
        self.assertEqual(self.ctl("__complete", "--", "logs", "--priority", "w").stdout.split(), ["warning"])
        self.assertEqual(self.ctl("__complete", "--", "logs", "--output", "c").stdout.split(), ["cat"])
        self.assertEqual(self.ctl("__complete", "--", "list", "pools", "--output", "").stdout.split(), ["wide"])


if __name__ == "__main__":
    harness.main()
