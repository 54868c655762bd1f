# SPDX-License-Identifier: Apache-2.0
"""Guests: the tree as a container of systemd-nspawn, the same tree in QEMU. Each has a layer of its own
to write into, no network but its loopback, and a channel over which its agent (guest/agent.py) runs what
it is asked to.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time

import disk

# Both are ten times what an idle machine takes.
NSPAWN_BOOT_SECONDS = 60
QEMU_BOOT_SECONDS = 240
CGROUP_SECONDS = 10
CONSOLE_TAIL = 60
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class Broken(Exception):
    """The guest itself has failed: it does not boot, or its channel broke."""


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Machine:
    """boot, execute as often as wanted, kill. What it leaves is its scratch folder: console, journal."""

    boot_seconds = None

    def __init__(self, name, image, payload, folder, say):
        self.name = name
        self.image = image
        self.payload = payload
        self.folder = os.path.join(folder, name)
        self.say = say
        self.process = None
        self.channel = None
        self.pending = b""
        os.makedirs(os.path.join(self.folder, "channel"))

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """In the child, before exec."""
        die_with_parent()

    def boot(self):
        began = time.monotonic()
        address = self.path("channel", "socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen(1)
            with open(self.path("console"), "ab") as console:
                self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=console,
                                                stderr=console, env=self.environment(), preexec_fn=self.prepare)
            self.channel = self.accept(listener)
        # QEMU connects before its guest has begun; the agent says hello.
        self.pending = b""
        self.receive(began + self.boot_seconds)
        self.say(f"{self.name}: booted in {time.monotonic() - began:.0f} s")
        return self

    def environment(self):
        return dict(os.environ)

    def accept(self, listener):
        deadline = time.monotonic() + self.boot_seconds
        listener.settimeout(0.2)
        while time.monotonic() < deadline:
            with contextlib.suppress(socket.timeout):
                return listener.accept()[0]
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended with {self.process.returncode} while booting")
        raise Broken(f"{self.name} did not boot within {self.boot_seconds} s")

    def receive(self, deadline):
        """The next message of the agent."""
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Broken(f"{self.name}: no answer in time")
            self.channel.settimeout(left)
            try:
                data = self.channel.recv(1 << 16)
            except socket.timeout:
                continue
            except OSError as error:
                raise Broken(f"{self.name}: {error}") from error
            if not data:
                raise Broken(f"{self.name}: the channel was closed")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise Broken(f"{self.name}: not a message: {line[:200]!r}") from error

    def execute(self, argv, on_line=print, given="", environment=None, seconds=600):
        """Runs a program in the guest, hands on each line of its output; its exit status."""
        deadline = time.monotonic() + seconds
        request = {"argv": argv, "input": given, "environment": environment or {}}
        try:
            self.channel.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Broken(f"{self.name}: {error}") from error
        while True:
            message = self.receive(deadline)
            if "exit" in message:
                return message["exit"]
            on_line(message["line"])

    def kill(self):
        """As if its plug were pulled."""
        if self.channel:
            self.channel.close()
            self.channel = None
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def console_tail(self):
        with contextlib.suppress(FileNotFoundError), open(self.path("console"), encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in file][-CONSOLE_TAIL:]
        return []


# systemd-nspawn

def own_cgroups(name):
    """A cgroup for each container in every hierarchy, so that two of them do not share one."""
    made = []
    for line in open("/proc/self/mounts", encoding="utf-8"):
        _, point, kind, _ = line.split(" ", 3)
        if kind in ("cgroup2", "cgroup") and ("name=systemd" in line or kind == "cgroup2"):
            path = os.path.join(point, name)
            with contextlib.suppress(OSError):
                os.makedirs(path, exist_ok=True)
                made.append(path)
    return made


def remove_cgroup(path):
    """Once what was in it, which has been killed, is gone."""
    deadline = time.monotonic() + CGROUP_SECONDS
    while os.path.isdir(path) and time.monotonic() < deadline:
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        time.sleep(0.02)


class Nspawn(Machine):
    """PID 1, journal and units are real; memory and processes have no limits where the host's cgroups are v1."""

    boot_seconds = NSPAWN_BOOT_SECONDS

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cgroups = []
        for name in ("journal", "upper", "work", "root"):
            os.makedirs(self.path(name))

    def command(self):
        # Volatile: nothing is synced, since nothing of it is wanted after a crash of this machine.
        layer = f"volatile,lowerdir={self.image.tree},upperdir={self.path('upper')},workdir={self.path('work')}"
        # In namespaces of its own: its end is the end of all in it, its layer's mount included. A killed
        # systemd-nspawn alone would leave the container running.
        return ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc",
                "sh", "-c", 'mount -t overlay -o "$0" overlay "$1" && shift && exec "$@"', layer, self.path("root"),
                "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe",
                "--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
                f"--machine={self.name}", f"--directory={self.path('root')}",
                f"--bind-ro={self.payload}:/mnt/payload", f"--bind={self.path('channel')}:/mnt/channel",
                f"--bind={self.path('journal')}:/var/log/journal"]

    def environment(self):
        return {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}

    def boot(self):
        self.cgroups = own_cgroups(f"{self.name}-{os.getpid()}")
        return super().boot()

    def prepare(self):
        super().prepare()
        for path in self.cgroups:
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="utf-8") as file:
                file.write("0")

    def kill(self):
        super().kill()
        for path in self.cgroups:
            remove_cgroup(path)


# QEMU

class Qemu(Machine):
    """A kernel of its own, cgroup v2 with every controller; emulated, since KVM cannot be counted on."""

    boot_seconds = QEMU_BOOT_SECONDS

    def __init__(self, *arguments):
        super().__init__(*arguments)
        with tarfile.open(self.path("payload"), "w") as archive:
            archive.add(self.payload, arcname=".")

    def disk_options(self):
        # A layer in a temporary file, of which nothing must survive.
        return f"file={self.image.disk},format=raw,if=none,id=root,snapshot=on,cache=unsafe"

    def command(self):
        words = "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check " \
                "random.trust_cpu=on systemd.show_status=0"
        # One plain processor: emulating two, or more of their features, takes a third longer for the same work.
        return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1", "-m", "1024",
                "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
                "-kernel", self.image.kernel, "-initrd", self.image.initramfs, "-append", words,
                "-drive", self.disk_options(), "-device", "virtio-blk-pci,drive=root",
                "-drive", f"file={self.path('payload')},format=raw,if=none,id=payload,read-only=on",
                "-device", "virtio-blk-pci,drive=payload",
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=channel,path={self.path('channel', 'socket')}",
                "-device", "virtserialport,chardev=channel,name=yardmaster"]

    def environment(self):
        return {**os.environ, "TMPDIR": self.folder}


class QemuWithoutPower(Qemu):
    """Its disk outlives it, but for what the guest has not flushed; cut() pulls the plug, boot() goes on."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.disk = disk.Disk(self.image.disk, self.path("disk"))

    def disk_options(self):
        # Writes are complete when the disk has them in its cache, flushes are passed on.
        return f"file=nbd+unix:///?socket={self.path('disk')},format=raw,if=none,id=root,cache=writeback"

    def cut(self, seed):
        super().kill()
        lost = self.disk.cut(seed)
        self.say(f"{self.name}: power cut, {lost} blocks lost that were not flushed ({self.disk.n_flushes} flushes)")

    def kill(self):
        super().kill()
        self.disk.close()
