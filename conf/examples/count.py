#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An example of a persistent handler in Python: lines, words and bytes of a file, as by wc.

    input    {"path": "/etc/os-release"}
    output   {"lines": 9, "words": 12, "bytes": 267}

count.py [THREADS]     tasks at a time (1): the pool's concurrency

Try it: yardmasterd run count --once --mode persistent --input '{"path":"/etc/fstab"}' -- ./count.py
Use it: copy count.py and count.conf into conf.d beside yardmaster.conf, yardctl reload.

To make a handler of your own, write another execute() and keep the rest: Task and Worker are all
that yardmaster-protocol(7) asks for. Python's standard library is enough.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

BLOCK_SIZE = 1024 * 1024


class Failure(Exception):
    """Raised by execute: the task has failed. terminal: and no retry helps."""

    def __init__(self, reason, terminal=False):
        super().__init__(reason)
        self.status = "FAILED_WITH_TERMINAL_ERROR" if terminal else "FAILED"


class Task:
    """One task in hand, for execute."""

    def __init__(self, worker, task):
        self.worker = worker
        self.id = task["taskId"]
        self.input = task.get("inputData") or {}
        self.object = task
        self.cancelled = threading.Event()

    def send(self, kind, **members):
        self.worker.send({"type": kind, "taskId": self.id, **members})

    def log(self, message):
        """A line of the task's own log."""
        self.send("log", message=message)

    def progress(self, percent=None, stage=None, message=None, data=None):
        members = {"percent": percent, "stage": stage, "message": message, "data": data}
        self.send("progress", **{k: v for k, v in members.items() if v is not None})

    def check_cancelled(self):
        """Call it often: the daemon ends the process if a cancelled task does not end."""
        if self.cancelled.is_set():
            raise Failure("cancelled")


class Worker:
    """Speaks with the daemon: reads tasks on stdin, runs execute in threads, writes results."""

    def __init__(self, execute, threads=1):
        self.execute = execute
        self.executor = ThreadPoolExecutor(threads)
        self.tasks = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        # The answers get a descriptor of their own, so that a print() anywhere goes to the log.
        self.output = os.dup(1)
        os.dup2(2, 1)

    def send(self, message):
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self.lock:
            while line:
                line = line[os.write(self.output, line) :]

    def run_task(self, task):
        try:
            task.check_cancelled()
            task.send("result", status="COMPLETED", output=self.execute(task))
        except Failure as failure:
            task.send("result", status=failure.status, reason=str(failure))
        except Exception as error:  # whatever is wrong with this task, the next one may be fine
            task.send("result", status="FAILED", reason=f"{type(error).__name__}: {error}")
        finally:
            del self.tasks[task.id]

    def handle(self, message):
        if message["type"] == "task":
            task = Task(self, message["task"])
            self.tasks[task.id] = task
            self.executor.submit(self.run_task, task)
        elif message["type"] == "cancel":
            task = self.tasks.get(message["taskId"])
            if task:
                task.cancelled.set()
        elif message["type"] == "drain":
            self.ended.set()

    def read(self):
        with open(0, "rb", closefd=False) as lines:
            for line in lines:
                self.handle(json.loads(line))
        self.ended.set()

    def run(self):
        """Until the daemon says drain or closes stdin; then what is in hand is finished."""
        threading.Thread(target=self.read, daemon=True).start()
        self.ended.wait()
        self.executor.shutdown()
        os._exit(0)  # the reader may still be waiting for a line


def execute(task):
    path = task.input.get("path")
    if not isinstance(path, str):
        raise Failure('the input must have "path", a string', terminal=True)
    lines = words = n_bytes = 0
    in_word = False
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            while block := file.read(BLOCK_SIZE):
                lines += block.count(b"\n")
                # A word that began in the block before was counted there.
                words += len(block.split()) - (in_word and not block[:1].isspace())
                in_word = not block[-1:].isspace()
                n_bytes += len(block)
                task.check_cancelled()
                if n_bytes < size:
                    task.progress(percent=round(100 * n_bytes / size, 1))
    except FileNotFoundError as error:
        raise Failure(str(error), terminal=True) from error
    return {"lines": lines, "words": words, "bytes": n_bytes}


if __name__ == "__main__":
    Worker(execute, int(sys.argv[1]) if len(sys.argv) > 1 else 1).run()
