/* SPDX-License-Identifier: Apache-2.0 */

/* Looking at tasks: one, pages, counts; and the backup. */

#include <json-c/json.h>
#include <sys/stat.h>
#include "base/json.h"
#include "queue-fixture.h"

static void on_task(int error, Slice task, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->error = error;
        free(f->text);
        f->text = task.data ? strndup(task.data, task.size) : NULL;
}

static json_object *get(Fixture *f, const char *id)
{
        json_object *task;

        f->answered = false;
        ck_assert_int_eq(queue_get(f->queue, id, on_task, f, NULL), 0);
        run_until(f, f->answered);
        if (f->error < 0)
                return NULL;
        ck_assert_int_eq(json_check(slice_from_string(f->text), NULL), 0);
        task = json_tokener_parse(f->text);
        ck_assert_ptr_nonnull(task);
        return task;
}

static json_object *member(json_object *object, const char *key)
{
        return json_object_object_get(object, key);
}

static void check_text(json_object *object, const char *key, const char *expected)
{
        ck_assert_msg(member(object, key) != NULL, "no %s", key);
        ck_assert_str_eq(json_object_get_string(member(object, key)), expected);
}

static int64_t number(json_object *object, const char *key)
{
        ck_assert_msg(member(object, key) != NULL, "no %s", key);
        return json_object_get_int64(member(object, key));
}

START_TEST(a_new_task_has_what_it_was_given)
{
        Fixture *f = fixture_new();
        int64_t now = clock_epoch_msec(), deadline = now + 3600000;
        json_object *task;

        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("say \"hi\""),
                                     .input = SLICE_LITERAL("{\"a\":[1,null]}"),
                                     .priority = -3,
                                     .unique_key = SLICE_LITERAL("k\xc3\xa9"),
                                     .attempts = 7,
                                     .delay_msec = 60000,
                                     .deadline_msec = deadline });
        task = get(f, f->receipts[0].id);
        check_text(task, "taskId", f->receipts[0].id);
        check_text(task, "taskType", "say \"hi\"");
        check_text(task, "status", "SCHEDULED");
        check_text(task, "uniqueKey", "k\xc3\xa9");
        ck_assert_int_eq(number(task, "priority"), -3);
        ck_assert_int_eq(number(task, "attempts"), 0);
        ck_assert_int_eq(number(task, "attemptsMax"), 7);
        ck_assert_int_eq(number(task, "pollCount"), 0);
        ck_assert_int_eq(number(task, "deadlineTime"), deadline);
        ck_assert_int_ge(number(task, "scheduledTime"), now);
        ck_assert_int_ge(number(task, "runTime"), now + 60000);
        ck_assert_int_eq(json_object_array_length(member(task, "history")), 0);
        ck_assert_int_eq(json_object_array_length(member(member(task, "inputData"), "a")), 2);
        ck_assert_ptr_null(member(task, "startTime"));
        ck_assert_ptr_null(member(task, "endTime"));
        ck_assert_ptr_null(member(task, "output"));
        json_object_put(task);
        fixture_free(f);
}
END_TEST

START_TEST(an_ended_task_has_its_result_and_history)
{
        Fixture *f = fixture_new();
        json_object *task, *attempt;
        Outcome *outcome;
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;
        Task *held;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        strcpy(id, f->receipts[0].id);
        pool_fetch(&pool, f, 1);
        (void)pool_settle(&pool, f, TASK_FAILED, "first \"try\"");
        pool_fetch(&pool, f, 1);
        task = get(f, id);
        check_text(task, "status", "IN_PROGRESS");
        ck_assert_ptr_nonnull(member(task, "startTime"));
        ck_assert_ptr_null(member(task, "endTime"));
        json_object_put(task);

        held = task_ref(pool.tasks[0]);
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        outcome->output = SLICE_LITERAL("{\"sum\":3}");
        outcome->logs = SLICE_LITERAL("[{\"log\":\"x\",\"createdTime\":1}]");
        pool_remove(&pool, held);
        source_report_progress(pool.subscription, held, SLICE_LITERAL("{\"percent\":99}"));
        (void)pool_settle_with(&pool, f, held, outcome);
        (void)task_unref(held);

        task = get(f, id);
        check_text(task, "status", "COMPLETED");
        check_text(task, "worker", "p/1");
        ck_assert_ptr_null(member(task, "runTime"));
        ck_assert_ptr_null(member(task, "reason"));
        ck_assert_int_eq(number(task, "attempts"), 2);
        ck_assert_int_eq(number(task, "pollCount"), 2);
        ck_assert_int_eq(number(member(task, "output"), "sum"), 3);
        ck_assert_int_eq(number(member(task, "progress"), "percent"), 99);
        ck_assert_int_eq(json_object_array_length(member(task, "logs")), 1);
        ck_assert_int_ge(number(task, "endTime"), number(task, "startTime"));
        ck_assert_int_eq(json_object_array_length(member(task, "history")), 1);
        attempt = json_object_array_get_idx(member(task, "history"), 0);
        check_text(attempt, "status", "FAILED");
        check_text(attempt, "reason", "first \"try\"");
        check_text(attempt, "worker", "p/1");
        ck_assert_int_eq(number(attempt, "attempt"), 1);
        ck_assert_int_ge(number(attempt, "endTime"), number(attempt, "startTime"));
        json_object_put(task);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(unknown_ids_are_not_there)
{
        Fixture *f = fixture_new();

        ck_assert_ptr_null(get(f, "7c645825-97f2-742d-8972-b1327d71c9e4"));
        ck_assert_int_eq(f->error, -ENOENT);
        ck_assert_ptr_null(get(f, ""));
        ck_assert_int_eq(f->error, -ENOENT);
        fixture_free(f);
}
END_TEST

/* Pages */

static void on_page(int error, Slice tasks, size_t n, const char *next, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->error = error;
        f->count = n;
        free(f->text);
        ck_assert_int_ge(
                asprintf(&f->text, "[%.*s]", (int)tasks.size, tasks.size > 0 ? tasks.data : ""), 0);
        strcpy(f->next, next ? next : "");
}

static json_object *list(Fixture *f, QueueFilter filter, const char *after, size_t limit)
{
        json_object *tasks;

        f->answered = false;
        ck_assert_int_eq(queue_list(f->queue, &filter, after, limit, on_page, f, NULL), 0);
        run_until(f, f->answered);
        ck_assert_int_eq(f->error, 0);
        ck_assert_int_eq(json_check(slice_from_string(f->text), NULL), 0);
        tasks = json_tokener_parse(f->text);
        ck_assert_uint_eq(json_object_array_length(tasks), f->count);
        return tasks;
}

static void on_count(int error, uint64_t n, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->error = error;
        f->count = n;
}

static uint64_t count(Fixture *f, QueueFilter filter)
{
        char after[QUEUE_ID_LENGTH + 1] = "";
        uint64_t n = 0;

        do {
                json_object_put(list(f, filter, after[0] ? after : NULL, 1000));
                n += f->count;
                strcpy(after, f->next);
        } while (after[0]);
        return n;
}

START_TEST(pages_follow_each_other_oldest_first)
{
        Fixture *f = fixture_new();
        char after[QUEUE_ID_LENGTH + 1] = "", before[QUEUE_ID_LENGTH + 1] = "";
        size_t n = 0, n_pages = 0;

        submit_many(f, "t", 2500);
        do {
                json_object *tasks = list(f, (QueueFilter){ 0 }, after[0] ? after : NULL, 1000);

                for (size_t i = 0; i < f->count; i++, n++) {
                        const char *id = json_object_get_string(
                                member(json_object_array_get_idx(tasks, i), "taskId"));

                        ck_assert_int_lt(strcmp(before, id), 0);
                        strcpy(before, id);
                }
                json_object_put(tasks);
                strcpy(after, f->next);
                n_pages++;
        } while (f->next[0]);
        ck_assert_uint_eq(n, 2500);
        ck_assert_uint_eq(n_pages, 3);
        ck_assert_int_eq(queue_list(f->queue, &(QueueFilter){ 0 }, "no-id", 1, on_page, f, NULL),
                         -EINVAL);
        fixture_free(f);
}
END_TEST

START_TEST(items_of_a_page_have_no_bodies)
{
        Fixture *f = fixture_new();
        json_object *tasks, *task;

        (void)submit(f, (QueueTask){ .input = SLICE_LITERAL("{\"big\":1}") });
        tasks = list(f, (QueueFilter){ 0 }, NULL, 10);
        task = json_object_array_get_idx(tasks, 0);
        check_text(task, "taskType", "t");
        ck_assert_ptr_null(member(task, "inputData"));
        ck_assert_ptr_null(member(task, "history"));
        ck_assert_str_eq(f->next, "");
        json_object_put(tasks);
        fixture_free(f);
}
END_TEST

START_TEST(filters_choose)
{
        Fixture *f = fixture_new();
        Pool pool;

        ck_assert_uint_eq(count(f, (QueueFilter){ 0 }), 0);
        submit_many(f, "resize", 5);
        submit_many(f, "rotate", 3);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("rotate"), .delay_msec = 3600000 });
        pool_open(&pool, f, "resize", 1);
        pool_fetch(&pool, f, 3);
        (void)pool_settle(&pool, f, TASK_FAILED, "x");
        ck_assert_uint_eq(count(f, (QueueFilter){ 0 }), 9);
        ck_assert_uint_eq(count(f, (QueueFilter){ .type = "r*" }), 9);
        ck_assert_uint_eq(count(f, (QueueFilter){ .type = "*ate" }), 4);
        ck_assert_uint_eq(count(f, (QueueFilter){ .type = "resiz?" }), 5);
        ck_assert_uint_eq(count(f, (QueueFilter){ .type = "resiz" }), 0);
        ck_assert_uint_eq(count(f, (QueueFilter){ .type = "*o*a*" }), 4);
        ck_assert_uint_eq(count(f, (QueueFilter){ .statuses = 1u << TASK_SCHEDULED }), 6);
        ck_assert_uint_eq(count(f, (QueueFilter){ .statuses = 1u << TASK_IN_PROGRESS }), 2);
        ck_assert_uint_eq(count(f, (QueueFilter){ .statuses = 1u << TASK_FAILED }), 1);
        ck_assert_uint_eq(
                count(f, (QueueFilter){ .statuses = 1u << TASK_FAILED | 1u << TASK_IN_PROGRESS,
                                        .type = "resize" }),
                3);
        ck_assert_uint_eq(count(f, (QueueFilter){ .since_msec = clock_epoch_msec() + 1000 }), 0);
        json_object_put(list(f, (QueueFilter){ .type = "rotate" }, NULL, 3));
        ck_assert_uint_eq(f->count, 3);
        ck_assert_str_ne(f->next, "");
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* A page stays one message although reasons may be long. */
START_TEST(a_page_is_bounded_in_bytes)
{
        Fixture *f = fixture_new();
        static char reason[60000];
        QueueChange change = { .verb = QUEUE_UPDATE,
                               .status = TASK_FAILED,
                               .reason = { reason, sizeof(reason) } };
        size_t n = 0;

        memset(reason, 'r', sizeof(reason));
        submit_many(f, "t", 50);
        f->answered = false;
        ck_assert_int_eq(
                queue_change_matching(f->queue, &change, &(QueueFilter){ 0 }, on_count, f, NULL),
                0);
        run_until(f, f->answered);
        f->next[0] = '\0';
        do {
                char after[QUEUE_ID_LENGTH + 1];

                strcpy(after, f->next);
                json_object_put(list(f, (QueueFilter){ 0 }, after[0] ? after : NULL, 1000));
                ck_assert_uint_lt(strlen(f->text), 1200000);
                n += f->count;
        } while (f->next[0]);
        ck_assert_uint_eq(n, 50);
        fixture_free(f);
}
END_TEST

START_TEST(an_abandoned_list_does_not_call_back)
{
        Fixture *f = fixture_new();
        QueueCall *call;

        submit_many(f, "t", 10);
        f->answered = false;
        ck_assert_int_eq(queue_list(f->queue, &(QueueFilter){ 0 }, NULL, 100, on_page, f, &call),
                         0);
        queue_call_abandon(call);
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_ACCEPTED);
        ck_assert_int_eq(queue_list(f->queue, &(QueueFilter){ 0 }, NULL, 100, on_page, f, &call),
                         0);
        queue_call_abandon(call);
        fixture_close(f);
        ck_assert(f->n_receipts == 1);
        fixture_free(f);
}
END_TEST

/* Backup */

static void on_backup_progress(uint64_t done, uint64_t total, void *userdata)
{
        Fixture *f = userdata;

        ck_assert_uint_le(done, total);
        f->n_retried++; /* steps */
}

static void on_backup(int error, uint64_t size, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->error = error;
        f->count = size;
}

static int backup(Fixture *f, const char *path)
{
        f->answered = false;
        ck_assert_int_eq(queue_backup(f->queue, path, on_backup_progress, on_backup, f, NULL), 0);
        run_until(f, f->answered);
        return f->error;
}

START_TEST(a_backup_is_whole_and_never_over_another_file)
{
        Fixture *f = fixture_new();
        char path[128], partial[140];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/copy.db", f->folder);
        (void)snprintf(partial, sizeof(partial), "%s.partial", path);
        submit_many(f, "t", 9000);
        ck_assert_int_eq(backup(f, path), 0);
        ck_assert_uint_ge(f->n_retried, 1);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq((uint64_t)st.st_size, f->count);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_int_lt(access(partial, F_OK), 0);
        ck_assert_int_eq(backup(f, path), -EEXIST);
        ck_assert_int_eq(backup(f, "/nonexistent/folder/x"), -ENOENT);

        /* It is a queue of its own right. */
        fixture_close(f);
        (void)snprintf(partial, sizeof(partial), "%s/queue-local.db", f->folder);
        ck_assert_int_eq(rename(path, partial), 0);
        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 9000);
        ck_assert_int_eq(fixture_query(f, "PRAGMA integrity_check"), 0);
        fixture_free(f);
}
END_TEST

/* What is submitted while the copy is made is in it or not, but the copy is sound. */
START_TEST(a_backup_under_load_is_consistent)
{
        Fixture *f = fixture_new();
        char path[128];
        sqlite3_stmt *check;
        sqlite3 *copy;

        (void)snprintf(path, sizeof(path), "%s/copy.db", f->folder);
        submit_many(f, "t", 10000);
        f->answered = false;
        ck_assert_int_eq(queue_backup(f->queue, path, NULL, on_backup, f, NULL), 0);
        while (!f->answered) {
                QueueTask task = { .type = SLICE_LITERAL("t") };
                bool *answered = &f->answered;
                QueueCall *call;

                ck_assert_int_eq(queue_submit(f->queue, &task, 1, fixture_on_receipts, f, &call),
                                 0);
                queue_call_abandon(call);
                for (unsigned i = 0; i < 10 && !*answered; i++)
                        ck_assert_int_ge(sd_event_run(f->event, 1000), 0);
        }
        ck_assert_int_eq(f->error, 0);
        ck_assert_int_eq(sqlite3_open(path, &copy), SQLITE_OK);
        ck_assert_int_eq(sqlite3_prepare_v2(copy, "PRAGMA integrity_check", -1, &check, NULL),
                         SQLITE_OK);
        ck_assert_int_eq(sqlite3_step(check), SQLITE_ROW);
        ck_assert_str_eq((const char *)sqlite3_column_text(check, 0), "ok");
        (void)sqlite3_finalize(check);
        ck_assert_int_eq(sqlite3_prepare_v2(copy,
                                            "SELECT (SELECT count(*) FROM task) - (SELECT count(*)"
                                            " FROM input)",
                                            -1, &check, NULL),
                         SQLITE_OK);
        ck_assert_int_eq(sqlite3_step(check), SQLITE_ROW);
        ck_assert_int_eq(sqlite3_column_int(check, 0), 0);
        (void)sqlite3_finalize(check);
        (void)sqlite3_close(copy);
        fixture_free(f);
}
END_TEST

START_TEST(an_abandoned_backup_leaves_nothing)
{
        Fixture *f = fixture_new();
        char path[128], partial[140];
        QueueCall *call;

        (void)snprintf(path, sizeof(path), "%s/copy.db", f->folder);
        (void)snprintf(partial, sizeof(partial), "%s.partial", path);
        submit_many(f, "t", 10000);
        f->answered = false;
        ck_assert_int_eq(queue_backup(f->queue, path, on_backup_progress, on_backup, f, &call), 0);
        run_until(f, f->n_retried > 0);
        queue_call_abandon(call);
        fixture_close(f);
        ck_assert(!f->answered);
        ck_assert_int_lt(access(path, F_OK), 0);
        ck_assert_int_lt(access(partial, F_OK), 0);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-list", a_new_task_has_what_it_was_given, an_ended_task_has_its_result_and_history,
          unknown_ids_are_not_there, pages_follow_each_other_oldest_first,
          items_of_a_page_have_no_bodies, filters_choose, a_page_is_bounded_in_bytes,
          an_abandoned_list_does_not_call_back, a_backup_is_whole_and_never_over_another_file,
          a_backup_under_load_is_consistent, an_abandoned_backup_leaves_nothing);
