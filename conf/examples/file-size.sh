#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# An example of a per-task handler in shell: the size of a file in bytes. Needs jq, because JSON is
# not to be taken apart with sed: a path may hold quotes, backslashes, even line breaks.
#
#   input    {"path": "/etc/os-release"}
#   output   {"bytes": 267}
#
# Try it: yardmasterd run file-size --once --input '{"path": "/etc/os-release"}' -- ./file-size.sh
# Use it: copy file-size.sh and file-size.conf into conf.d beside yardmaster.conf, yardctl reload.
#
# The whole contract, yardmaster-command(7): the task comes as JSON on standard input, its id and
# type in TASK_ID and TASK_TYPE; one JSON object on standard output is the answer. Any exit status
# but 0 means FAILED, and then the last lines on standard error are in the reason.

set -eu

# The x keeps line breaks at the end of a path from being cut off by $( ).
path=$(jq -j '.inputData.path | if type == "string" then . + "x" else empty end')
if [ -z "$path" ]; then
        printf '%s\n' '{"status": "FAILED_WITH_TERMINAL_ERROR",
                        "reason": "the input must have \"path\", a string"}'
        exit 0
fi
path=${path%x}

bytes=$(wc -c <"$path")
printf '{"status": "COMPLETED", "output": {"bytes": %d}}\n' "$bytes"
