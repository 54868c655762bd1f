# SPDX-License-Identifier: Apache-2.0
"""What is booted: a small Debian 12 tree, and for QEMU a kernel, an initramfs and a disk of that tree.

Made once, by debootstrap and from Debian's own kernel package, and kept in
${XDG_CACHE_HOME:-~/.cache}/yardmaster; a guest writes into a layer of its own. The name holds a digest of
what it is made from, so a change makes a new one and removes those that nobody uses.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

LAYOUT = 1  # to be raised when the code below makes something else of the same constants
SUITE = "bookworm"
# Below "minbase": an init, what the packages under test depend on, what tests and handlers are written in.
PACKAGES = [
    "systemd", "systemd-sysv", "dbus",
    "libjson-c5", "libconfig9", "libcurl4", "libsmartcols1", "libsqlite3-0", "ca-certificates",
    "python3", "jq", "nodejs", "procps", "busybox-static",
]
KERNEL_PACKAGE = "linux-image-cloud-amd64"
# What a root on a virtio disk and a channel on a virtio port need, without udev.
MODULES = ["virtio_pci", "virtio_blk", "ext4", "virtio_console", "virtio_rng"]
DISK_BYTES = 2 << 30
# They cost time at each boot and have nothing to do in a guest.
MASKED_UNITS = [
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "e2scrub_reap.service", "getty.target", "systemd-networkd.service", "systemd-timesyncd.service",
    "systemd-update-utmp-runlevel.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service",
    "dev-ttyS0.device",
]
AGENT_UNIT = """\
[Unit]
Description=Runs what the other side of the channel asks for
After=basic.target

[Service]
Type=exec
ExecStart=/usr/local/lib/yardmaster-tests/start
# Its children are the tests: nothing here may stand in their way.
OOMScoreAdjust=-900
TasksMax=infinity
KillMode=process

[Install]
WantedBy=multi-user.target
"""
# In QEMU the payload is a tar on the second disk and the channel a port; in a container both are mounted.
AGENT_START = """\
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -e
if [ -b /dev/vdb ]; then
        mkdir -p /mnt/payload
        tar -x -C /mnt/payload -f /dev/vdb
fi
exec python3 -B /mnt/payload/guest/agent.py
"""
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do
        /bin/busybox insmod /modules/$module
done
/bin/busybox mount -t ext4 -o rw /dev/vda /system || exec /bin/busybox sh
/bin/busybox mount --move /dev /system/dev
exec /bin/busybox switch_root /system /lib/systemd/systemd
"""


class Unavailable(Exception):
    """It cannot be made here; the text says why."""


def cache_folder():
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "yardmaster")


def digest():
    parts = [str(LAYOUT), SUITE, *PACKAGES, KERNEL_PACKAGE, *MODULES, str(DISK_BYTES), *MASKED_UNITS,
             AGENT_UNIT, AGENT_START, INIT]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def run(*command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace", check=False, **options)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-15:])
        raise Unavailable(f"{' '.join(command)}: exit {result.returncode}\n{tail}")
    return result.stdout


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


class Image:
    """Folder of the tree, and the files that QEMU boots."""

    def __init__(self, folder):
        self.tree = os.path.join(folder, "tree")
        self.kernel = os.path.join(folder, "kernel")
        self.initramfs = os.path.join(folder, "initramfs")
        self.disk = os.path.join(folder, "disk")
        self.lock = None  # shared, while it is in use

    def is_made(self, with_kernel):
        return os.path.isdir(self.tree) and (os.path.isfile(self.disk) or not with_kernel)


def configure_tree(tree):
    etc = os.path.join(tree, "etc")
    write(os.path.join(etc, "hostname"), "yard\n")
    # Without one each boot would be a first one; the journals of all guests have the same.
    write(os.path.join(etc, "machine-id"), "59617264" * 4 + "\n", 0o444)
    for unit in MASKED_UNITS:
        os.symlink("/dev/null", os.path.join(etc, "systemd/system", unit))
    write(os.path.join(etc, "systemd/system/yardmaster-tests.service"), AGENT_UNIT)
    wants = os.path.join(etc, "systemd/system/multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("../yardmaster-tests.service", os.path.join(wants, "yardmaster-tests.service"))
    write(os.path.join(tree, "usr/local/lib/yardmaster-tests/start"), AGENT_START, 0o755)
    for folder in ("mnt/payload", "mnt/channel", "var/log/journal"):
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    # A disk of a guest is thrown away with it; what must be on it syncs by itself.
    write(os.path.join(etc, "dpkg/dpkg.cfg.d/unsafe-io"), "force-unsafe-io\n")
    # A guest has no network: apt shall look for nothing that it does not have, and not read long lists.
    for path in glob.glob(os.path.join(tree, "var/cache/apt/archives/*.deb")) + \
            glob.glob(os.path.join(tree, "var/lib/apt/lists/*_*")) + glob.glob(os.path.join(tree, "var/cache/apt/*.bin")):
        os.unlink(path)


def mirror():
    """Where to get Debian from: as told, or where this machine gets it; none: debootstrap knows one."""
    told = os.environ.get("YARDMASTER_DEBIAN_MIRROR")
    if told:
        return [told]
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)",
                  "Created-By: Packages")
    return re.findall(f"^Debian {SUITE} main (http.*?)/?$", targets, re.MULTILINE)[:1]


def make_tree(tree, say):
    say(f"debootstrap of {SUITE}")
    run("debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), SUITE, tree, *mirror())
    configure_tree(tree)


# The kernel

def find_modules(root, wanted):
    """Paths of the modules, each behind those that it depends on; without those that are built in."""
    paths = {os.path.basename(path)[:-3].replace("-", "_"): path
             for path in glob.glob(os.path.join(root, "lib/modules/*/kernel/**/*.ko"), recursive=True)}
    (built_in,) = glob.glob(os.path.join(root, "lib/modules/*/modules.builtin"))
    with open(built_in, encoding="utf-8") as file:
        names_built_in = {os.path.basename(line.strip())[:-3].replace("-", "_") for line in file}
    ordered = []

    def add(name):
        if name in names_built_in or paths.get(name) in ordered:
            return
        if name not in paths:
            raise Unavailable(f"{KERNEL_PACKAGE} has no module {name}")
        with open(paths[name], "rb") as file:
            depends = re.search(rb"\0depends=([^\0]*)\0", file.read())
        for other in filter(None, depends[1].decode().split(",")):
            add(other.replace("-", "_"))
        ordered.append(paths[name])

    # ext4 asks for its checksum by an alias, which only modprobe knows.
    for name in ["crc32c_generic", *wanted]:
        add(name)
    return ordered


class Cpio:
    """An initramfs: what the kernel calls "newc"."""

    def __init__(self):
        self.data = bytearray()
        self.n_entries = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.n_entries += 1
        fields = (self.n_entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += bytes(-len(self.data) % 4)

    def folder(self, name):
        self.add(name, 0o040755)

    def copy(self, name, path, mode=0o100644):
        with open(path, "rb") as file:
            self.add(name, mode, file.read())

    def end(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


def make_initramfs(tree, modules):
    archive = Cpio()
    for folder in ("bin", "dev", "modules", "system"):
        archive.folder(folder)
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.copy("bin/busybox", os.path.join(tree, "bin/busybox"), 0o100755)
    for path in modules:
        archive.copy("modules/" + os.path.basename(path), path)
    archive.add("modules/order", 0o100644, "\n".join(map(os.path.basename, modules)).encode())
    archive.add("init", 0o100755, INIT.encode())
    return archive.end()


def make_kernel(folder, image, say):
    depends = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", KERNEL_PACKAGE))
    if not depends:
        raise Unavailable(f"apt knows no {KERNEL_PACKAGE}")
    say(f"kernel {depends[1]}")
    # As root: a folder of ours is nothing that apt's own user could write to.
    run("apt-get", "-o", "APT::Sandbox::User=root", "download", depends[1], cwd=folder)
    (package,) = glob.glob(os.path.join(folder, "linux-image-*.deb"))
    unpacked = os.path.join(folder, "kernel-package")
    run("dpkg-deb", "-x", package, unpacked)
    (vmlinuz,) = glob.glob(os.path.join(unpacked, "boot/vmlinuz-*"))
    shutil.copyfile(vmlinuz, image.kernel)
    with open(image.initramfs, "wb") as file:
        file.write(make_initramfs(image.tree, find_modules(unpacked, MODULES)))
    shutil.rmtree(unpacked)
    os.unlink(package)


def make_disk(image, say):
    say("disk")
    with open(image.disk, "wb") as file:
        file.truncate(DISK_BYTES)
    # Its own number of lazy inodes: what the kernel would write in the background of every boot.
    run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", image.tree, image.disk)


def remove_others(cache, name):
    for folder in glob.glob(os.path.join(cache, "system-????????????")):
        if os.path.basename(folder) == name:
            continue
        with open(folder + ".lock", "w", encoding="utf-8") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            os.unlink(folder + ".lock")


def open_image(say, with_kernel=True):
    """The image, made if need be; kept by a shared lock as long as the object lives."""
    if os.geteuid() != 0:
        raise Unavailable("a tree is made and booted by root")
    cache, name = cache_folder(), "system-" + digest()
    os.makedirs(cache, exist_ok=True)
    remove_others(cache, name)
    folder = os.path.join(cache, name)
    image = Image(folder)
    image.lock = open(folder + ".lock", "w", encoding="utf-8")
    fcntl.flock(image.lock, fcntl.LOCK_SH)
    if image.is_made(with_kernel):
        return image
    fcntl.flock(image.lock, fcntl.LOCK_EX)
    if not os.path.isdir(image.tree):
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache, ignore_cleanup_errors=True) as scratch:
            new = Image(scratch)
            make_tree(new.tree, say)
            os.makedirs(folder, exist_ok=True)
            os.rename(new.tree, image.tree)
    if with_kernel and not os.path.isfile(image.disk):
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache, ignore_cleanup_errors=True) as scratch:
            new = Image(scratch)
            new.tree = image.tree
            make_kernel(scratch, new, say)
            make_disk(new, say)
            for made in ("kernel", "initramfs", "disk"):
                os.rename(getattr(new, made), getattr(image, made))
    fcntl.flock(image.lock, fcntl.LOCK_SH)
    return image
