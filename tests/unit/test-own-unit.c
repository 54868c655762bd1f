/* SPDX-License-Identifier: Apache-2.0 */

#include "base/own-unit.h"
#include "unit.h"

static void expect(const char *text, const char *unit, bool user)
{
        _cleanup_free_ char *found = NULL;
        bool is_user = !user;

        ck_assert_int_eq(own_unit_from_text(text, &found, &is_user), unit ? 0 : -ENODATA);
        if (unit) {
                ck_assert_str_eq(found, unit);
                ck_assert_int_eq(is_user, user);
        }
}

START_TEST(test_systems)
{
        expect("0::/system.slice/yardmaster.service\n", "yardmaster.service", false);
        expect("0::/system.slice/system-yardmaster.slice/yardmaster@a.service/supervisor\n",
               "yardmaster@a.service", false);
        /* version 1 and the mixture of both */
        expect("12:pids:/system.slice/other.service\n1:name=systemd:/system.slice/"
               "yardmaster.service\n"
               "0::/\n",
               "yardmaster.service", false);
        expect("9:name=systemd:/\n0::/system.slice/yardmaster.service", "yardmaster.service",
               false);
}
END_TEST

START_TEST(test_users)
{
        expect("0::/user.slice/user-1000.slice/user@1000.service/app.slice/yardmaster.service\n",
               "yardmaster.service", true);
        expect("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "user@1000.service",
               false);
}
END_TEST

START_TEST(test_none)
{
        expect("", NULL, false);
        expect("0::/\n", NULL, false);
        expect("0::/user.slice/user-0.slice/session-1.scope\n", NULL, false);
        expect("0::/x/.service\n", NULL, false);
        expect("nonsense\n\n:\n5:memory:/system.slice/yardmaster.service\n", NULL, false);
}
END_TEST

START_TEST(test_this_process)
{
        _cleanup_free_ char *found = NULL;
        bool user;
        int r = own_unit(&found, &user);

        ck_assert(r == 0 ? strlen(found) > strlen(".service") : r == -ENODATA);
}
END_TEST

UNIT_MAIN("own-unit", test_systems, test_users, test_none, test_this_process);
