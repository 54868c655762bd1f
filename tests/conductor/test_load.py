# SPDX-License-Identifier: Apache-2.0
"""Many workflows, every output checked, while nothing else asks the server for anything."""

import concurrent.futures
import hashlib
import os
import random
import threading

import conductor
import harness

N_WORKFLOWS = 2000
# With more writers at a time the server's SQLite fails more workflows at their start.
N_STARTERS = 2
# Those that it fails, it fails before any worker has to do with them; they are started again.
N_SERVER_FAULTS_MAX = 20
SERVER_FAULT = "Error scheduling tasks"
SERVER_BUSY = "SQLITE_BUSY"
EXAMPLES = os.path.join(harness.SOURCE_ROOT, "conf", "examples")
LIBRARIES = os.environ.get("YARDMASTER_TEST_EXAMPLES", "")
PATIENCE = harness.TIMEOUT * 5


class Load(conductor.Case):
    def start(self, order):
        """On a busy machine the server's own database is locked now and then; it says so and has started nothing."""
        for _ in range(N_SERVER_FAULTS_MAX):
            try:
                return self.api.start(*order)
            except conductor.ApiError as error:
                if SERVER_BUSY not in str(error):
                    raise
        raise AssertionError("the server's database stays locked")

    def start_all(self, orders):
        """Workflow ids in the order of (name, input)."""
        with concurrent.futures.ThreadPoolExecutor(N_STARTERS) as executor:
            return list(executor.map(self.start, orders))

    def wait_each(self, orders, ids):
        """The task of each workflow, completed at the first try."""
        n_faults = 0
        for order, workflow_id in zip(orders, ids):
            while SERVER_FAULT in (workflow := self.api.wait_workflow(workflow_id, None, PATIENCE)).get(
                    "reasonForIncompletion", ""):
                n_faults += 1
                workflow_id = self.start(order)
            self.assertEqual(workflow["status"], "COMPLETED", workflow)
            [task] = workflow["tasks"]
            self.assertEqual(task["retryCount"], 0)
            yield task
        self.assertLessEqual(n_faults, N_SERVER_FAULTS_MAX)

    def test_three_kinds_of_handlers(self):
        kinds = {"file-size": "path", "count": "path", "hash": "text"}
        names = {}
        for kind, member in kinds.items():
            names[kind] = self.api.define_task(conductor.fresh_name(kind))
            self.api.define_workflow(names[kind], names[kind], inputs={member: "${workflow.input.%s}" % member})
        handlers = {
            "file-size": f'handler = {{ command = ["{EXAMPLES}/file-size.sh"]; }}; workers = 3;',
            "count": f'handler = {{ command = ["{EXAMPLES}/count.py", "4"]; mode = "persistent"; }}; concurrency = 4;',
            "hash": 'handler = { library = "hash.so"; threads = 2; config = { algorithm = "sha256"; }; }; workers = 2;',
        }
        pools = [f'{kind}: {{ source = "prod"; task_type = "{names[kind]}"; {handlers[kind]} }};\n' for kind in kinds]
        daemon = conductor.Daemon(conductor.configuration(*pools), environment={"YARDMASTER_HANDLER_PATH": LIBRARIES},
                                  log_level="info")
        self.addCleanup(self.end, daemon)
        orders, expected = [], []
        for number in range(N_WORKFLOWS):
            kind = list(kinds)[number % 3]
            given, output = self.order(daemon, kind, number)
            orders.append((names[kind], given))
            expected.append(output)
        daemon.start()
        for task, output in zip(self.wait_each(orders, self.start_all(orders)), expected, strict=True):
            self.assertEqual({**task["outputData"], **output}, task["outputData"])
            self.assertEqual(task["pollCount"], 1)

    @staticmethod
    def order(daemon, kind, number):
        """An input of its own, and what has to come out."""
        if kind == "hash":
            text = f"text number {number}"
            return {"text": text}, {"digest": hashlib.sha256(text.encode()).hexdigest()}
        size = number % 97 + 1
        path = daemon.path(f"file-{size}")
        if not os.path.exists(path):
            daemon.write(f"file-{size}", "a b\n" * size)
        if kind == "count":
            return {"path": path}, {"lines": size, "words": 2 * size, "bytes": 4 * size}
        return {"path": path}, {"bytes": 4 * size}

    def test_reload_and_scale_under_load(self):
        """Sizes, live keys and keys that replace workers change all the time; no task notices."""
        name, other = self.api.define(), self.api.define()
        chance = random.Random(1)

        def text(step):
            keys = f'concurrency = {step % 4 + 1}; workers = {step % 3 + 1};'
            if step % 2:
                keys += f' environment = {{ STEP = "{step // 4}"; }};'
            pools = [conductor.pool(name, keys)]
            if step % 5 != 3:
                pools.append(conductor.pool(other))
            return conductor.configuration(*pools)

        daemon = conductor.Daemon(text(0), log_level="info")
        self.addCleanup(self.end, daemon)
        daemon.start()
        done = threading.Event()
        orders = [(name if number % 8 else other, {"value": number, "sleep": 0.02}) for number in range(400)]
        ids = []
        starter = threading.Thread(target=lambda: (ids.extend(self.start_all(orders)), done.set()))
        starter.start()
        step = 0
        while not done.wait(0.3):
            step += 1
            daemon.write_config(text(step))
            daemon.ctl("reload")
            daemon.ctl("scale", name, chance.randrange(1, 5))
        daemon.write_config(text(0))
        daemon.ctl("reload")
        starter.join()
        self.assertGreater(step, 5)
        for number, task in enumerate(self.wait_each(orders, ids)):
            self.assertEqual(task["outputData"]["echo"], number)
        ended = [line["taskId"] for line in daemon.witnessed(event="end")]
        self.assertEqual(len(ended), len(set(ended)), "none ran twice")


if __name__ == "__main__":
    harness.main()
