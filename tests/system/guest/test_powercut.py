# SPDX-License-Identifier: Apache-2.0
"""The power goes while tasks are submitted, run and finished; what the disk had not been made to keep is lost.

The host remembers what a client was told before: a task whose id was given is there afterwards, one that
was said to be finished is finished, and every one ends.
"""

import json
import os
import subprocess
import sys
import threading

import guest

N_CUTS = 2
BATCH = 20
# So much is under way before the power goes.
N_FINISHED = 60
WITNESS = guest.STATE + "/witness"


class Client:
    """Submits tasks and waits for them, on a connection each; tells the host what it was told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.finished = 0
        self.enough = threading.Event()

    def remember(self, **what):
        with self.lock:
            print("@remember " + json.dumps(what), flush=True)

    def submit_for_ever(self):
        with guest.harness.Varlink(guest.CONTROL) as connection:
            while True:
                tasks = [{"type": "witness", "attempts": 100} for _ in range(BATCH)]
                results = connection.call("SubmitMany", {"tasks": tasks})["results"]
                ids = [result["taskId"] for result in results]
                for one in ids:
                    self.remember(accepted=one)
                threading.Thread(target=self.wait, args=(ids,), daemon=True).start()

    def wait(self, ids):
        with guest.harness.Varlink(guest.CONTROL) as connection:
            for one in ids:
                connection.call("WaitTasks", {"ids": [one]})
                task = connection.call("GetTask", {"taskId": one})["task"]
                self.remember(finished=one, status=task["status"], nonce=task["output"]["nonce"])
                self.finished += 1
                if self.finished >= N_FINISHED:
                    self.enough.set()


def executions():
    """The nonces of each task, in their order; a cut may have torn a line."""
    found = {}
    for line in guest.read(WITNESS).splitlines():
        fields = line.split()
        if len(fields) == 5 and fields[4] == ".":
            found.setdefault(fields[0], []).append(fields[2])
    return found


class PowerCut(guest.Scenario):
    MACHINE = "qemu-power-cut"
    fresh = False

    def begin(self):
        guest.install()
        guest.wait_state("active")
        name = guest.handler("witness.py", guest.read(guest.PAYLOAD + "/handlers/witness.py"))
        guest.configure("witness", guest.persistent("witness", [name, WITNESS, "persistent"], workers=2, concurrency=2))
        guest.systemctl("reload", guest.UNIT)
        # What an installation leaves to the kernel to write some time is not what is tested.
        os.sync()

    def check(self, told):
        """What was promised before the last cut holds; nothing is left over."""
        accepted = {one["accepted"] for one in told if "accepted" in one}
        finished = {one["finished"]: one for one in told if "finished" in one}
        self.assertGreaterEqual(len(finished), N_FINISHED)
        for one, before in finished.items():
            task = guest.call("GetTask", {"taskId": one})["task"]
            self.assertEqual((task["status"], task["output"]["nonce"]), (before["status"], before["nonce"]))
        guest.call("WaitTasks", {"ids": sorted(accepted)})
        for one in accepted:
            self.assertEqual(guest.call("GetTask", {"taskId": one})["task"]["status"], "COMPLETED")
        counts = guest.yardctl_json("status")["pools"][0]
        self.assertEqual((counts["queued"], counts["tasksInHand"]), (0, 0))
        witnessed = executions()
        for one, before in finished.items():
            # It was not run again: its last execution is the one whose result was kept.
            self.assertEqual(witnessed[one][-1], before["nonce"])
        print(f"# {len(accepted)} tasks accepted, {len(finished)} of them finished before a cut", flush=True)

    def test_power_cut(self):
        told = [json.loads(line) for line in sys.stdin]
        n_cuts = sum("cut" in one for one in told)
        if n_cuts == 0:
            self.begin()
        # It comes up by itself.
        guest.wait_state("active")
        self.assertEqual(guest.show("NRestarts"), "0")
        if n_cuts > 0:
            self.check(told)
        if n_cuts == N_CUTS:
            return
        client = Client()
        threading.Thread(target=client.submit_for_ever, daemon=True).start()
        self.assertTrue(client.enough.wait(guest.TIMEOUT * 3), "tasks finish")
        with client.lock:
            print("@remember " + json.dumps({"cut": n_cuts + 1}), flush=True)
            print("@cut", flush=True)
            # Tasks go on; nobody is told any more.
            subprocess.run(["sleep", "infinity"], check=True)


if __name__ == "__main__":
    guest.main()
