# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# bash completion for yardctl, which knows itself what may follow, live names included.

_yardctl() {
        local candidates candidate
        mapfile -t candidates < <(yardctl __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
        COMPREPLY=()
        if [ "${candidates[0]-}" = :files ]; then
                compopt -o default
        else
                for candidate in "${candidates[@]}"; do
                        COMPREPLY+=("$(printf %q "$candidate")")
                done
        fi
}

complete -F _yardctl yardctl
