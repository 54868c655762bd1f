# SPDX-License-Identifier: Apache-2.0
"""tests/bench/run conductor: a daemon with persistent workers on one core, the stub server on the
other, beside a bare libcurl loop of the same requests (bare-curl.c)."""

import os
import re
import statistics
import subprocess
import time

import harness
from stub import Stub

OURS, THEIRS = ("taskset", "-c", "0"), ("taskset", "-c", "1")
CONNECTIONS = 16  # what a source has unless it is told otherwise

IN_FLIGHT = {1: (5_000, 30_000), 10: (10_000, 60_000), 100: (10_000, 60_000)}  # warm-up, measured
RATIO_BOUNDS = {1: 0.65, 10: 0.70, 100: 0.70}
RATE_BOUND = 35_000
N_ROUNDS = 5

N_KILL = 100_000
N_KILL_ROUNDS = 3

PICKUP_PER_SECOND = 20
N_PICKUP = 1_200

N_IDLE_POOLS = 100
IDLE_SECONDS = 60
TRACE_SECONDS = 10

N_STOPPED = 10
POLL_TIMEOUT = 2
DRAIN_TIMEOUT = 1

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids):
    """User and system time of these processes so far."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        found = file.read().split()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as file:
            found += file.read().split()
    return {int(child) for child in found}


def daemon(stub, pools, top="", pinned=True, log_level="warning"):
    return harness.Daemon(f'{top}sources: {{ prod: {{ type = "conductor"; url = "{stub.url}"; }}; }};\npools: {{ {pools} }};\n',
                          wrapper=OURS if pinned else (), log_level=log_level)


class ConductorBench:
    def __init__(self, bench, spread):
        self.bench = bench
        self.spread = spread

    def pool(self, name, in_flight, *arguments):
        command = ", ".join(f'"{word}"' for word in (self.bench.program("persistent-child"), *arguments))
        return (f'{name}: {{ source = "prod"; workers = 1; concurrency = {in_flight}; '
                f'handler = {{ command = [{command}]; mode = "persistent"; }}; }};')

    @staticmethod
    def measure(stub, before, in_flight, pids):
        """Tasks a second, and CPU time of a task, between two points of a run as the stub sees it."""
        warm_up, n = IN_FLIGHT[in_flight]
        start = stub.wait("completed", before + warm_up)
        spent = cpu_seconds(*pids())
        end = stub.wait("completed", before + warm_up + n)
        spent = cpu_seconds(*pids()) - spent
        n = end["completed"] - start["completed"]
        return {"rate": n * 1e6 / (end["usec"] - start["usec"]), "cpu": spent * 1e6 / n}

    @staticmethod
    def create(stub, name, in_flight):
        warm_up, n = IN_FLIGHT[in_flight]
        before = stub.wait("completed", 0)["completed"]
        # Some more, so that the end of what is measured is not the end of the work.
        stub.create(name, warm_up + n + warm_up, expect={"n": 1})
        return before

    def ours(self, stub, in_flight):
        before = self.create(stub, "bench", in_flight)
        with daemon(stub, self.pool("bench", in_flight)) as host:
            pid = host.process.pid
            figures = self.measure(stub, before, in_flight, lambda: {pid, *children(pid)})
            stub.wait("settled")
        return figures

    def bare(self, stub, in_flight):
        before = self.create(stub, "bare", in_flight)
        command = [*OURS, self.bench.program("bare-curl"), stub.url, "bare", str(in_flight), str(min(in_flight, CONNECTIONS))]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            figures = self.measure(stub, before, in_flight, lambda: {process.pid})
            stub.wait("settled")
        if process.returncode != 0:
            raise RuntimeError(f"bare-curl ended with {process.returncode}")
        return figures

    def throughput(self):
        for in_flight, bound in RATIO_BOUNDS.items():
            ours, bare = [], []
            with Stub(wrapper=THEIRS) as stub:
                for _ in range(N_ROUNDS):
                    ours.append(self.ours(stub, in_flight))
                    bare.append(self.bare(stub, in_flight))
                if stub.wrong():
                    raise RuntimeError(f"not all tasks completed well: {stub.wrong(3)}")
            self.report_throughput(in_flight, bound, ours, bare)

    def report_throughput(self, in_flight, bound, ours, bare):
        rates, bare_rates = [f["rate"] for f in ours], [f["rate"] for f in bare]
        costs, bare_costs = [f["cpu"] for f in ours], [f["cpu"] for f in bare]
        ratio = statistics.median(o / b for o, b in zip(rates, bare_rates))
        needs_rate = in_flight > 1
        self.bench.report(
            f"conductor-{in_flight}", **self.spread("tasksPerSecond", rates), **self.spread("barePerSecond", bare_rates),
            **self.spread("ratio", [o / b for o, b in zip(rates, bare_rates)], 3),
            **self.spread("cpuUsec", costs, 1), **self.spread("bareCpuUsec", bare_costs, 1),
            bound=f"ratio >= {bound}" + (f", tasksPerSecond >= {RATE_BOUND}" if needs_rate else ""),
            holds=ratio >= bound and (not needs_rate or statistics.median(rates) >= RATE_BOUND))

    def kill(self):
        """kill -9 of the daemon in the middle of such a run; nothing may be lost."""
        again, ignored, seconds = [], [], []
        holds = True
        for _ in range(N_KILL_ROUNDS):
            with Stub(wrapper=THEIRS) as stub:
                stub.create("bench", N_KILL, expect={"n": 1})
                host = daemon(stub, self.pool("bench", 100))
                with host:
                    stub.wait("completed", N_KILL // 3)
                    host.kill()
                    killed = time.monotonic()
                    host.start()
                    stub.wait("settled")
                    seconds.append(time.monotonic() - killed)
                counts = stub.counts()
                holds &= counts["COMPLETED"] == N_KILL and counts["wrong"] == 0 and counts["retries"] == 0
                again.append(counts["polledAgain"])
                ignored.append(sum(task["ignored"] for task in stub.call("GET", "/stub/tasks", limit=N_KILL)["tasks"]))
        self.bench.report("conductor-kill", tasks=N_KILL, **self.spread("givenOutAgain", again), **self.spread("sentAgain", ignored),
                          **self.spread("secondsToTheEnd", seconds, 1),
                          bound="all COMPLETED, each with one result, no retry spent", holds=holds)

    def pickup(self):
        """Ready at the server → handler started, one task at a time; nothing is pinned."""
        with Stub() as stub, daemon(stub, self.pool("bench", 10, "stamp"), pinned=False):
            stub.wait("polls", 1)
            stub.create("bench", N_PICKUP, ratePerSecond=PICKUP_PER_SECOND)
            stub.wait("completed", N_PICKUP, timeout=N_PICKUP / PICKUP_PER_SECOND * 2)
            stats = stub.stats()
        usec = stats["pickupUsec"]
        self.bench.report("conductor-pickup", tasks=usec["n"], p50Usec=usec["p50"], p99Usec=usec["p99"], maxUsec=usec["max"],
                          handedOutP50Usec=stats["handoutUsec"]["p50"], handedOutP99Usec=stats["handoutUsec"]["p99"],
                          bound="p50 <= 1000, p99 <= 5000", holds=usec["p50"] <= 1000 and usec["p99"] <= 5000)

    def idle(self):
        pools = "\n".join(f'p{n}: {{ source = "prod"; handler = {{ command = ["{self.bench.program("child")}"]; }}; }};'
                          for n in range(N_IDLE_POOLS))
        with Stub() as stub, daemon(stub, pools, pinned=False) as host:
            pid = host.process.pid
            stub.wait("polls", 2 * N_IDLE_POOLS)
            stub.reset_stats()
            spent, start = cpu_seconds(pid), time.monotonic()
            time.sleep(IDLE_SECONDS)
            spent = (cpu_seconds(pid) - spent) / (time.monotonic() - start)
            rss, polls = resident(pid), stub.stats()["polls"]
            trace = host.path("trace")
            subprocess.run(["timeout", str(TRACE_SECONDS), "strace", "-f", "-qq", "-o", trace, "-p", str(pid)], check=False)
            with open(trace, encoding="utf-8") as file:
                calls = re.findall(r"^\d+\s+(?:<\.\.\. )?(\w+)(?:\(| resumed)", file.read(), re.M)
        self.bench.report("conductor-idle", pools=N_IDLE_POOLS, seconds=IDLE_SECONDS, rssKilobytes=rss,
                          cpuPercent=round(spent * 100, 3), pollsPerSecond=round(polls / IDLE_SECONDS, 1), tracedSeconds=TRACE_SECONDS,
                          systemCalls={name: calls.count(name) for name in sorted(set(calls))},
                          bound="RSS <= 16384 kB, CPU <= 0.5 %", holds=rss <= 16 * 1024 and spent <= 0.005)

    def stop(self):
        """SIGTERM with ten tasks of 5 s running and twenty more waiting at the server."""
        limit = max(DRAIN_TIMEOUT, POLL_TIMEOUT) + 1
        pools = f'bench: {{ source = "prod"; workers = {N_STOPPED}; handler = {{ command = ["sleep", "5"]; }}; }};'
        with Stub() as stub:
            stub.create("bench", 3 * N_STOPPED)
            host = daemon(stub, pools, top=f'drain_timeout = "{DRAIN_TIMEOUT}s";\n', pinned=False)
            with host:
                stub.wait("in-progress", N_STOPPED)
                start = time.monotonic()
                host.stop()
                seconds = time.monotonic() - start
            counts = stub.counts()
        holds = (seconds <= limit and counts["IN_PROGRESS"] == 0 and counts["handedBack"] == N_STOPPED
                 and counts["SCHEDULED"] == 3 * N_STOPPED and counts["retries"] == 0)
        self.bench.report("conductor-stop", seconds=round(seconds, 2), handedBack=counts["handedBack"], inProgress=counts["IN_PROGRESS"],
                          failed=counts["FAILED"], bound=f"seconds <= {limit}, {N_STOPPED} handed back, none in progress", holds=holds)


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


PARTS = {"throughput": ConductorBench.throughput, "kill": ConductorBench.kill, "pickup": ConductorBench.pickup,
         "idle": ConductorBench.idle, "stop": ConductorBench.stop}


def run(bench, spread, parts=PARTS):
    for part in parts:
        PARTS[part](ConductorBench(bench, spread))
