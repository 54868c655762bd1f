#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's environment as its workers get it: without what systemd gave the daemon alone. */

/* *ret: a fresh vector. */
int environment_for_workers(char *const *environment, char ***ret);
