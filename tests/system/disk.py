# SPDX-License-Identifier: Apache-2.0
"""A disk that can lose its power: an NBD server for one QEMU at a time.

What the guest wrote is safe only once it has asked for a flush and got the answer, as on a real disk with
a write cache. QEMU's own disks cannot show that: a killed QEMU leaves every completed write in this
machine's page cache, so nothing that a guest forgot to sync would ever be missed. Here cut() forgets
what was not flushed, except a part of it, since a real disk also writes some of its cache, in any order.

The base is never written; blocks that were written are kept in memory.
"""

import os
import random
import socket
import struct
import threading

BLOCK = 4096
# What of the cache reaches the disk although nobody asked, when the power goes.
KEPT_SHARE = 0.3

# The protocol: github.com/NetworkBlockDevice/nbd, doc/proto.md
MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698
FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES = 1, 2
OPTION_EXPORT_NAME, OPTION_ABORT, OPTION_GO, OPTION_INFO = 1, 2, 7, 6
REPLY_ACK, REPLY_INFO, REPLY_UNSUPPORTED = 1, 3, (1 << 31) + 1
INFO_EXPORT = 0
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 1 << 2, 1 << 3
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
COMMAND_FUA = 1
EINVAL = 22


class Disk:
    def __init__(self, base, address):
        self.base = os.open(base, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.base).st_size
        self.safe = {}  # number of a block: its bytes, flushed
        self.cache = {}  # written since
        self.lock = threading.Lock()
        self.n_flushes = 0
        self.connections = []  # their threads
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(address)
        self.listener.listen(4)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()
        os.close(self.base)

    def cut(self, seed):
        """The power is gone; how many blocks are lost. To be called once QEMU is dead."""
        for thread in self.connections:
            thread.join()  # what it sent last is read
        chance = random.Random(seed)
        with self.lock:
            kept = [number for number in sorted(self.cache) if chance.random() < KEPT_SHARE]
            lost = len(self.cache) - len(kept)
            for number in kept:
                self.safe[number] = self.cache[number]
            self.cache.clear()
        return lost

    # Bytes

    def block(self, number):
        found = self.cache.get(number) or self.safe.get(number)
        return found if found is not None else os.pread(self.base, BLOCK, number * BLOCK)

    def read(self, offset, length):
        with self.lock:
            first, last = offset // BLOCK, (offset + length - 1) // BLOCK
            data = b"".join(self.block(number) for number in range(first, last + 1))
        return data[offset - first * BLOCK:][:length]

    def write(self, offset, data, target):
        with self.lock:
            position = 0
            while position < len(data):
                number, begin = divmod(offset + position, BLOCK)
                part = data[position:position + BLOCK - begin]
                if len(part) < BLOCK:
                    old = self.block(number)
                    part = old[:begin] + part + old[begin + len(part):]
                target[number] = part
                position += BLOCK - begin
                if target is self.safe:
                    self.cache.pop(number, None)

    def flush(self):
        with self.lock:
            self.n_flushes += 1
            self.safe.update(self.cache)
            self.cache.clear()

    # The wire

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(connection,), daemon=True)
            self.connections.append(thread)
            thread.start()

    def serve(self, connection):
        stream = connection.makefile("rwb")
        try:
            if self.negotiate(stream):
                while self.request(stream):
                    pass
        except (OSError, struct.error, ValueError):
            pass  # QEMU was killed
        finally:
            connection.close()

    def negotiate(self, stream):
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
        stream.write(MAGIC + OPTION_MAGIC + struct.pack(">H", FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES))
        stream.flush()
        (client,) = struct.unpack(">I", stream.read(4))
        while True:
            magic, option, length = struct.unpack(">8sII", stream.read(16))
            if magic != OPTION_MAGIC:
                return False
            stream.read(length)
            if option == OPTION_EXPORT_NAME:
                zeroes = b"" if client & FLAG_NO_ZEROES else bytes(124)
                stream.write(struct.pack(">QH", self.size, flags) + zeroes)
                stream.flush()
                return True
            if option in (OPTION_GO, OPTION_INFO):
                self.option_reply(stream, option, REPLY_INFO, struct.pack(">HQH", INFO_EXPORT, self.size, flags))
                self.option_reply(stream, option, REPLY_ACK)
                if option == OPTION_GO:
                    return True
                continue
            self.option_reply(stream, option, REPLY_ACK if option == OPTION_ABORT else REPLY_UNSUPPORTED)
            if option == OPTION_ABORT:
                return False

    @staticmethod
    def option_reply(stream, option, kind, data=b""):
        stream.write(struct.pack(">QIII", OPTION_REPLY_MAGIC, option, kind, len(data)) + data)
        stream.flush()

    def request(self, stream):
        magic, flags, command, handle, offset, length = struct.unpack(">IHH8sQI", stream.read(28))
        if magic != REQUEST_MAGIC or command == DISCONNECT:
            return False
        data, error = b"", 0
        if command == READ:
            data = self.read(offset, length)
        elif command == WRITE:
            self.write(offset, stream.read(length), self.safe if flags & COMMAND_FUA else self.cache)
        elif command == FLUSH:
            self.flush()
        else:
            error = EINVAL
        stream.write(struct.pack(">II8s", REPLY_MAGIC, error, handle) + data)
        stream.flush()
        return True
