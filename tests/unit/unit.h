#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What each unit test has beside its cases: a main made of them, reporting in TAP.
 *
 *     UNIT_MAIN("buffer", test_append, test_limit)
 */

#include <check.h>
#include <stdint.h>
#include "base/macro.h"
#include "base/slice.h"

#define ck_assert_slice(slice, text)                                                         \
        do {                                                                                 \
                Slice _slice = (slice);                                                      \
                ck_assert_msg(slice_is(_slice, (text)), "\"%.*s\" is not \"%s\"",            \
                              (int)_slice.size, _slice.size > 0 ? _slice.data : "", (text)); \
        } while (0)

/* Of one case: a slow machine under a sanitiser is no failure. */
#define UNIT_TIMEOUT_SECONDS 30

/* The same numbers in every run (splitmix64), so that a failure can be repeated. */
static inline uint64_t unit_random(void)
{
        static uint64_t state;
        uint64_t x = state += UINT64_C(0x9E3779B97F4A7C15);

        x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
        return x ^ x >> 31;
}

static inline int unit_run(const char *name, void (*setup)(void), void (*teardown)(void),
                           const TTest *const *tests, size_t n_tests)
{
        Suite *suite = suite_create(name);
        SRunner *runner;
        int n_failed;

        for (size_t i = 0; i < n_tests; i++) {
                TCase *tcase = tcase_create(tests[i]->name);

                tcase_set_timeout(tcase, UNIT_TIMEOUT_SECONDS);
                tcase_add_checked_fixture(tcase, setup, teardown);
                tcase_add_test(tcase, tests[i]);
                suite_add_tcase(suite, tcase);
        }
        runner = srunner_create(suite);
        srunner_set_tap(runner, "-");
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_MAIN(name, ...) UNIT_MAIN_WITH(name, NULL, NULL, __VA_ARGS__)

/* setup before each case, teardown after it. */
#define UNIT_MAIN_WITH(name, setup, teardown, ...)                                      \
        int main(void)                                                                  \
        {                                                                               \
                const TTest *const tests[] = { __VA_ARGS__ };                           \
                return unit_run((name), (setup), (teardown), tests, ELEMENTSOF(tests)); \
        }                                                                               \
        struct _unit_main_semicolon
