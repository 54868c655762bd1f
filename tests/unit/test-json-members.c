/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "unit.h"

typedef struct Members {
        JsonWalk walk; /* what must come next */
        unsigned n;
} Members;

static void on_member(Slice key, Slice value, void *userdata)
{
        Members *members = userdata;
        Slice walked_key, walked_value;

        ck_assert(json_next_member(&members->walk, &walked_key, &walked_value));
        ck_assert(key.data == walked_key.data && key.size == walked_key.size);
        ck_assert(value.data == walked_value.data && value.size == walked_value.size);
        members->n++;
}

START_TEST(test_check_members)
{
        static const struct {
                const char *text;
                unsigned n;
        } rows[] = {
                { "{\"taskId\":\"t-1\",\n\"deep\":[[{\"a\":[{\"b\":\"]}\"}]}],{}],\"last\":-1.5e+3}"
                  "\n",
                  3 },
                { " { \"a\" : 1 , \"b\" : { \"c\" : [ ] } , \"a\" : { } } ", 3 },
                { "{\"\":\"\"}", 1 },
                { "{}", 0 },
                { " [ {\"a\":1}, {\"b\":2} ] ", 0 },
                { "\"text\"", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Slice text = slice_from_string(rows[i].text), key, value;
                Members members = { .walk = json_walk(text) };

                ck_assert_int_eq(json_check_members(text, on_member, &members, NULL), 0);
                ck_assert_uint_eq(members.n, rows[i].n);
                ck_assert(!json_next_member(&members.walk, &key, &value));
        }
}
END_TEST

START_TEST(test_check_members_of_what_is_refused)
{
        Slice text = SLICE_LITERAL("{\"a\":1,\"b\":[2,],\"c\":3}");
        Members members = { .walk = json_walk(text) };
        JsonError error;

        ck_assert_int_eq(json_check_members(text, on_member, &members, &error), -EBADMSG);
        ck_assert_uint_eq(members.n, 1);
        ck_assert_uint_eq(error.offset, 14);
}
END_TEST

UNIT_MAIN("json-members", test_check_members, test_check_members_of_what_is_refused);
