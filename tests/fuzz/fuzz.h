#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A fuzz target is one function over any bytes; what it must never see it answers with abort().
 *
 * Linked with fuzz-main.c it is a test: every file of its corpus is replayed. Configured with
 * -Dfuzz=true and clang, libFuzzer looks for new inputs instead:
 *
 *     CC=clang meson setup build-fuzz -Dfuzz=true
 *     ninja -C build-fuzz
 *     build-fuzz/tests/fuzz/fuzz-json NEW-INPUTS-FOLDER tests/fuzz/corpus/json
 *
 * An input that failed once is added to the corpus. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_assert(condition)                                                             \
        do {                                                                               \
                if (!(condition)) {                                                        \
                        (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, \
                                      #condition);                                         \
                        abort();                                                           \
                }                                                                          \
        } while (0)
