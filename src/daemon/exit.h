#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Exit codes of yardmasterd beside EXIT_SUCCESS and EXIT_FAILURE; yardmasterd(8) lists them. */

#define EXIT_USAGE         2
#define EXIT_NOT_COMPLETED 5
#define EXIT_LOCKED        75 /* EX_TEMPFAIL */
#define EXIT_CONFIG        78 /* EX_CONFIG */
