/* SPDX-License-Identifier: Apache-2.0 */

/* What the next daemon finds after one that ended, was killed, or whose file is damaged. */

#include <sys/wait.h>
#include "outbox/record.h"
#include "outbox-fixture.h"

/* Instead of the C library's: no test here is about power cuts, and thousands of starts would take
 * minutes with them. */
int fdatasync(int fd)
{
        return 0;
}

int fsync(int fd)
{
        return 0;
}

/* A second outbox on files of one's own making. */
static Fixture *fixture_on(const void *bytes, size_t size)
{
        Fixture *f = fixture_new_closed();
        char path[160];
        int fd;

        ck_assert_int_eq(mkdir(f->folder, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/0000000001.log", f->folder);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
        (void)close_fd(fd);
        return f;
}

static size_t read_first_segment(const Fixture *f, char *bytes, size_t size)
{
        char path[160];
        ssize_t n;
        int fd;

        (void)snprintf(path, sizeof(path), "%s/0000000001.log", f->folder);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        n = read(fd, bytes, size);
        (void)close_fd(fd);
        ck_assert_int_gt(n, 0);
        ck_assert_int_lt(n, (ssize_t)size);
        return (size_t)n;
}

static unsigned count_files(const Fixture *f, const char *pattern)
{
        char command[256];
        FILE *pipe;
        unsigned n;

        (void)snprintf(command, sizeof(command), "ls %s | grep -c '%s'", f->folder, pattern);
        pipe = popen(command, "r");
        ck_assert_ptr_nonnull(pipe);
        ck_assert_int_eq(fscanf(pipe, "%u", &n), 1);
        (void)pclose(pipe);
        return n;
}

#define STEPS 60

static int compare_numbers(const void *a, const void *b)
{
        const OutboxEntry *x = *(OutboxEntry *const *)a, *y = *(OutboxEntry *const *)b;

        return x->number < y->number ? -1 : x->number > y->number;
}

/* All entries, by number; how many. */
static size_t gather(const Fixture *f, OutboxEntry *entries[STEPS])
{
        size_t n = 0;

        for (OutboxState state = 0; state < _OUTBOX_STATE_MAX; state++)
                OUTBOX_FOREACH (entry, f->outbox, state) {
                        ck_assert_uint_lt(n, STEPS);
                        ck_assert_int_eq(entry->state, state);
                        entries[n++] = entry;
                }
        qsort(entries, n, sizeof(*entries), compare_numbers);
        return n;
}

/* All that the owner can see of the outbox. crashes: already counted. */
static char *picture(Fixture *f, unsigned crashes)
{
        Buffer text = BUFFER_NULL(SIZE_MAX);
        OutboxEntry *entries[STEPS];
        size_t n = gather(f, entries);
        char *s;

        ck_assert_int_eq(buffer_append_string(&text, ""), 0);
        for (size_t i = 0; i < n; i++) {
                const OutboxEntry *entry = entries[i];

                ck_assert_int_eq(
                        buffer_appendf(&text, "%" PRIu64 " %d %u %s %zu %s %u\n", entry->number,
                                       entry->state, entry->kind, entry->id, entry->body_size,
                                       entry->reason ? entry->reason : "-",
                                       entry->state == OUTBOX_HELD ? entry->n_crashes - crashes
                                                                   : 0),
                        0);
        }
        s = buffer_steal_string(&text);
        ck_assert_ptr_nonnull(s);
        return s;
}

/* A random run: after each step how long the file is, and what the outbox looks like. */
typedef struct Run {
        Fixture *f;
        OutboxEntry *entries[STEPS];
        size_t n_entries;
        char bytes[65536];
        size_t sizes[STEPS + 1];
        char *pictures[STEPS + 1];
} Run;

static void step_on(Run *run, OutboxEntry *entry)
{
        uint64_t random = unit_random();

        if (entry->state == OUTBOX_HELD && random % 4 == 0)
                outbox_forget(run->f->outbox, entry);
        else if (entry->state == OUTBOX_HELD)
                put(run->f, entry, "0123456789abcdefghij");
        else if (entry->state == OUTBOX_DEAD && random % 2 == 0)
                ck_assert_int_eq(outbox_retry(run->f->outbox, entry), 0);
        else if (entry->state == OUTBOX_WAITING && random % 3 == 0)
                outbox_bury(run->f->outbox, entry, "refused");
        else if (entry->state == OUTBOX_WAITING)
                outbox_accept(run->f->outbox, entry);
}

static void run_step(Run *run)
{
        char id[16];

        run->n_entries = gather(run->f, run->entries);
        (void)snprintf(id, sizeof(id), "t%d", (int)(unit_random() % 5));
        if (run->n_entries == 0 || unit_random() % 2 == 0)
                (void)(unit_random() % 3 == 0 ? add(run->f, id, "more") : hold(run->f, id));
        else
                step_on(run, run->entries[unit_random() % run->n_entries]);
        /* what may ride along with others has no others here */
        fixture_turn(run->f);
        while (!outbox_is_idle(run->f->outbox))
                ck_assert_int_ge(sd_event_run(run->f->event, UINT64_MAX), 0);
}

static Run *run_new(void)
{
        Run *run = calloc(1, sizeof(*run));

        ck_assert_ptr_nonnull(run);
        run->f = fixture_new();
        fixture_turn_until_idle(run->f);
        for (unsigned i = 0; i <= STEPS; i++) {
                if (i > 0)
                        run_step(run);
                run->sizes[i] = read_first_segment(run->f, run->bytes, sizeof(run->bytes));
                run->pictures[i] = picture(run->f, 0);
        }
        return run;
}

static void run_free(Run *run)
{
        for (unsigned i = 0; i <= STEPS; i++)
                free(run->pictures[i]);
        fixture_free(run->f);
        free(run);
}

/* Killed at any byte: what was written whole holds, what was not does not. */
START_TEST(cut_anywhere_nothing_is_lost_and_nothing_comes_back)
{
        Run *run = run_new();
        unsigned step = 0;

        for (size_t size = run->sizes[0]; size <= run->sizes[STEPS]; size++) {
                Fixture *f = fixture_on(run->bytes, size);
                char *found;

                while (step < STEPS && run->sizes[step + 1] <= size)
                        step++;
                fixture_open(f);
                found = picture(f, 1);
                ck_assert_str_eq(found, run->pictures[step]);
                free(found);
                fixture_free(f);
        }
        run_free(run);
}
END_TEST

/* The lines of a picture that are about other numbers. */
static char *without(const char *text, uint64_t number)
{
        char *kept = calloc(1, strlen(text) + 1);

        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
                if (strtoull(line, NULL, 10) != number)
                        (void)strncat(kept, line, (size_t)(strchr(line, '\n') + 1 - line));
        }
        return kept;
}

/* The number of the record that this byte is part of: at 16 in its header; its size is at 4. */
static uint64_t number_at(const Run *run, size_t at)
{
        const char *p = run->bytes + 16;
        uint64_t number;
        uint32_t size;

        for (;; p += size) {
                memcpy(&size, p + 4, sizeof(size));
                memcpy(&number, p + 16, sizeof(number));
                if (p + size > run->bytes + at)
                        return number;
        }
}

START_TEST(a_damaged_byte_costs_one_record_and_is_told)
{
        Run *run = run_new();
        size_t size = run->sizes[STEPS];

        for (size_t at = 16; at < size; at += 7) {
                char *error = NULL, *found, *others, *expected;
                uint64_t number = number_at(run, at);
                Fixture *f;

                run->bytes[at] ^= 0x11;
                f = fixture_on(run->bytes, size);
                run->bytes[at] ^= 0x11;
                ck_assert_int_eq(fixture_try_open(f, &error), 0);
                found = picture(f, 1);
                others = without(found, number);
                expected = without(run->pictures[STEPS], number);
                ck_assert_str_eq(others, expected);
                if (at < run->sizes[STEPS - 1]) {
                        ck_assert_ptr_nonnull(strstr(error, "damaged"));
                        ck_assert_uint_eq(count_files(f, "damaged$"), 1);
                }
                free(error);
                free(found);
                free(others);
                free(expected);
                fixture_free(f);
        }
        run_free(run);
}
END_TEST

/* Told once: what could be read is written anew, the damaged file goes, its copy stays. */
START_TEST(damage_is_told_once)
{
        Fixture *f = fixture_new(), *after;
        char bytes[4096], *error = NULL;
        size_t size;

        (void)add(f, "t1", "first");
        (void)add(f, "t2", "second");
        (void)add(f, "t3", "third");
        fixture_turn(f);
        size = read_first_segment(f, bytes, sizeof(bytes));
        fixture_free(f);
        *(char *)memmem(bytes, size, "second", 6) = 'x';
        after = fixture_on(bytes, size);
        ck_assert_int_eq(fixture_try_open(after, &error), 0);
        ck_assert_ptr_nonnull(strstr(error, "0000000001.log is damaged"));
        free(error);
        ck_assert_status(after, 0, 2, 0);
        while (count_files(after, "0000000001.log$") > 0)
                ck_assert_int_ge(sd_event_run(after->event, UINT64_MAX), 0);
        fixture_reopen(after);
        ck_assert_status(after, 0, 2, 0);
        ck_assert_uint_eq(count_files(after, "damaged$"), 1);
        fixture_free(after);
}
END_TEST

START_TEST(a_torn_end_is_cut_off)
{
        Fixture *f = fixture_new(), *after;
        char bytes[4096];
        size_t size;

        (void)add(f, "t1", "first");
        (void)add(f, "t2", "second");
        fixture_turn(f);
        size = read_first_segment(f, bytes, sizeof(bytes));
        fixture_free(f);
        after = fixture_on(bytes, size - 1);
        fixture_open(after);
        ck_assert_status(after, 0, 1, 0);
        (void)add(after, "t3", "third");
        fixture_turn(after);
        fixture_reopen(after); /* now the torn one is not the last any more */
        ck_assert_status(after, 0, 2, 0);
        fixture_free(after);
}
END_TEST

START_TEST(what_is_not_ours_is_refused)
{
        static const struct {
                const char *bytes, *error;
                int result;
        } cases[] = {
                { "YMOUTBOX\2\0\0\0\0\0\0\0 ", "newer version", -EPROTONOSUPPORT },
                { "SQLite format 3\0 ", "not a file of the outbox", -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture *f = fixture_on(cases[i].bytes, 17);
                char *error;

                ck_assert_int_eq(fixture_try_open(f, &error), cases[i].result);
                ck_assert_ptr_nonnull(strstr(error, cases[i].error));
                ck_assert_ptr_nonnull(strstr(error, "0000000001.log"));
                free(error);
                ck_assert_uint_eq(count_files(f, "."), 1);
                fixture_free(f);
        }
}
END_TEST

/* What comes after a daemon that is killed now: the files as they are, not the outbox's end. */
static Fixture *successor(Fixture *f)
{
        Fixture *next = fixture_new_closed();
        char command[512];

        (void)snprintf(command, sizeof(command), "cp -a %s %s", f->folder, next->folder);
        ck_assert_int_eq(system(command), 0);
        fixture_free(f);
        fixture_open(next);
        return next;
}

static OutboxEntry *only_entry(Fixture *f)
{
        OutboxEntry *entry = NULL;

        for (uint64_t number = 1; number < 100 && !entry; number++)
                entry = outbox_find(f->outbox, number);
        ck_assert_ptr_nonnull(entry);
        return entry;
}

START_TEST(crashes_in_a_row_are_counted)
{
        Fixture *f = fixture_new();
        OutboxEntry *entry = hold(f, "poison");

        for (unsigned n = 1; n <= 3; n++) {
                fixture_turn_until_idle(f);
                f = successor(f);
                entry = only_entry(f);
                ck_assert_int_eq(entry->state, OUTBOX_HELD);
                ck_assert(entry->recovered);
                ck_assert_uint_eq(entry->n_crashes, n);
                /* handed back, and handed out to us again */
                ck_assert_int_eq(outbox_put(f->outbox, entry, 1, SLICE_LITERAL("back"), true), 0);
                fixture_turn_until_idle(f);
                outbox_accept(f->outbox, entry);
                fixture_reopen(f); /* which is no crash */
                entry = hold(f, "poison");
                ck_assert_uint_eq(entry->n_crashes, n);
        }
        /* a result of its own ends the row */
        put(f, entry, "done");
        fixture_turn(f);
        outbox_accept(f->outbox, entry);
        ck_assert_uint_eq(hold(f, "poison")->n_crashes, 0);
        fixture_free(f);
}
END_TEST

START_TEST(a_crash_before_anything_was_settled_counts_too)
{
        Fixture *f = fixture_new();

        (void)hold(f, "t");
        fixture_turn_until_idle(f);
        for (unsigned n = 1; n <= 3; n++) {
                f = successor(f);
                fixture_turn_until_idle(f);
                ck_assert_uint_eq(only_entry(f)->n_crashes, n);
        }
        fixture_reopen(f);
        ck_assert_uint_eq(only_entry(f)->n_crashes, 3); /* an end in order */
        fixture_free(f);
}
END_TEST

/* The first message of a task was written anew, behind the second. */
START_TEST(turns_count_not_places)
{
        Record second = { .type = RECORD_WAITING,
                          .number = 5,
                          .turn = 6,
                          .msec = 20,
                          .id = SLICE_LITERAL("t"),
                          .body = SLICE_LITERAL("second") };
        Record first = second;
        Buffer bytes = BUFFER_NULL(SIZE_MAX);
        Fixture *f;

        first.number = 1;
        first.turn = 2;
        first.msec = 10;
        first.body = SLICE_LITERAL("first");
        ck_assert_int_eq(buffer_append(&bytes, "YMOUTBOX\1\0\0\0\0\0\0\0", 16), 0);
        ck_assert_int_eq(record_append(&bytes, &second, 0), 0);
        ck_assert_int_eq(record_append(&bytes, &first, 0), 0);
        f = fixture_on(bytes.data, bytes.size);
        buffer_deinit(&bytes);
        fixture_open(f);
        ck_assert_status(f, 0, 2, 0);
        ck_assert_int_eq(status(f).oldest_msec, 10);
        fixture_turn_until_offers(f, 1);
        ck_assert_str_eq(f->offers[0].body, "first");
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(f->n_offers, 1);
        outbox_accept(f->outbox, f->offers[0].entry);
        fixture_turn_until_offers(f, 2);
        ck_assert_str_eq(f->offers[1].body, "second");
        ck_assert_uint_ge(hold(f, "u")->number, 7);
        fixture_free(f);
}
END_TEST

START_TEST(numbers_are_never_used_twice)
{
        Fixture *f = fixture_new();
        uint64_t last = 0;

        for (int i = 0; i < 5; i++) {
                OutboxEntry *entry = add(f, "t", "x");

                ck_assert_uint_gt(entry->number, last);
                last = entry->number;
                fixture_turn(f);
                outbox_accept(f->outbox, entry);
                for (int k = 0; k < 2; k++) {
                        fixture_reopen(f);
                        fixture_turn_until_idle(f);
                        ck_assert_uint_eq(count_files(f, "log"), 1);
                }
        }
        fixture_free(f);
}
END_TEST

/* A child that works until it is killed and says what it was told is written. */

typedef struct Word {
        uint64_t number;
        bool accepted;
} Word;

static int words_fd;

static void say(Fixture *f, OutboxEntry *entry, Slice body)
{
        Word word = { entry->number, false };

        ck_assert_int_eq(write(words_fd, &word, sizeof(word)), sizeof(word));
        if (unit_random() % 3 == 0)
                return;
        word.accepted = true;
        ck_assert_int_eq(write(words_fd, &word, sizeof(word)), sizeof(word));
        outbox_accept(f->outbox, entry);
}

/* The threads of the parent are not there: a loop and a storage thread of its own. */
static void work_until_killed(Fixture *f)
{
        static char body[3000];

        memset(body, 'b', sizeof(body) - 1);
        f->event = NULL;
        f->storage = NULL;
        ck_assert_int_ge(sd_event_new(&f->event), 0);
        ck_assert_int_eq(storage_new(&f->storage, f->event), 0);
        fixture_open(f);
        f->on_offer = say;
        for (unsigned i = 0;; i++) {
                char id[16];

                (void)snprintf(id, sizeof(id), "t%u", i);
                (void)add(f, id, body + unit_random() % sizeof(body));
                if (unit_random() % 8 == 0)
                        fixture_turn(f);
        }
}

static bool ready[1000000], accepted[1000000];

/* At most n of them; how many there were. */
static size_t hear(int fd, size_t n)
{
        size_t heard = 0;
        Word word;

        while (heard < n && read(fd, &word, sizeof(word)) == sizeof(word)) {
                ck_assert_uint_lt(word.number, ELEMENTSOF(ready));
                (word.accepted ? accepted : ready)[word.number] = true;
                heard++;
        }
        return heard;
}

static void ck_assert_all_there(Fixture *f)
{
        uint64_t n_kept = 0;

        fixture_open(f);
        for (uint64_t i = 0; i < ELEMENTSOF(ready); i++) {
                if (!ready[i] || accepted[i])
                        continue;
                ck_assert_ptr_nonnull(outbox_find(f->outbox, i));
                n_kept++;
        }
        ck_assert_uint_gt(n_kept, 0);
}

static void kill_one(void)
{
        Fixture *f = fixture_new_closed();
        size_t n = 100 + unit_random() % 20000;
        int words[2], end;
        pid_t pid;

        memset(ready, 0, sizeof(ready));
        memset(accepted, 0, sizeof(accepted));
        ck_assert_int_eq(pipe2(words, O_CLOEXEC), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                words_fd = words[1];
                work_until_killed(f);
        }
        (void)close_fd(words[1]);
        ck_assert_uint_eq(hear(words[0], n), n);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, &end, 0), pid);
        ck_assert(WIFSIGNALED(end));
        (void)hear(words[0], SIZE_MAX);
        (void)close_fd(words[0]);
        ck_assert_all_there(f);
        fixture_free(f);
}

START_TEST(killed_at_random_all_that_was_ready_is_there)
{
        for (unsigned round = 0; round < 8; round++)
                kill_one();
}
END_TEST

UNIT_MAIN("outbox-replay", cut_anywhere_nothing_is_lost_and_nothing_comes_back,
          a_damaged_byte_costs_one_record_and_is_told, damage_is_told_once, a_torn_end_is_cut_off,
          what_is_not_ours_is_refused, crashes_in_a_row_are_counted,
          a_crash_before_anything_was_settled_counts_too, turns_count_not_places,
          numbers_are_never_used_twice, killed_at_random_all_that_was_ready_is_there);
