#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has each script of the checkout looked at by what knows its language.

    scripts.py SOURCE-ROOT

Shell: shellcheck and the shell's own -n. zsh: -n. Python: pyflakes, which finds syntax errors too.
JavaScript: node --check. Exits 77 where a tool is missing.
"""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from tree import files  # noqa: E402

# language → (tool, arguments before the files, several files at once)
CHECKS = {
    "sh": [("shellcheck", ["--shell=sh"], True), ("sh", ["-n"], False)],
    "bash": [("shellcheck", ["--shell=bash"], True), ("bash", ["-n"], False)],
    "zsh": [("zsh", ["-n"], False)],
    "python3": [("pyflakes3", [], True)],
    "node": [("node", ["--check"], False)],
}
ENDINGS = {".sh": "sh", ".bash": "bash", ".py": "python3", ".mjs": "node"}


def language_of(name, path):
    for ending, language in ENDINGS.items():
        if name.endswith(ending):
            return language
    with open(path, "rb") as file:
        first = file.readline(200).decode(errors="replace").split()
    if first[:1] == ["#compdef"]:
        return "zsh"
    if first and first[0].startswith("#!"):
        program = first[1] if first[0] == "#!/usr/bin/env" and len(first) > 1 else first[0]
        language = os.path.basename(program)
        return language if language in CHECKS else None
    return None


def main():
    scripts = {}
    for name, path in files(sys.argv[1]):
        scripts.setdefault(language_of(name, path), []).append(path)
    status = 0 if set(CHECKS) <= set(scripts) else 1
    for language in sorted(set(CHECKS) - set(scripts)):
        print(f"no {language} script was found")
    for language, checks in CHECKS.items():
        for tool, arguments, together in checks:
            if not shutil.which(tool):
                print(f"{tool} is missing")
                return 77
            paths = scripts.get(language, [])
            for group in [paths] if together else [[path] for path in paths]:
                if group and subprocess.run([tool, *arguments, *group], check=False).returncode != 0:
                    status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
