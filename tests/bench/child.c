/* SPDX-License-Identifier: Apache-2.0 */

/* The smallest useful per-task command, linked statically: reads its task, answers, ends. */

#include <unistd.h>

int main(void)
{
        static const char answer[] = "{\"status\":\"COMPLETED\",\"output\":{\"n\":1}}";
        char buffer[4096];
        ssize_t n;

        do
                n = read(STDIN_FILENO, buffer, sizeof(buffer));
        while (n > 0);
        return write(STDOUT_FILENO, answer, sizeof(answer) - 1) == sizeof(answer) - 1 ? 0 : 1;
}
