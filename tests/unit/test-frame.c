/* SPDX-License-Identifier: Apache-2.0 */

#include "base/frame.h"
#include "unit.h"

/* Feeds text in pieces of at most step bytes and notes every frame: "[a][b]", "<…>" for an
 * oversized one, then "|" and the rest. */
static char *cut(const char *text, size_t size, size_t step, char delimiter, size_t maximum)
{
        Buffer log = BUFFER_NULL(1 << 20);
        FrameResult result;
        Frame frame;
        Slice slice;

        frame_init(&frame, delimiter, maximum);
        while (size > 0) {
                size_t n = MIN(size, step);
                char *to;

                ck_assert_int_eq(frame_reserve(&frame, n, &to), 0);
                memcpy(to, text, n);
                frame_commit(&frame, n);
                text += n;
                size -= n;
                while ((result = frame_next(&frame, &slice)) != FRAME_NONE)
                        ck_assert_int_eq(
                                buffer_appendf(&log, result == FRAME_COMPLETE ? "[%.*s]" : "<%.*s>",
                                               (int)slice.size, slice.data),
                                0);
                ck_assert_uint_le(frame.buffer.size, maximum);
        }
        slice = frame_rest(&frame);
        ck_assert_int_eq(buffer_append_byte(&log, '|'), 0);
        ck_assert_int_eq(buffer_append_slice(&log, slice), 0);
        frame_deinit(&frame);
        return buffer_steal_string(&log);
}

/* The same result whatever the size of the reads, except how much of an oversized frame is shown.
 */
static void check_cut(const char *text, size_t maximum, const char *expected)
{
        for (size_t step = 1; step <= strlen(text); step++) {
                _cleanup_free_ char *log = cut(text, strlen(text), step, '\n', maximum);

                ck_assert_str_eq(log, expected);
        }
}

START_TEST(test_cuts)
{
        check_cut("a\n", 8, "[a]|");
        check_cut("\n\n", 8, "[][]|");
        check_cut("one\ntwo\nthree", 8, "[one][two]|three");
        check_cut("12345678\n", 8, "[12345678]|");
        check_cut("12345678", 8, "|12345678");
        check_cut("\n", 0, "[]|");
}
END_TEST

START_TEST(test_oversized)
{
        check_cut("123456789\n", 8, "<12345678>|");
        check_cut("123456789\na\n", 8, "<12345678>[a]|");
        check_cut("a\n123456789abcdefghijklm\nb\n", 8, "[a]<12345678>[b]|");
        check_cut("123456789\n123456789\n12345678\n", 8, "<12345678><12345678>[12345678]|");
        check_cut("x\n123456789abc", 8, "[x]<12345678>|");
        check_cut("ab\n\n", 1, "<a>[]|");
        check_cut("a\n", 0, "<>|");
}
END_TEST

START_TEST(test_oversized_leaves_no_rest)
{
        Frame frame;
        Slice slice;
        char *to;

        frame_init(&frame, '\n', 4);
        ck_assert_int_eq(frame_reserve(&frame, 6, &to), 0);
        memcpy(to, "123456", 6);
        frame_commit(&frame, 6);
        ck_assert_int_eq(frame_next(&frame, &slice), FRAME_OVERSIZED);
        ck_assert_uint_eq(frame_rest(&frame).size, 0);
        ck_assert_int_eq(frame_reserve(&frame, 2, &to), 0);
        memcpy(to, "78", 2);
        frame_commit(&frame, 2);
        ck_assert_uint_eq(frame_rest(&frame).size, 0);
        frame_deinit(&frame);
}
END_TEST

START_TEST(test_oversized_shows_little)
{
        _cleanup_free_ char *log = NULL;
        static char text[100001];

        memset(text, 'y', 100000);
        text[99999] = '\n';
        log = cut(text, 100000, 4096, '\n', 50000);
        ck_assert_uint_eq(strlen(log), FRAME_OVERSIZED_SHOWN + 3);
}
END_TEST

START_TEST(test_nul_delimiter)
{
        for (size_t step = 1; step <= 9; step++) {
                _cleanup_free_ char *log = cut("{}\0a\nb\0c", 8, step, '\0', 8);

                ck_assert_str_eq(log, "[{}][a\nb]|c");
        }
}
END_TEST

/* A long frame in small reads is searched once, and gives its memory back afterwards. */
START_TEST(test_long_frame)
{
        size_t size = 4 << 20;
        Frame frame;
        Slice slice;
        char *to;

        frame_init(&frame, '\n', size);
        for (size_t fed = 0; fed < size; fed += 1024) {
                ck_assert_int_eq(frame_reserve(&frame, 1024, &to), 0);
                memset(to, 'z', 1024);
                frame_commit(&frame, 1024);
                ck_assert_int_eq(frame_next(&frame, &slice), FRAME_NONE);
                ck_assert_uint_eq(frame.scanned, fed + 1024);
        }
        ck_assert_uint_eq(frame_rest(&frame).size, size);
        ck_assert_int_eq(frame_reserve(&frame, 1, &to), 0);
        *to = '\n';
        frame_commit(&frame, 1);
        ck_assert_int_eq(frame_next(&frame, &slice), FRAME_COMPLETE);
        ck_assert_uint_eq(slice.size, size);
        ck_assert_int_eq(frame_next(&frame, &slice), FRAME_NONE);
        ck_assert_uint_le(frame.buffer.capacity, FRAME_KEEP);
        frame_deinit(&frame);
}
END_TEST

/* Feeding without taking is bounded. */
START_TEST(test_reserve_limit)
{
        Frame frame;
        char *to;

        frame_init(&frame, '\n', 10);
        ck_assert_int_eq(frame_reserve(&frame, FRAME_RESERVE_MAX, &to), 0);
        memset(to, 'a', FRAME_RESERVE_MAX);
        frame_commit(&frame, FRAME_RESERVE_MAX);
        ck_assert_int_eq(frame_reserve(&frame, 11, &to), -ENOBUFS);
        ck_assert_int_eq(frame_reserve(&frame, 10, &to), 0);
        frame_deinit(&frame);
}
END_TEST

UNIT_MAIN("frame", test_cuts, test_oversized, test_oversized_leaves_no_rest,
          test_oversized_shows_little, test_nul_delimiter, test_long_frame, test_reserve_limit);
