/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/confinement.h"

#include <ctype.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/strv.h"
#include "build-config.h"
#include "config/place.h"

/* "yardmaster@I.service" has at most so many letters: systemd's limit. */
#define UNIT_NAME_MAX 255
/* Of what systemctl says. */
#define SHOWN_MAX 16384

struct Confinement {
        char *unit;
        char *user; /* NULL: root */
        char *group;
        char *state_dir; /* what the unit makes, the first of each; NULL: none */
        char *runtime_dir;
        bool strict;
        bool home_hidden;
        char **writable; /* under ProtectSystem=strict */
};

/* Its letters are such as a unit's name has, and it is no option of systemctl. */
static bool is_unit_name(const char *name)
{
        size_t n = strlen(name);

        for (const char *c = name; *c; c++)
                if (!isalnum((unsigned char)*c) && !strchr(":-_.\\@", *c))
                        return false;
        return n > 0 && n <= UNIT_NAME_MAX && name[0] != '-';
}

/* The unit of CONFIG-DIR/yardmaster.conf, or of CONFIG-DIR/instances/I/yardmaster.conf. */
static bool find_unit(const char *path, char unit[UNIT_NAME_MAX + 1])
{
        size_t folder = strlen(YARDMASTER_CONFIG_FILE) - strlen("yardmaster.conf");
        const char *instances = "instances/", *rest = path + folder + strlen(instances);
        int n = 0;

        if (streq(path, YARDMASTER_CONFIG_FILE)) {
                (void)strcpy(unit, "yardmaster.service");
                return true;
        }
        if (strncmp(path, YARDMASTER_CONFIG_FILE, folder) != 0 ||
            strncmp(path + folder, instances, strlen(instances)) != 0)
                return false;
        n = (int)strcspn(rest, "/");
        if (n == 0 || !streq(rest + n, "/yardmaster.conf"))
                return false;
        return snprintf(unit, UNIT_NAME_MAX + 1, "yardmaster@%.*s.service", n, rest) <=
               UNIT_NAME_MAX;
}

static int add_folder(Confinement *confinement, const char *parent, const char *name)
{
        char *path;
        int r;

        /* "-": it may be missing; "+": below RootDirectory= */
        if (!parent[0])
                name += strspn(name, "-+");
        if (asprintf(&path, "%s%s", parent, name) < 0)
                return -ENOMEM;
        r = strv_append(&confinement->writable, path);
        free(path);
        return r;
}

static int add_folders(Confinement *confinement, const char *parent, char *names)
{
        char *rest = NULL;
        int r = 0;

        for (char *name = strtok_r(names, " ", &rest); name && r >= 0;
             name = strtok_r(NULL, " ", &rest))
                r = add_folder(confinement, parent, name);
        return r;
}

static int keep_text(char **text, const char *parent, const char *name)
{
        size_t n = strcspn(name, " ");

        free(*text);
        *text = NULL;
        if (n == 0 || asprintf(text, "%s%.*s", parent, (int)n, name) >= 0)
                return 0;
        *text = NULL;
        return -ENOMEM;
}

/* Who it runs as, and what it makes for that. */
static int take_identity(Confinement *confinement, const char *key, const char *value)
{
        if (streq(key, "User"))
                return keep_text(&confinement->user, "", value);
        if (streq(key, "Group"))
                return keep_text(&confinement->group, "", value);
        if (streq(key, "StateDirectory"))
                return keep_text(&confinement->state_dir, "/var/lib/", value);
        if (streq(key, "RuntimeDirectory"))
                return keep_text(&confinement->runtime_dir, "/run/", value);
        return 0;
}

/* One "Key=value" of systemctl show. */
static int take_property(Confinement *confinement, char *line)
{
        static const struct {
                const char *key, *parent;
        } folders[] = {
                { "ReadWritePaths", "" },
                { "StateDirectory", "/var/lib/" },
                { "CacheDirectory", "/var/cache/" },
                { "LogsDirectory", "/var/log/" },
                { "RuntimeDirectory", "/run/" },
        };
        char *value = strchr(line, '=');
        int r;

        if (!value)
                return 0;
        *value++ = '\0';
        value[strcspn(value, "\n")] = '\0';
        r = take_identity(confinement, line, value);
        if (r < 0)
                return r;
        if (streq(line, "ProtectSystem"))
                confinement->strict = streq(value, "strict");
        else if (streq(line, "ProtectHome"))
                confinement->home_hidden = streq(value, "yes") || streq(value, "tmpfs");
        else if (streq(line, "PrivateTmp") && streq(value, "yes"))
                return add_folders(confinement, "/", (char[]){ "tmp var/tmp" });
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                if (streq(line, folders[i].key))
                        return add_folders(confinement, folders[i].parent, value);
        return 0;
}

/* Starts systemctl; its words come from *ret. */
static int start_systemctl(const char *unit, pid_t *ret_pid, FILE **ret)
{
        char *const arguments[] = { (char *)"systemctl", (char *)"show",
                                    (char *)"--property=ProtectSystem,ProtectHome,PrivateTmp,"
                                            "ReadWritePaths,StateDirectory,CacheDirectory,"
                                            "LogsDirectory,RuntimeDirectory,User,Group",
                                    (char *)unit, NULL };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        posix_spawn_file_actions_t actions;
        int fds[2], r;

        if (null < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        r = -posix_spawn_file_actions_init(&actions);
        if (r == 0) {
                (void)posix_spawn_file_actions_adddup2(&actions, null, STDIN_FILENO);
                (void)posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
                (void)posix_spawn_file_actions_adddup2(&actions, null, STDERR_FILENO);
                r = -posix_spawnp(ret_pid, arguments[0], &actions, NULL, arguments, environ);
                (void)posix_spawn_file_actions_destroy(&actions);
        }
        close_fd(fds[1]);
        *ret = r == 0 ? fdopen(fds[0], "re") : NULL;
        if (!*ret)
                close_fd(fds[0]);
        return r;
}

static int ask_systemd(Confinement *confinement)
{
        char line[SHOWN_MAX];
        FILE *shown;
        int r, status;
        pid_t pid;

        r = start_systemctl(confinement->unit, &pid, &shown);
        if (r < 0)
                return r;
        while (r >= 0 && shown && fgets(line, sizeof(line), shown))
                r = take_property(confinement, line);
        if (shown)
                (void)fclose(shown);
        if (waitpid(pid, &status, 0) < 0 || status != 0)
                return -ENOENT;
        return r;
}

static bool is_below(const char *path, const char *folder)
{
        size_t n = strlen(folder);

        while (n > 1 && folder[n - 1] == '/')
                n--;
        return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

static bool is_below_any(const char *path, char *const *folders)
{
        STRV_FOREACH (folder, folders)
                if (is_below(path, *folder))
                        return true;
        return false;
}

static void check_folder(const Confinement *confinement, const char *about, const char *path)
{
        static char *const homes[] = { (char *)"/home", (char *)"/root", (char *)"/run/user",
                                       NULL };
        _cleanup_free_ char *real = realpath(path, NULL);
        const char *place = real ?: path;

        if (confinement->strict && !is_below_any(place, confinement->writable))
                (void)fprintf(stderr,
                              "%s %s: %s cannot write there: if it has to, it needs "
                              "ReadWritePaths=%s in section [Service] (systemctl edit %s)\n",
                              about, path, confinement->unit, place, confinement->unit);
        if (confinement->home_hidden && is_below_any(place, homes))
                (void)fprintf(stderr,
                              "%s %s: %s does not see it: it needs ProtectHome=read-only or "
                              "ProtectHome=no in section [Service] (systemctl edit %s)\n",
                              about, path, confinement->unit, confinement->unit);
}

static void check_pool(const Confinement *confinement, const ConfigPool *pool)
{
        char about[128];

        if (!pool->working_directory)
                return;
        (void)snprintf(about, sizeof(about), "warning: pools.%s.working_directory", pool->name);
        check_folder(confinement, about, pool->working_directory);
}

/* What it is by default the unit decides; here it is not as the unit has it. */
static bool is_set_by_file(const Config *config)
{
        _cleanup_free_ char *fallback = NULL;

        return place_state_dir(&fallback) < 0 || !streq(fallback, config->state_dir);
}

Confinement *confinement_free(Confinement *confinement)
{
        if (!confinement)
                return NULL;
        strv_free(confinement->writable);
        free(confinement->unit);
        free(confinement->user);
        free(confinement->group);
        free(confinement->state_dir);
        free(confinement->runtime_dir);
        free(confinement);
        return NULL;
}

int confinement_new(Confinement **ret, const char *path, const char *unit)
{
        _cleanup_(confinement_freep) Confinement *confinement = calloc(1, sizeof(Confinement));
        char found[UNIT_NAME_MAX + 1];
        int r;

        if (!confinement)
                return -ENOMEM;
        if ((!unit && !find_unit(path, found)) || !is_unit_name(unit ?: found))
                return -ENOENT;
        confinement->unit = strdup(unit ?: found);
        if (!confinement->unit)
                return -ENOMEM;
        r = ask_systemd(confinement);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(confinement);
        return 0;
}

/* A group that is not told is the user's. */
static int switch_user(const Confinement *confinement)
{
        const struct passwd *user = getpwnam(confinement->user);
        const struct group *group = NULL;
        gid_t gid;

        if (!user)
                return -ESRCH;
        if (confinement->group)
                group = getgrnam(confinement->group);
        gid = group ? group->gr_gid : user->pw_gid;
        if (initgroups(user->pw_name, gid) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
                return -errno;
        return 0;
}

int confinement_enter(const Confinement *confinement)
{
        int r;

        if (geteuid() != 0 || !confinement->user || streq(confinement->user, "root"))
                return 0;
        r = switch_user(confinement);
        if (r < 0)
                return r;
        if ((confinement->state_dir && setenv("STATE_DIRECTORY", confinement->state_dir, 1) < 0) ||
            (confinement->runtime_dir &&
             setenv("RUNTIME_DIRECTORY", confinement->runtime_dir, 1) < 0))
                return -errno;
        return 0;
}

void confinement_check(const Confinement *confinement, const Config *config)
{
        if (is_set_by_file(config))
                check_folder(confinement, "warning: state_dir", config->state_dir);
        for (size_t i = 0; i < config->n_pools; i++)
                check_pool(confinement, config->pools[i]);
}
