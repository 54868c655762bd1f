#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C file of interface texts: embed.py OUTPUT NAME=FILE..."""

import sys


def c_string(text):
    lines = []
    for line in text.splitlines():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'        "{escaped}\\n"')
    return "\n".join(lines)


def main():
    output, *inputs = sys.argv[1:]
    with open(output, "w", encoding="utf-8") as file:
        for item in inputs:
            name, path = item.split("=", 1)
            with open(path, encoding="utf-8") as source:
                text = source.read()
            file.write(f"extern const char {name}[];\nconst char {name}[] =\n{c_string(text)};\n")


if __name__ == "__main__":
    main()
