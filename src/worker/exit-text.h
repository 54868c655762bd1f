#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* How a process ended, in words. Pure. */

/* "SIGSEGV"; "SIG42" for those without a name. Static text, or buffer of EXIT_TEXT_MAX. */
#define EXIT_TEXT_MAX 64
const char *signal_to_string(int signal, char *buffer);

/* What Conductor's command line says of a process: "exit status 3", "signal: killed", "signal:
 * segmentation fault (core dumped)". code and value as siginfo has them. Returns buffer. */
char *exit_to_contract_text(int code, int value, char *buffer);
