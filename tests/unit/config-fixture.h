#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A scratch folder with configuration files in it, and their loading. */

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/strv.h"
#include "config/config.h"
#include "unit.h"

static inline void scratch_make(char path[64])
{
        (void)snprintf(path, 64, "/tmp/ym-config-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(path));
}

static inline void scratch_remove(const char *path)
{
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
        ck_assert_int_eq(system(command), 0);
}

static inline void write_bytes(const char *folder, const char *name, const void *data, size_t size,
                               mode_t mode)
{
        char path[256];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        FILE *file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(data, 1, size, file), size);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(chmod(path, mode), 0);
}

static inline void write_file(const char *folder, const char *name, const char *text)
{
        write_bytes(folder, name, text, strlen(text), 0644);
}

/* Enough of a shared object to be taken for one; it is never loaded. */
static inline void write_library(const char *folder, const char *name)
{
        Elf64_Ehdr header = { .e_type = ET_DYN };

        memcpy(header.e_ident, ELFMAG, SELFMAG);
        write_bytes(folder, name, &header, sizeof(header), 0755);
}

/* The same look-ups on every machine. */
static inline void set_environment(const char *library_folder)
{
        ck_assert_int_eq(setenv("PATH", "/usr/bin:/bin", 1), 0);
        ck_assert_int_eq(setenv("YARDMASTER_HANDLER_PATH", library_folder, 1), 0);
        ck_assert_int_eq(setenv("RUNTIME_DIRECTORY", "/run/test", 1), 0);
        ck_assert_int_eq(setenv("STATE_DIRECTORY", "/var/lib/test", 1), 0);
}

/* Loads text as the main file of folder; fails the test with the diagnostics if it is refused. */
static inline Config *load_text(const char *folder, const char *text)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        Config *config = NULL;
        char path[256];

        write_file(folder, "main.conf", text);
        (void)snprintf(path, sizeof(path), "%s/main.conf", folder);
        int r = config_load(path, &config, &diagnostics);
        if (r != 0 && diagnostics)
                STRV_FOREACH (line, diagnostics->lines)
                        (void)fprintf(stderr, "%s\n", *line);
        ck_assert_int_eq(r, 0);
        return config;
}
