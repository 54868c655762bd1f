/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "base/json-scan.h"

/* The checker reads one value after the other; what encloses them is one bit per level, set for an
 * object, so that depth costs neither stack nor allocation. */
typedef struct Check {
        const char *position;
        const char *end;
        const char *message; /* set when refused; position is where */
        Slice key; /* of the outermost object's present member; its value begins at value */
        const char *value;
        json_member_t on_member; /* NULL: nobody asks for them */
        void *userdata;
        unsigned depth;
        uint64_t objects[(JSON_DEPTH_MAX + 63) / 64];
} Check;

static const char too_deep[] = "nested too deeply";

bool json_error_is_depth(const JsonError *error)
{
        return error->message == too_deep;
}

static bool check_refuse(Check *check, const char *position, const char *message)
{
        check->position = position;
        check->message = position < check->end ? message : "unexpected end of text";
        return false;
}

static inline bool check_in_object(const Check *check)
{
        unsigned level = check->depth - 1;

        return check->objects[level / 64] >> (level % 64) & 1;
}

static inline void check_skip_white(Check *check)
{
        check->position = json_skip_white(check->position, check->end);
}

/* Two bytes after a backslash, or six. */
static const char *check_escape(Check *check, const char *p)
{
        p++;
        if (p == check->end || !strchr("\"\\/bfnrtu", *p) || *p == '\0') {
                (void)check_refuse(check, p, "invalid escape in string");
                return NULL;
        }
        if (*p++ != 'u')
                return p;
        for (unsigned i = 0; i < 4; i++, p++) {
                if (p == check->end || json_hex_digit(*p) < 0) {
                        (void)check_refuse(check, p, "\\u needs four hexadecimal digits");
                        return NULL;
                }
        }
        return p;
}

/* From the opening quote to behind the closing one. */
static inline bool check_string(Check *check)
{
        const char *p = check->position + 1, *end = check->end;
        unsigned n;

        for (;;) {
                p = json_skip_plain(p, end);
                if (p == end)
                        return check_refuse(check, p, "");
                if (*p == '"') {
                        check->position = p + 1;
                        return true;
                }
                if (*p == '\\') {
                        p = check_escape(check, p);
                        if (!p)
                                return false;
                        continue;
                }
                if ((unsigned char)*p < 0x20)
                        return check_refuse(check, p, "control character in string");
                n = json_utf8_length(p, end);
                if (n == 0)
                        return check_refuse(check, p, "invalid UTF-8 in string");
                p += n;
        }
}

static inline const char *skip_digits(const char *p, const char *end)
{
        while (p < end && *p >= '0' && *p <= '9')
                p++;
        return p;
}

static bool check_digits(Check *check, const char **p)
{
        const char *start = *p;

        *p = skip_digits(start, check->end);
        return *p > start || check_refuse(check, start, "digit expected in number");
}

static inline bool check_number(Check *check)
{
        const char *p = check->position, *end = check->end;

        if (*p == '-')
                p++;
        if (p < end && *p == '0') {
                p++;
                if (p < end && *p >= '0' && *p <= '9')
                        return check_refuse(check, p, "number with a leading zero");
        } else if (!check_digits(check, &p)) {
                return false;
        }
        if (p < end && *p == '.') {
                p++;
                if (!check_digits(check, &p))
                        return false;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                if (!check_digits(check, &p))
                        return false;
        }
        check->position = p;
        return true;
}

static bool check_word(Check *check, const char *word)
{
        const char *p = check->position;

        for (; *word; word++, p++) {
                if (p == check->end || *p != *word)
                        return check_refuse(check, p, "true, false or null expected");
        }
        check->position = p;
        return true;
}

/* A member's name and colon; position is then at its value. */
static inline bool check_name(Check *check)
{
        const char *start;

        check_skip_white(check);
        start = check->position;
        if (start == check->end || *start != '"')
                return check_refuse(check, start, "member name expected");
        if (!check_string(check))
                return false;
        if (check->depth == 1)
                check->key = (Slice){ start + 1, (size_t)(check->position - start) - 2 };
        check_skip_white(check);
        if (check->position == check->end || *check->position != ':')
                return check_refuse(check, check->position, "':' expected after member name");
        check->position++;
        return true;
}

typedef enum CheckStep {
        CHECK_REFUSED,
        CHECK_VALUE, /* a value is next */
        CHECK_AFTER, /* a value has just ended */
} CheckStep;

static CheckStep check_open(Check *check, bool object)
{
        uint64_t bit = UINT64_C(1) << (check->depth % 64);

        if (check->depth == JSON_DEPTH_MAX) {
                (void)check_refuse(check, check->position, too_deep);
                return CHECK_REFUSED;
        }
        if (object)
                check->objects[check->depth / 64] |= bit;
        else
                check->objects[check->depth / 64] &= ~bit;
        check->depth++;
        check->position++;

        check_skip_white(check);
        if (check->position < check->end && *check->position == (object ? '}' : ']')) {
                check->depth--;
                check->position++;
                return CHECK_AFTER;
        }
        if (object && !check_name(check))
                return CHECK_REFUSED;
        return CHECK_VALUE;
}

static inline CheckStep check_value(Check *check)
{
        bool good;

        check_skip_white(check);
        if (check->position == check->end) {
                (void)check_refuse(check, check->position, "");
                return CHECK_REFUSED;
        }
        if (check->depth == 1)
                check->value = check->position;
        switch (*check->position) {
        case '"':
                good = check_string(check);
                break;
        case '{':
                return check_open(check, true);
        case '[':
                return check_open(check, false);
        case 't':
                good = check_word(check, "true");
                break;
        case 'f':
                good = check_word(check, "false");
                break;
        case 'n':
                good = check_word(check, "null");
                break;
        case '-':
        case '0' ... '9':
                good = check_number(check);
                break;
        default:
                good = check_refuse(check, check->position, "value expected");
        }
        return good ? CHECK_AFTER : CHECK_REFUSED;
}

/* Inside a container and behind a value: a comma leads to the next value, a bracket closes. */
static inline CheckStep check_after(Check *check)
{
        bool object = check_in_object(check);

        if (check->depth == 1 && object && check->on_member)
                check->on_member(check->key,
                                 (Slice){ check->value, (size_t)(check->position - check->value) },
                                 check->userdata);
        check_skip_white(check);
        if (check->position < check->end) {
                if (*check->position == ',') {
                        check->position++;
                        return !object || check_name(check) ? CHECK_VALUE : CHECK_REFUSED;
                }
                if (*check->position == (object ? '}' : ']')) {
                        check->position++;
                        check->depth--;
                        return CHECK_AFTER;
                }
        }
        (void)check_refuse(check, check->position,
                           object ? "',' or '}' expected" : "',' or ']' expected");
        return CHECK_REFUSED;
}

int json_check_members(Slice text, json_member_t on_member, void *userdata, JsonError *ret_error)
{
        Check check = {
                .position = text.data,
                .end = text.data,
                .on_member = on_member,
                .userdata = userdata,
        };
        CheckStep step = CHECK_VALUE;

        if (text.size > 0)
                check.end += text.size;
        do
                step = step == CHECK_VALUE ? check_value(&check) : check_after(&check);
        while (step == CHECK_VALUE || (step == CHECK_AFTER && check.depth > 0));

        if (step == CHECK_AFTER) {
                check_skip_white(&check);
                if (check.position == check.end)
                        return 0;
                (void)check_refuse(&check, check.position, "more after the value");
        }
        if (ret_error)
                *ret_error = (JsonError){ (size_t)(check.position - text.data), check.message };
        return -EBADMSG;
}

int json_check(Slice text, JsonError *ret_error)
{
        return json_check_members(text, NULL, NULL, ret_error);
}
