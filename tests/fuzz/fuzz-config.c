/* SPDX-License-Identifier: Apache-2.0 */

/* Any text as a configuration file: it is accepted or refused with a reason; what our lexical pass
 * lets pass, libconfig reads; and what a configuration says of itself is one again. */

#include <libconfig.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/json.h"
#include "base/strv.h"
#include "config/config.h"
#include "config/lexical.h"
#include "fuzz.h"

static void on_report(const char *file, unsigned line, const char *path, const char *message,
                      void *userdata)
{
        fuzz_assert(line > 0 && message[0]);
        ++*(unsigned *)userdata;
}

static int on_include(const char *file, unsigned line, const char *name, const char **ret_file,
                      Slice *ret_text, void *userdata)
{
        ++*(unsigned *)userdata;
        return LEXICAL_E_INVALID;
}

static void check_lexical(Slice text)
{
        unsigned n_reports = 0;
        const LexicalHooks hooks = { on_report, on_include, &n_reports };
        config_t config;

        if (lexical_check("main", text, &hooks) != 0) {
                fuzz_assert(n_reports > 0);
                return;
        }
        char *copy = malloc(text.size + 2);
        fuzz_assert(copy);
        memcpy(copy, text.data, text.size);
        memcpy(copy + text.size, "\n", 2);
        config_init(&config);
        fuzz_assert(config_read_string(&config, copy) == CONFIG_TRUE);
        config_destroy(&config);
        free(copy);
}

/* A file without a folder of its own: nothing beside it can be meant. */
static Config *load(Slice text)
{
        int fd = memfd_create("config", MFD_CLOEXEC);
        ConfigDiagnostics *diagnostics = NULL;
        Config *config = NULL;
        char path[64];

        fuzz_assert(fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int r = config_load(path, &config, &diagnostics);
        fuzz_assert(r == (config ? 0 : CONFIG_E_INVALID));
        fuzz_assert(diagnostics && !config == (diagnostics->n_errors > 0));
        fuzz_assert(!config == (strv_length(diagnostics->lines) > diagnostics->n_warnings));
        config_diagnostics_free(diagnostics);
        (void)close(fd);
        return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Slice text = { (const char *)data, size };
        Buffer buffer = BUFFER_NULL(SIZE_MAX);

        check_lexical(text);
        Config *config = load(text);
        if (!config)
                return 0;
        fuzz_assert(config_dump_json(config, &buffer) == 0);
        fuzz_assert(json_check(buffer_slice(&buffer), NULL) == 0);
        buffer_clear(&buffer);
        fuzz_assert(config_dump_text(config, &buffer) == 0);
        config_unref(config);

        config = load(buffer_slice(&buffer));
        fuzz_assert(config);
        config_unref(config);
        buffer_deinit(&buffer);
        return 0;
}
