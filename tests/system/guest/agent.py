# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest what the other side of the channel asks for: a JSON object a line, both ways.

    ──▶ {"argv", "input", "environment"}
    ◀── {"line"}…, {"exit"}
"""

import glob
import json
import os
import socket
import subprocess
import threading

SOCKET = "/mnt/channel/socket"
PORTS = "/dev/vport*"


def open_channel():
    if os.path.exists(SOCKET):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.connect(SOCKET)
        return channel.makefile("rb"), channel.makefile("wb")
    (port,) = glob.glob(PORTS)
    number = os.open(port, os.O_RDWR | os.O_CLOEXEC)
    return os.fdopen(number, "rb"), os.fdopen(number, "wb", closefd=False)


def feed(process, text):
    try:
        process.stdin.write(text)
        process.stdin.close()
    except OSError:
        pass


def main():
    requests, answers = open_channel()

    def answer(**message):
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    answer(hello=os.uname().release)
    while line := requests.readline():
        request = json.loads(line)
        process = subprocess.Popen(request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace",
                                   env={**os.environ, **request["environment"]})
        threading.Thread(target=feed, args=(process, request["input"]), daemon=True).start()
        for output in process.stdout:
            answer(line=output.rstrip("\n"))
        answer(exit=process.wait())


main()
