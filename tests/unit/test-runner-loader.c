/* SPDX-License-Identifier: Apache-2.0 */

#include "runner/loader.h"
#include "unit.h"

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        return 0;
}

static void deinit(void *state)
{
}

/* What a handler of this release looks like. */
static struct yardmaster_handler make_handler(void)
{
        return (struct yardmaster_handler){
                .struct_size = sizeof(struct yardmaster_handler),
                .api_version = YARDMASTER_API_VERSION,
                .name = "test",
                .execute = execute,
                .deinit = deinit,
        };
}

static void check_refused(const struct yardmaster_handler *from, const char *words)
{
        _cleanup_free_ char *message = NULL;
        Loader loader = LOADER_NULL;

        ck_assert_int_eq(loader_negotiate(&loader, from, &message), LOADER_E_UNUSABLE);
        ck_assert_ptr_nonnull(strstr(message, words));
        ck_assert_ptr_null(loader.handler.execute);
}

START_TEST(test_same)
{
        struct yardmaster_handler from = make_handler();
        Loader loader = LOADER_NULL;

        ck_assert_int_eq(loader_negotiate(&loader, &from, NULL), 0);
        ck_assert_uint_eq(loader.struct_size, sizeof(from));
        ck_assert_ptr_eq(loader.handler.execute, execute);
        ck_assert_ptr_eq(loader.handler.deinit, deinit);
}
END_TEST

/* An older handler ends after execute; what stands behind it in memory is not its deinit. */
START_TEST(test_older)
{
        struct yardmaster_handler from = make_handler();
        Loader loader = LOADER_NULL;

        from.struct_size = offsetof(struct yardmaster_handler, cancel);
        ck_assert_int_eq(loader_negotiate(&loader, &from, NULL), 0);
        ck_assert_ptr_eq(loader.handler.execute, execute);
        ck_assert_ptr_null(loader.handler.deinit);
        ck_assert_uint_eq(loader.struct_size, from.struct_size);
}
END_TEST

START_TEST(test_newer)
{
        struct {
                struct yardmaster_handler handler;
                void (*later)(void);
        } from = { .handler = make_handler() };
        Loader loader = LOADER_NULL;

        from.handler.struct_size = sizeof(from);
        ck_assert_int_eq(loader_negotiate(&loader, &from.handler, NULL), 0);
        ck_assert_ptr_eq(loader.handler.deinit, deinit);
        ck_assert_uint_eq(loader.struct_size, sizeof(from));
}
END_TEST

START_TEST(test_refused)
{
        struct yardmaster_handler from = make_handler();

        from.api_version = 99;
        check_refused(&from, "API version 99, this runner speaks version 1");
        from = make_handler();
        from.struct_size = 0;
        check_refused(&from, "YARDMASTER_HANDLER");
        from.struct_size = offsetof(struct yardmaster_handler, execute);
        check_refused(&from, "struct_size");
        from = make_handler();
        from.execute = NULL;
        check_refused(&from, "no execute");
        from = make_handler();
        from.name = NULL;
        check_refused(&from, "no name");
        from.name = "";
        check_refused(&from, "no name");
}
END_TEST

START_TEST(test_missing)
{
        _cleanup_(loader_deinit) Loader loader = LOADER_NULL;
        _cleanup_free_ char *message = NULL;

        ck_assert_int_eq(loader_load(&loader, "none.so", "/nowhere", &message), LOADER_E_UNUSABLE);
        ck_assert_ptr_nonnull(strstr(message, "/nowhere/none.so"));
}
END_TEST

START_TEST(test_describe)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(4096);
        struct yardmaster_handler from = make_handler();
        Loader loader = { .path = (char *)"/a\"b.so" };

        from.description = "line";
        ck_assert_int_eq(loader_negotiate(&loader, &from, NULL), 0);
        loader.struct_size = 88;
        ck_assert_int_eq(loader_describe_text(&loader, &buffer), 0);
        ck_assert_slice(buffer_slice(&buffer),
                        "file: /a\"b.so\nname: test\nversion: -\ndescription: line\n"
                        "api version: 1\nstruct size: 88\ncallbacks: execute deinit\n");
        buffer_clear(&buffer);
        ck_assert_int_eq(loader_describe_json(&loader, &buffer), 0);
        ck_assert_slice(buffer_slice(&buffer),
                        "{\"file\":\"/a\\\"b.so\",\"name\":\"test\",\"version\":null,"
                        "\"description\":\"line\",\"apiVersion\":1,\"structSize\":88,"
                        "\"callbacks\":[\"execute\",\"deinit\"]}\n");
}
END_TEST

UNIT_MAIN("runner-loader", test_same, test_older, test_newer, test_refused, test_missing,
          test_describe);
