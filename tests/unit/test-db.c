/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/db.h"
#include "unit.h"

enum { SQL_INSERT, SQL_SUM, SQL_BROKEN, _SQL_MAX };

static const char *const texts[_SQL_MAX] = {
        [SQL_INSERT] = "INSERT INTO t (a, b) VALUES (?1, ?2)",
        [SQL_SUM] = "SELECT sum(a) FROM t",
        [SQL_BROKEN] = "SELECT nothing FROM nowhere",
};
static const char *const migrations[] = { "CREATE TABLE t (a UNIQUE)",
                                          "ALTER TABLE t ADD COLUMN b" };

static const DbSchema version_1 = {
        .what = "test",
        .application_id = 77,
        .migrations = migrations,
        .version = 1,
        .statements = texts,
        .n_statements = _SQL_MAX,
};

static const DbSchema version_2 = {
        .what = "test",
        .application_id = 77,
        .migrations = migrations,
        .version = 2,
        .statements = texts,
        .n_statements = _SQL_MAX,
};

static char folder[32], path[64];

static int remove_one(const char *p, const struct stat *st, int flag, struct FTW *ftw)
{
        return remove(p);
}

static void setup(void)
{
        strcpy(folder, "/tmp/test-db-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/x.db", folder);
}

static void teardown(void)
{
        (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static Db *open_good(const DbSchema *schema)
{
        _cleanup_free_ char *error = NULL;
        Db *db = NULL;
        int r = db_open(&db, path, schema, &error);

        ck_assert_msg(r == 0, "%s", error ? error : "?");
        return db;
}

/* Refused with a text that names the file and has the words. */
static void check_refused(const DbSchema *schema, int expected, const char *words)
{
        _cleanup_free_ char *error = NULL;
        Db *db = NULL;

        ck_assert_int_eq(db_open(&db, path, schema, &error), expected);
        ck_assert_ptr_null(db);
        ck_assert_ptr_nonnull(error);
        ck_assert_ptr_nonnull(strstr(error, path));
        ck_assert_msg(strstr(error, words) != NULL, "no '%s' in: %s", words, error);
}

static int insert(Db *db, int64_t a)
{
        sqlite3_stmt *statement;

        ck_assert_int_eq(db_prepare(db, SQL_INSERT, &statement), 0);
        (void)sqlite3_bind_int64(statement, 1, a);
        (void)db_bind_slice(statement, 2, SLICE_NULL);
        return db_run(db, statement);
}

static int64_t sum(Db *db)
{
        sqlite3_stmt *statement;
        int64_t value;

        ck_assert_int_eq(db_prepare(db, SQL_SUM, &statement), 0);
        ck_assert_int_eq(db_run_int64(db, statement, -1, &value), 0);
        return value;
}

START_TEST(is_made_private_and_found_again)
{
        struct stat st;
        Db *db;

        setup();
        db = open_good(&version_2);
        ck_assert_int_eq(db_begin(db, true), 0);
        ck_assert_int_eq(insert(db, 5), 0);
        ck_assert_int_eq(db_commit(db), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        (void)db_close(db);
        db = open_good(&version_2);
        ck_assert_int_eq(sum(db), 5);
        (void)db_close(db);
        teardown();
}
END_TEST

START_TEST(an_older_version_is_brought_up)
{
        Db *db;

        setup();
        (void)db_close(open_good(&version_1));
        db = open_good(&version_2);
        ck_assert_int_eq(insert(db, 1), 0);
        (void)db_close(db);
        check_refused(&version_1, -EUCLEAN, "newer version");
        db = open_good(&version_2);
        ck_assert_int_eq(sum(db), 1);
        (void)db_close(db);
        teardown();
}
END_TEST

START_TEST(what_is_not_ours_is_left_alone)
{
        static const DbSchema other = { .what = "other",
                                        .application_id = 78,
                                        .migrations = migrations,
                                        .version = 1,
                                        .statements = texts,
                                        .n_statements = _SQL_MAX };
        char text[64] = "";
        FILE *file;

        setup();
        (void)db_close(open_good(&version_1));
        check_refused(&other, -EUCLEAN, "another program");
        (void)unlink(path);

        file = fopen(path, "w");
        for (unsigned i = 0; i < 200; i++)
                (void)fputs("no database at all\n", file);
        (void)fclose(file);
        check_refused(&version_1, -EBADMSG, "damaged");
        file = fopen(path, "r");
        ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
        (void)fclose(file);
        ck_assert_str_eq(text, "no database at all\n");
        (void)unlink(path);

        ck_assert_int_eq(symlink("/etc/passwd", path), 0);
        check_refused(&version_1, -ELOOP, "symbolic link");
        teardown();
}
END_TEST

START_TEST(a_damaged_page_is_noticed)
{
        char zeros[512];
        Db *db;
        int fd;

        setup();
        db = open_good(&version_1);
        for (int64_t i = 0; i < 2000; i++)
                ck_assert_int_eq(db_exec(db, "INSERT INTO t VALUES (hex(randomblob(30)))"), 0);
        (void)db_close(db);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        memset(zeros, 0x5a, sizeof(zeros));
        for (off_t page = 3; page < 12; page++)
                ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), page * 4096), sizeof(zeros));
        (void)close(fd);
        check_refused(&version_1, -EBADMSG, "damaged");
        teardown();
}
END_TEST

START_TEST(a_folder_that_is_not_there)
{
        setup();
        (void)snprintf(path, sizeof(path), "%s/none/x.db", folder);
        check_refused(&version_1, -ENOENT, "No such file");
        teardown();
}
END_TEST

START_TEST(errors_have_their_names)
{
        sqlite3_stmt *statement;
        Db *db;

        setup();
        db = open_good(&version_2);
        ck_assert_int_eq(insert(db, 1), 0);
        ck_assert_int_eq(insert(db, 1), -EEXIST);
        ck_assert_int_eq(insert(db, 2), 0);
        ck_assert_int_lt(db_prepare(db, SQL_BROKEN, &statement), 0);
        ck_assert_int_eq(db_exec(db, "PRAGMA max_page_count=1"), 0);
        ck_assert_int_eq(db_exec(db, "INSERT INTO t (a) VALUES (zeroblob(100000))"), -ENOSPC);
        ck_assert_int_eq(sum(db), 3);
        (void)db_close(db);
        teardown();
}
END_TEST

START_TEST(rollback_undoes_and_may_come_twice)
{
        Db *db;

        setup();
        db = open_good(&version_2);
        ck_assert_int_eq(db_begin(db, false), 0);
        ck_assert_int_eq(insert(db, 1), 0);
        db_rollback(db);
        db_rollback(db);
        ck_assert_int_eq(sum(db), -1);
        (void)db_close(db);
        teardown();
}
END_TEST

START_TEST(checkpoints_are_the_owners)
{
        uint64_t before, after;
        Db *db;

        setup();
        db = open_good(&version_2);
        ck_assert_int_eq(db_size(db, &before), 0);
        for (int64_t i = 0; i < 3000; i++)
                ck_assert_int_eq(insert(db, i), 0);
        ck_assert_uint_gt(db_wal_pages(db), 3000); /* SQLite's own would have come at 1000 */
        ck_assert_int_eq(db_checkpoint(db), 0);
        ck_assert_uint_eq(db_wal_pages(db), 0);
        ck_assert_int_eq(insert(db, 3000), 0);
        ck_assert_uint_gt(db_wal_pages(db), 0);
        ck_assert_uint_lt(db_wal_pages(db), 10);
        ck_assert_int_eq(db_size(db, &after), 0);
        ck_assert_uint_gt(after, before);
        (void)db_close(db);
        teardown();
}
END_TEST

START_TEST(free_pages_go_back_when_they_are_most)
{
        uint64_t used;
        struct stat st;
        off_t before;
        Db *db;
        int r;

        setup();
        db = open_good(&version_2);
        for (int64_t i = 0; i < 60; i++)
                ck_assert_int_eq(db_exec(db, "INSERT INTO t (b) VALUES (zeroblob(500000))"), 0);
        ck_assert_int_eq(db_shrink(db), 0);
        ck_assert_int_eq(db_checkpoint(db), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        before = st.st_size;
        ck_assert_int_eq(db_exec(db, "DELETE FROM t WHERE rowid % 8"), 0);
        do {
                ck_assert_int_eq(db_begin(db, false), 0);
                r = db_shrink(db);
                ck_assert_int_ge(r, 0);
                ck_assert_int_eq(db_commit(db), 0);
        } while (r > 0);
        ck_assert_int_eq(db_checkpoint(db), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_lt(st.st_size, before - 1000000);
        ck_assert_int_eq(db_size(db, &used), 0);
        ck_assert_uint_gt((uint64_t)st.st_size, 2 * used); /* some are kept for what comes */
        (void)db_close(db);
        teardown();
}
END_TEST

UNIT_MAIN("db", free_pages_go_back_when_they_are_most, is_made_private_and_found_again,
          an_older_version_is_brought_up, what_is_not_ours_is_left_alone, a_damaged_page_is_noticed,
          a_folder_that_is_not_there, errors_have_their_names, rollback_undoes_and_may_come_twice,
          checkpoints_are_the_owners);
