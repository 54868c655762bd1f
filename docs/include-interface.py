#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the interface's text into its manual page: include-interface.py TEMPLATE INTERFACE DATADIR"""

import sys


def main():
    template, interface, datadir = sys.argv[1:]
    with open(interface, encoding="utf-8") as file:
        text = file.read().rstrip("\n")
    with open(template, encoding="utf-8") as file:
        page = file.read()
    # In a literal block only the backslash has a meaning, and three backticks end it.
    text = text.replace("\\", "\\\\")
    datadir = datadir.replace("_", "\\_")
    sys.stdout.write(page.replace("@INTERFACE@", text).replace("DATADIR", datadir))


if __name__ == "__main__":
    main()
