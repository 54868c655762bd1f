# SPDX-License-Identifier: Apache-2.0
"""A real Conductor server: fetched by Maven, unpacked once, started in a scratch folder.

Owned by whoever starts it: `run` for the suite, or a test that kills its own. The cache holds the
unpacked program and the JVM's archive of its classes; a server's data lives in its scratch folder.
"""

import contextlib
import ctypes
import fcntl
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

VERSION = "3.32.3"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
JAVA_OLDEST = 21
# A start takes 5 s with the class archive, a minute without it on a busy machine.
START_SECONDS = 300
# It answers its running polls first (5 s at most); the first one then writes the class archive.
STOP_SECONDS = 120
PR_SET_PDEATHSIG = 1

JAVA_OPTIONS = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+AutoCreateSharedArchive"]
SERVER_OPTIONS = [
    "--server.address=127.0.0.1",
    "--conductor.integrations.ai.enabled=false",
    "--logging.level.root=ERROR",
    # Otherwise /actuator/health looks for an Elasticsearch that nobody has.
    "--management.health.elasticsearch.enabled=false",
    # A response timeout is on time only until the sweeper has looked at its workflow: let it not look.
    "--conductor.app.workflowOffsetTimeout=1h",
    # A task over its type's limit comes back after this long.
    "--conductor.app.taskExecutionPostponeDuration=1s",
]

libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """There is no server to be had here; the text says why and what helps."""


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def java_version(java):
    """The major version that this program says it has, 0 if it says none."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match else 0


def find_java():
    candidates = []
    if os.environ.get("JAVA_HOME"):
        candidates.append(os.path.join(os.environ["JAVA_HOME"], "bin", "java"))
    if shutil.which("java"):
        candidates.append(shutil.which("java"))
    candidates += sorted(glob.glob("/usr/lib/jvm/*/bin/java"))
    seen = []
    for java in candidates:
        version = java_version(java)
        if version >= JAVA_OLDEST:
            return java, version
        seen.append(f"{java} ({version or 'does not run'})")
    raise Unavailable(f"no Java {JAVA_OLDEST} or newer: looked at JAVA_HOME, PATH and /usr/lib/jvm, found "
                      f"{', '.join(seen) or 'none'}. Install one and set JAVA_HOME.")


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "yardmaster", "conductor-server-" + VERSION)


def fetch(folder, say):
    """The server's jar by Maven, into folder."""
    if not shutil.which("mvn"):
        raise Unavailable("no Maven (mvn) to fetch the server with: install the package maven")
    say(f"fetching conductor-server {VERSION} (460 MB)")
    artifact = f"org.conductoross:conductor-server:{VERSION}:jar:boot"
    result = subprocess.run(["mvn", "-B", "-q", COPY_GOAL, "-Dartifact=" + artifact, "-DoutputDirectory=" + folder],
                            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    jar = os.path.join(folder, f"conductor-server-{VERSION}-boot.jar")
    if result.returncode != 0 or not os.path.exists(jar):
        raise Unavailable(f"Maven did not fetch {artifact}: {result.stdout.strip()[-500:]}")
    return jar


def unpack(java, say):
    """The folder with the unpacked server; made when it is not there. One process at a time makes it."""
    folder = cache_folder()
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            return folder
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as scratch:
            jar = fetch(scratch, say)
            say("unpacking it")
            new = os.path.join(scratch, "unpacked")
            result = subprocess.run([java, "-Djarmode=tools", "-jar", jar, "extract", "--destination", new],
                                    capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise Unavailable(f"cannot unpack the server: {result.stdout}{result.stderr}")
            os.rename(new, folder)
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prepare(say):
    """All that a quick start needs: the program, and the class archive, which a server writes at its orderly end."""
    server = Server(say=say)
    try:
        if not os.path.exists(server.class_archive):
            say("starting it once, so that the next starts are quick")
            server.start()
            server.stop()
    finally:
        server.remove()


class Server:
    """A server on a loopback port with its data in a folder. start, then stop or kill; start again goes on."""

    def __init__(self, options=(), say=lambda text: None):
        self.java, version = find_java()
        program = unpack(self.java, say)
        self.class_archive = f"{program}/classes-{version}.jsa"
        self.say = say
        self.directory = tempfile.mkdtemp(prefix="ym-conductor-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.process = None
        database = os.path.join(self.directory, "conductor.db")
        self.command = [
            self.java, *JAVA_OPTIONS, f"-XX:SharedArchiveFile={self.class_archive}",
            "-Djava.io.tmpdir=" + self.directory,
            "-jar", f"{program}/conductor-server-{VERSION}-boot.jar", f"--server.port={self.port}",
            f"--spring.datasource.url=jdbc:sqlite:{database}?busy_timeout=15000&journal_mode=WAL",
            *SERVER_OPTIONS, *options,
        ]

    def start(self):
        began = time.monotonic()
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.directory, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=die_with_parent)
        told = began
        while not self.is_healthy():
            now = time.monotonic()
            if self.process.poll() is not None or now - began > START_SECONDS:
                text = self.log_tail()
                self.kill()
                raise Unavailable(f"the server did not start within {now - began:.0f} s:\n{text}")
            if now - told >= 5:
                told = now
                self.say(f"waiting for the server, {now - began:.0f} s")
            time.sleep(0.1)
        self.say(f"Conductor {VERSION} at {self.url} after {time.monotonic() - began:.1f} s")
        return self

    def is_healthy(self):
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return answer.status == 200
        return False

    def log_tail(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-40:])

    def stop(self):
        """SIGTERM, as an administrator would."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.say("the server does not end: killed")
                self.kill()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.remove()
