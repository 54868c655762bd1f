/* SPDX-License-Identifier: Apache-2.0 */

/* What is found at start: after a stop, a crash, damage. A crash is a copy of the files while a
 * daemon had them open. */

#include <fcntl.h>
#include <sys/stat.h>
#include "queue-fixture.h"

/* The state as it is at this moment, to be found by the next start instead of a tidy end's. */
static void copy_file(const char *from, const char *to)
{
        char command[320];

        (void)snprintf(command, sizeof(command), "cp '%s' '%s' 2>/dev/null || rm -f '%s'", from, to,
                       to);
        ck_assert_int_eq(system(command), 0);
}

static void each_file(Fixture *f, const char *from, const char *to)
{
        static const char *const suffixes[] = { "", "-wal" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char a[140], b[140];

                (void)snprintf(a, sizeof(a), "%s/%s%s", f->folder, from, suffixes[i]);
                (void)snprintf(b, sizeof(b), "%s/%s%s", f->folder, to, suffixes[i]);
                copy_file(a, b);
        }
}

/* Pools must be forgotten before, as their processes would be gone. */
static void crash(Fixture *f)
{
        each_file(f, "queue-local.db", "crashed");
        fixture_close(f);
        each_file(f, "crashed", "queue-local.db");
        fixture_open(f);
}

START_TEST(everything_is_there_after_a_stop)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        submit_many(f, "a", 5);
        submit_many(f, "b", 2);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("b"), .delay_msec = 50 });
        pool_open(&pool, f, "a", 1);
        pool_fetch(&pool, f, 2);
        strcpy(id, pool.tasks[1]->id);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        pool_forget(&pool);
        fixture_close(f); /* what the pool still had goes back */

        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 7);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 1);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 0);
        ck_assert_int_eq(fixture_query(f, "SELECT sum(crashes) FROM task"), 0);
        pool_open(&pool, f, "a", 1);
        pool_fetch(&pool, f, 4);
        ck_assert_str_eq(pool.tasks[0]->id, id);
        pool_close(&pool);
        pool_open(&pool, f, "b", 1);
        source_set_credit(pool.subscription, 10);
        run_until(f, pool.n_tasks == 3); /* the delayed one too */
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_crash_gives_back_and_uses_no_attempt)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 3);
        pool_fetch(&pool, f, 2);
        strcpy(id, pool.tasks[0]->id);
        pool_forget(&pool);
        crash(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 3);
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 0);
        pool_open(&pool, f, "t", 3);
        pool_fetch(&pool, f, 1);
        ck_assert_str_eq(pool.tasks[0]->id, id);
        ck_assert_uint_eq(pool.tasks[0]->retry_count, 0);
        ck_assert_uint_eq(pool.tasks[0]->poll_count, 2);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt WHERE status ="
                                          " 'DAEMON_CRASHED'"),
                         2);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(an_accepted_result_survives_a_crash)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 2);
        pool_fetch(&pool, f, 2);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), TASK_COMPLETED);
        pool_forget(&pool);
        crash(f);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        fixture_free(f);
}
END_TEST

START_TEST(the_third_crash_in_a_row_is_the_last)
{
        Fixture *f = fixture_new();
        Pool pool;

        (void)submit(f, (QueueTask){ 0 });
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
                pool_open(&pool, f, "t", 3);
                pool_fetch(&pool, f, 1);
                pool_forget(&pool);
                crash(f);
        }
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 0);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM task JOIN result USING (id)"
                                          " WHERE state = 6 AND reason LIKE '%poison%'"),
                         1);
        fixture_free(f);
}
END_TEST

START_TEST(an_execution_that_ends_breaks_the_row_of_crashes)
{
        Fixture *f = fixture_new();
        Pool pool;

        (void)submit(f, (QueueTask){ 0 });
        for (unsigned i = 0; i < 5; i++) {
                pool_open(&pool, f, "t", 9);
                pool_fetch(&pool, f, 1);
                if (i % 2 == 1) {
                        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "x"), TASK_SCHEDULED);
                        pool_fetch(&pool, f, 1);
                }
                pool_forget(&pool);
                crash(f);
                ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        }
        fixture_free(f);
}
END_TEST

/* The daemon outlived it: it is not what kills daemons. */
START_TEST(a_task_that_came_back_breaks_the_row_of_crashes)
{
        Fixture *f = fixture_new();
        Pool pool;

        (void)submit(f, (QueueTask){ 0 });
        for (unsigned i = 0; i < 5; i++) {
                pool_open(&pool, f, "t", 9);
                pool_fetch(&pool, f, 1);
                if (i % 2 == 1) {
                        source_release(pool.subscription, pool.tasks[pool.n_tasks - 1], "unread");
                        pool_fetch(&pool, f, 1);
                }
                pool_forget(&pool);
                crash(f);
                ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        }
        fixture_free(f);
}
END_TEST

START_TEST(ids_stay_the_databases_own)
{
        Fixture *f = fixture_new(), *other = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        const char *ids[] = { id };

        (void)submit(f, (QueueTask){ 0 });
        strcpy(id, f->receipts[0].id);
        fixture_close(f);
        fixture_open(f);
        f->answered = other->answered = false;
        ck_assert_int_eq(queue_change(f->queue, &(QueueChange){ .verb = QUEUE_CANCEL }, ids, 1,
                                      fixture_on_receipts, f, NULL),
                         0);
        ck_assert_int_eq(queue_change(other->queue, &(QueueChange){ .verb = QUEUE_CANCEL }, ids, 1,
                                      fixture_on_receipts, other, NULL),
                         0);
        run_until(f, f->answered);
        run_until(other, other->answered);
        ck_assert_int_eq(f->receipts[0].verdict, QUEUE_ACCEPTED);
        ck_assert_int_eq(other->receipts[0].verdict, QUEUE_NO_SUCH_TASK);
        fixture_free(f);
        fixture_free(other);
}
END_TEST

START_TEST(settlements_under_way_are_finished_before_the_end)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 100);
        pool_fetch(&pool, f, 100);
        for (unsigned i = 0; i < 100; i++) {
                Outcome *outcome;

                ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                source_settle(pool.subscription, pool.tasks[i], outcome, &(Settlement){ 0 });
        }
        pool_forget(&pool);
        fixture_close(f);
        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_finished, 100);
        fixture_free(f);
}
END_TEST

/* As systemd makes it for a dynamic user: the folder is reached through a link. */
START_TEST(the_state_folder_may_be_a_link)
{
        Fixture *f = fixture_new();
        char real[64], link[64];

        fixture_close(f);
        strcpy(real, f->folder);
        (void)snprintf(link, sizeof(link), "%s.link", real);
        ck_assert_int_eq(symlink(real, link), 0);
        strcpy(f->folder, link);
        fixture_open(f);
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_ACCEPTED);
        fixture_close(f);
        ck_assert_int_eq(unlink(link), 0);
        strcpy(f->folder, real);
        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        fixture_free(f);
}
END_TEST

static void check_refused(Fixture *f, int expected, const char *words)
{
        _cleanup_free_ char *error = NULL;
        Source *queue = NULL;

        ck_assert_int_eq(queue_new(&queue, f->storage, f->event, &f->config, f->folder, &error),
                         expected);
        ck_assert_ptr_null(queue);
        ck_assert_ptr_nonnull(error);
        ck_assert_ptr_nonnull(strstr(error, "queue-local.db"));
        ck_assert_msg(strstr(error, words) != NULL, "no '%s' in: %s", words, error);
}

START_TEST(newer_and_damaged_databases_are_refused)
{
        Fixture *f = fixture_new();
        char path[128], byte = 0x55;
        int fd;

        submit_many(f, "t", 500);
        fixture_close(f);
        (void)fixture_query(f, "PRAGMA user_version = 99");
        check_refused(f, -EUCLEAN, "newer version");
        (void)fixture_query(f, "PRAGMA user_version = 1");
        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 500);
        fixture_close(f);

        (void)snprintf(path, sizeof(path), "%s/queue-local.db", f->folder);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        for (off_t at = 8 * 4096; at < 12 * 4096; at++)
                ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
        check_refused(f, -EBADMSG, "damaged");
        ck_assert_int_eq(truncate(path, 3 * 4096), 0);
        check_refused(f, -EBADMSG, "damaged");
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-recover", everything_is_there_after_a_stop, a_crash_gives_back_and_uses_no_attempt,
          an_accepted_result_survives_a_crash, the_third_crash_in_a_row_is_the_last,
          an_execution_that_ends_breaks_the_row_of_crashes,
          a_task_that_came_back_breaks_the_row_of_crashes, ids_stay_the_databases_own,
          settlements_under_way_are_finished_before_the_end, the_state_folder_may_be_a_link,
          newer_and_damaged_databases_are_refused);
