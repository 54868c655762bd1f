/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "base/explain.h"

int explain(int result, char **ret_text, const char *format, ...)
{
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(ret_text, format, args);
        va_end(args);
        if (n >= 0)
                return result;
        *ret_text = NULL;
        return -ENOMEM;
}
