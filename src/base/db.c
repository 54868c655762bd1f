/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/db.h"

/* Enough for the few pages that a group of tasks touches; the kernel's cache holds the rest. */
#define DB_CACHE_KIB 512
/* A WAL that a burst has blown up shrinks to this when it is begun anew. */
#define DB_WAL_BYTES (16 * 1024 * 1024)
/* How long a visitor with a tool of his own may hold the write lock before a job fails. */
#define DB_BUSY_MSEC 2000
/* A full check reads everything: up to this size (64 MiB) it is done at each start. */
#define DB_CHECK_PAGES 16384

/* Free pages are kept for what comes, up to as many as are in use and this; a step gives back 1
 * MiB.
 */
#define DB_FREE_PAGES 4096
#define DB_SHRINK_SQL "PRAGMA incremental_vacuum(256)"

struct Db {
        sqlite3 *sqlite;
        char *path;
        dev_t device; /* of the file that was opened */
        ino_t inode;
        const DbSchema *schema;
        sqlite3_stmt **statements;
        sqlite3_stmt *begin, *commit, *page_count, *free_count, *shrink;
        uint64_t page_size;
        int sync;           /* the level in force; -1: not set yet */
        unsigned wal_pages; /* in the WAL since it was begun anew */
        unsigned wal_moved; /* of them already in the database */
};

sqlite3 *db_handle(Db *db)
{
        return db->sqlite;
}

const char *db_error_text(const Db *db)
{
        return sqlite3_errmsg(db->sqlite);
}

static int error_of_system(int error)
{
        return error == ENOSPC || error == EDQUOT || error == EFBIG ? -ENOSPC : -EIO;
}

int db_error(Db *db, int rc)
{
        switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
                return error_of_system(sqlite3_system_errno(db->sqlite));
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EBADMSG;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_READONLY:
        case SQLITE_PERM:
                return -EROFS;
        case SQLITE_TOOBIG:
                return -E2BIG;
        default:
                return -EUCLEAN;
        }
}

static int prepare(Db *db, const char *sql, sqlite3_stmt **ret)
{
        return db_error(
                db, sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

int db_prepare(Db *db, size_t statement, sqlite3_stmt **ret)
{
        int r;

        if (!db->statements[statement]) {
                r = prepare(db, db->schema->statements[statement], &db->statements[statement]);
                if (r < 0)
                        return r;
        }
        *ret = db->statements[statement];
        return 0;
}

int db_step(Db *db, sqlite3_stmt *statement)
{
        int rc = sqlite3_step(statement), r;

        if (rc == SQLITE_ROW)
                return 1;
        r = db_error(db, rc);
        (void)sqlite3_reset(statement);
        return r;
}

int db_run(Db *db, sqlite3_stmt *statement)
{
        int r;

        do
                r = db_step(db, statement);
        while (r > 0);
        return r;
}

int db_run_int64(Db *db, sqlite3_stmt *statement, int64_t fallback, int64_t *ret_value)
{
        int r = db_step(db, statement);

        if (r < 0)
                return r;
        *ret_value = fallback;
        if (r > 0) {
                if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
                        *ret_value = sqlite3_column_int64(statement, 0);
                (void)sqlite3_reset(statement);
        }
        return 0;
}

int db_exec(Db *db, const char *sql)
{
        return db_error(db, sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL));
}

int db_bind_slice(sqlite3_stmt *statement, int parameter, Slice text)
{
        if (!text.data)
                return sqlite3_bind_null(statement, parameter);
        return sqlite3_bind_text64(statement, parameter, text.data, text.size, SQLITE_STATIC,
                                   SQLITE_UTF8);
}

Slice db_column_slice(sqlite3_stmt *statement, int column)
{
        const char *data = (const char *)sqlite3_column_text(statement, column);

        return (Slice){ data, data ? (size_t)sqlite3_column_bytes(statement, column) : 0 };
}

/* The level cannot change within a transaction, and is an SQL text to parse: only when it differs.
 */
static int db_set_sync(Db *db, bool sync)
{
        int r;

        if (db->sync == (int)sync)
                return 0;
        r = db_exec(db, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        if (r >= 0)
                db->sync = sync;
        return r;
}

/* SQLite goes on with a file that has lost its name, and all that it says is kept is lost. */
static int check_in_place(const Db *db)
{
        struct stat st;

        if (stat(db->path, &st) < 0)
                return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
        return st.st_dev == db->device && st.st_ino == db->inode ? 0 : -ESTALE;
}

int db_begin(Db *db, bool sync)
{
        int r = check_in_place(db);

        if (r >= 0)
                r = db_set_sync(db, sync);
        return r < 0 ? r : db_run(db, db->begin);
}

int db_commit(Db *db)
{
        return db_run(db, db->commit);
}

void db_rollback(Db *db)
{
        /* Some errors have undone the transaction by themselves. */
        if (!sqlite3_get_autocommit(db->sqlite))
                (void)db_exec(db, "ROLLBACK");
}

static int on_wal(void *userdata, sqlite3 *sqlite, const char *name, int n_pages)
{
        Db *db = userdata;

        if ((unsigned)n_pages < db->wal_moved)
                db->wal_moved = 0; /* it was begun anew */
        db->wal_pages = (unsigned)n_pages;
        return SQLITE_OK;
}

unsigned db_wal_pages(const Db *db)
{
        return db->wal_pages - db->wal_moved;
}

int db_checkpoint(Db *db)
{
        int n_wal = 0, n_moved = 0, rc;

        rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_wal,
                                       &n_moved);
        if (n_wal >= 0 && n_moved >= 0) {
                db->wal_pages = (unsigned)n_wal;
                db->wal_moved = (unsigned)n_moved;
        }
        return db_error(db, rc);
}

static int count_pages(Db *db, int64_t *ret_used, int64_t *ret_free)
{
        int64_t n_pages;
        int r = db_run_int64(db, db->page_count, 0, &n_pages);

        if (r >= 0)
                r = db_run_int64(db, db->free_count, 0, ret_free);
        if (r < 0)
                return r;
        *ret_used = MAX(n_pages - *ret_free, INT64_C(0));
        return 0;
}

int db_size(Db *db, uint64_t *ret_bytes)
{
        int64_t n_used, n_free;
        int r = count_pages(db, &n_used, &n_free);

        if (r < 0)
                return r;
        *ret_bytes = (uint64_t)n_used * db->page_size;
        return 0;
}

int db_shrink(Db *db)
{
        int64_t n_used, n_free;
        int r = count_pages(db, &n_used, &n_free);

        if (r < 0 || n_free <= n_used + DB_FREE_PAGES)
                return r;
        r = db_run(db, db->shrink);
        return r < 0 ? r : 1;
}

static int read_pragma(Db *db, const char *sql, int64_t *ret_value)
{
        sqlite3_stmt *statement = NULL;
        int r = prepare(db, sql, &statement);

        if (r >= 0)
                r = db_run_int64(db, statement, 0, ret_value);
        (void)sqlite3_finalize(statement);
        return r;
}

/* A file with content that is not ours is left alone. */
static int check_identity(Db *db, int64_t *ret_version, const char **ret_problem)
{
        int64_t id, n_objects;
        int r = read_pragma(db, "PRAGMA application_id", &id);

        if (r >= 0)
                r = read_pragma(db, "PRAGMA user_version", ret_version);
        if (r >= 0)
                r = read_pragma(db, "SELECT count(*) FROM sqlite_schema", &n_objects);
        if (r < 0)
                return r;
        if (n_objects == 0 && *ret_version == 0 && id == 0)
                return 0;
        if (id != db->schema->application_id) {
                *ret_problem = "belongs to another program; move it away or use another state_dir";
                return -EUCLEAN;
        }
        if (*ret_version > db->schema->version) {
                *ret_problem =
                        "was written by a newer version; install that version again, or move "
                        "the file away to start empty";
                return -EUCLEAN;
        }
        return 0;
}

static int check_integrity(Db *db)
{
        sqlite3_stmt *statement = NULL;
        int64_t n_pages;
        int r = read_pragma(db, "PRAGMA page_count", &n_pages);

        if (r < 0 || n_pages > DB_CHECK_PAGES)
                return r;
        r = prepare(db, "PRAGMA quick_check(1)", &statement);
        if (r >= 0)
                r = db_step(db, statement);
        if (r > 0)
                r = slice_is(db_column_slice(statement, 0), "ok") ? 0 : -EBADMSG;
        (void)sqlite3_finalize(statement);
        return r;
}

static int migrate(Db *db, int64_t version)
{
        char pragmas[96];
        int r;

        if (version == db->schema->version)
                return 0;
        r = db_begin(db, true);
        for (; r >= 0 && version < db->schema->version; version++)
                r = db_exec(db, db->schema->migrations[version]);
        if (r >= 0) {
                (void)snprintf(pragmas, sizeof(pragmas),
                               "PRAGMA application_id=%d; PRAGMA user_version=%d",
                               db->schema->application_id, db->schema->version);
                r = db_exec(db, pragmas);
        }
        if (r >= 0)
                r = db_commit(db);
        if (r < 0)
                db_rollback(db);
        return r;
}

static int prepare_own(Db *db)
{
        int r;

        if ((r = prepare(db, "BEGIN IMMEDIATE", &db->begin)) < 0 ||
            (r = prepare(db, "COMMIT", &db->commit)) < 0 ||
            (r = prepare(db, "PRAGMA page_count", &db->page_count)) < 0 ||
            (r = prepare(db, "PRAGMA freelist_count", &db->free_count)) < 0 ||
            (r = prepare(db, DB_SHRINK_SQL, &db->shrink)) < 0)
                return r;
        return 0;
}

/* Nobody asks SQLite how much memory it has: counting takes a lock at each allocation, a tenth of
 * the storage thread's time. Says no if SQLite is at work already, which then goes on as it was. */
static void configure_sqlite(void)
{
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* What it holds may be secret: only its owner reads it. SQLite gives its WAL the same mode. */
static int open_sqlite(Db *db)
{
        static pthread_once_t configured = PTHREAD_ONCE_INIT;
        struct stat st;
        int fd, rc;

        (void)pthread_once(&configured, configure_sqlite);
        fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (fd < 0)
                return -errno;
        rc = fstat(fd, &st) < 0 ? -errno : 0;
        (void)close_fd(fd);
        if (rc < 0)
                return rc;
        db->device = st.st_dev;
        db->inode = st.st_ino;
        rc = sqlite3_open_v2(db->path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             NULL);
        if (!db->sqlite)
                return -ENOMEM;
        (void)sqlite3_extended_result_codes(db->sqlite, 1);
        (void)sqlite3_busy_timeout(db->sqlite, DB_BUSY_MSEC);
        return db_error(db, rc);
}

static int configure(Db *db)
{
        char pragmas[200];
        int64_t page_size;
        int r;

        (void)snprintf(pragmas, sizeof(pragmas),
                       "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA cache_size=-%d;"
                       "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
                       "PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=%d",
                       DB_CACHE_KIB, DB_WAL_BYTES);
        r = db_exec(db, pragmas);
        if (r >= 0)
                r = read_pragma(db, "PRAGMA page_size", &page_size);
        if (r < 0)
                return r;
        db->page_size = (uint64_t)page_size;
        /* Replaces the checkpoint that SQLite would make within a commit. */
        (void)sqlite3_wal_hook(db->sqlite, on_wal, db);
        return prepare_own(db);
}

static int db_setup(Db *db, const char **ret_problem)
{
        int64_t version;
        int r;

        if ((r = open_sqlite(db)) < 0 || (r = check_identity(db, &version, ret_problem)) < 0 ||
            (r = configure(db)) < 0 || (r = check_integrity(db)) < 0 ||
            (r = migrate(db, version)) < 0)
                return r;
        return 0;
}

static const char *problem_of_error(int error)
{
        switch (error) {
        case -EBADMSG:
                return "is damaged; move it and its -wal file away to start empty, or put a backup "
                       "in its place";
        case -ENOSPC:
                return "cannot be opened: no space left on its device; free some";
        case -EBUSY:
                return "is locked by another process; end that process";
        case -ENOMEM:
                return "cannot be opened: out of memory";
        case -ELOOP:
                return "is a symbolic link, which is not followed";
        default:
                return NULL;
        }
}

static char *problem_text(const Db *db, int error, const char *problem)
{
        char *text = NULL;

        if (!problem)
                problem = problem_of_error(error);
        if (problem) {
                if (asprintf(&text, "%s database %s %s", db->schema->what, db->path, problem) < 0)
                        return NULL;
                return text;
        }
        if (asprintf(&text, "%s database %s cannot be opened: %s (%s)", db->schema->what, db->path,
                     strerror(-error),
                     db->sqlite ? sqlite3_errmsg(db->sqlite) : "by the system") < 0)
                return NULL;
        return text;
}

int db_open(Db **ret, const char *path, const DbSchema *schema, char **ret_error)
{
        _cleanup_(db_closep) Db *db = NULL;
        const char *problem = NULL;
        int r;

        db = malloc(sizeof(*db));
        if (!db)
                return -ENOMEM;
        *db = (Db){ .schema = schema, .sync = -1 };
        db->path = strdup(path);
        db->statements = calloc(schema->n_statements, sizeof(sqlite3_stmt *));
        if (!db->path || !db->statements)
                return -ENOMEM;
        r = db_setup(db, &problem);
        if (r < 0) {
                *ret_error = problem_text(db, r, problem);
                return r;
        }
        *ret = TAKE_PTR(db);
        return 0;
}

Db *db_close(Db *db)
{
        if (!db)
                return NULL;
        for (size_t i = 0; db->statements && i < db->schema->n_statements; i++)
                (void)sqlite3_finalize(db->statements[i]);
        (void)sqlite3_finalize(db->begin);
        (void)sqlite3_finalize(db->commit);
        (void)sqlite3_finalize(db->page_count);
        (void)sqlite3_finalize(db->free_count);
        (void)sqlite3_finalize(db->shrink);
        (void)sqlite3_close(db->sqlite);
        free(db->statements);
        free(db->path);
        free(db);
        return NULL;
}
