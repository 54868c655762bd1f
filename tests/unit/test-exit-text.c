/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>
#include "unit.h"
#include "worker/exit-text.h"

static void assert_text(int code, int value, const char *expected)
{
        char buffer[EXIT_TEXT_MAX];

        ck_assert_str_eq(exit_to_contract_text(code, value, buffer), expected);
}

START_TEST(test_contract_text)
{
        assert_text(CLD_EXITED, 3, "exit status 3");
        assert_text(CLD_KILLED, SIGKILL, "signal: killed");
        assert_text(CLD_KILLED, SIGTERM, "signal: terminated");
        assert_text(CLD_KILLED, SIGINT, "signal: interrupt");
        assert_text(CLD_KILLED, SIGSEGV, "signal: segmentation fault");
        assert_text(CLD_DUMPED, SIGSEGV, "signal: segmentation fault (core dumped)");
        assert_text(CLD_DUMPED, SIGABRT, "signal: aborted (core dumped)");
        assert_text(CLD_KILLED, 40, "signal: signal 40");
}
END_TEST

START_TEST(test_signal_names)
{
        char buffer[EXIT_TEXT_MAX];

        ck_assert_str_eq(signal_to_string(SIGSEGV, buffer), "SIGSEGV");
        ck_assert_str_eq(signal_to_string(SIGHUP, buffer), "SIGHUP");
        ck_assert_str_eq(signal_to_string(64, buffer), "SIG64");
        ck_assert_str_eq(signal_to_string(0, buffer), "SIG0");
        ck_assert_str_eq(signal_to_string(-1, buffer), "SIG-1");
        for (int i = 1; i <= SIGSYS; i++)
                ck_assert_ptr_ne(signal_to_string(i, buffer), buffer);
}
END_TEST

UNIT_MAIN("exit-text", test_contract_text, test_signal_names);
