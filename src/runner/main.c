/* SPDX-License-Identifier: Apache-2.0 */

/* yardmaster-runner: one handler .so as a persistent worker. */

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include "base/json.h"
#include "base/parse.h"
#include "runner/loader.h"
#include "runner/runner.h"
#include "build-config.h"

/* Exit statuses; 0 after a drain or the end of the input. 74 is in runner.c. */
#define EXIT_START  1  /* init or thread_init failed */
#define EXIT_USAGE  2  /* wrong command line or environment */
#define EXIT_SYSTEM 71 /* EX_OSERR: no memory, no threads */
#define EXIT_LOAD   78 /* EX_CONFIG: no handler that this runner can use */

/* The protocol's descriptors stand above what a handler would hit by guessing. */
#define PROTOCOL_FD_MIN 64

#define DESCRIPTION_MAX ((size_t)1024 * 1024)

typedef struct Options {
        unsigned n_threads;
        bool describe;
        bool json;
        const char *library;
} Options;

static void print_help(void)
{
        puts("Usage: yardmaster-runner [--threads N] FILE.so\n"
             "       yardmaster-runner --describe [--json] FILE.so\n"
             "\n"
             "Runs the tasks that come as messages on standard input through the handler in\n"
             "FILE.so and answers on standard output: yardmaster-protocol(7). Started by\n"
             "yardmasterd for pools with handler.library. A FILE.so without a slash is looked\n"
             "up in " YARDMASTER_HANDLER_DIR ".\n"
             "\n"
             "  --threads N    tasks at a time (1)\n"
             "  --describe     print what the handler is, and run nothing\n"
             "  --json         with --describe: as JSON\n"
             "  -h, --help     print this\n"
             "  --version      print the version\n"
             "\n"
             "Environment: YARDMASTER_HANDLER_CONFIG (JSON object for the handler's init),\n"
             "YARDMASTER_HANDLER_PATH (folders of handlers before the one above),\n"
             "YARDMASTER_TASK_TIMEOUT_USEC (sets each task's deadline), NOTIFY_SOCKET,\n"
             "WATCHDOG_USEC.\n"
             "Exit status: 0 done, 1 the handler's init failed, 2 usage, 71 no memory or\n"
             "threads, 74 nobody reads the answers, 78 FILE.so cannot be used.");
}

static int usage(const char *message, const char *what)
{
        fprintf(stderr, "yardmaster-runner: %s%s (see --help)\n", message, what);
        return EXIT_USAGE;
}

static bool parse_threads(const char *s, unsigned *ret)
{
        uint64_t value;

        if (parse_uint64(s, &value) < 0 || value < 1 || value > RUNNER_THREADS_MAX)
                return false;
        *ret = (unsigned)value;
        return true;
}

/* -1, or the status to exit with. */
static int parse_options(int argc, char **argv, Options *ret)
{
        static const struct option options[] = {
                { "threads", required_argument, NULL, 't' }, { "describe", no_argument, NULL, 'd' },
                { "json", no_argument, NULL, 'j' },          { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },       {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (c) {
                case 't':
                        if (!parse_threads(optarg, &ret->n_threads))
                                return usage("--threads must be 1 to 256, not ", optarg);
                        break;
                case 'd':
                        ret->describe = true;
                        break;
                case 'j':
                        ret->json = true;
                        break;
                case 'h':
                        print_help();
                        return EXIT_SUCCESS;
                case 'v':
                        puts("yardmaster-runner " YARDMASTER_VERSION);
                        return EXIT_SUCCESS;
                default:
                        return EXIT_USAGE; /* getopt has said why */
                }
        }
        if (argc - optind != 1)
                return usage("exactly one FILE.so is wanted", "");
        if (ret->json && !ret->describe)
                return usage("--json needs --describe", "");
        ret->library = argv[optind];
        return -1;
}

/* Copies a descriptor to a high number where no program that the handler starts inherits it. */
static int move_fd(int fd)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, PROTOCOL_FD_MIN);

        return copy < 0 ? -errno : copy;
}

/* Before any foreign code is in the process: what a handler prints goes to stderr, what it reads
 * from stdin is empty, and neither touches the protocol. */
static int take_protocol(int *ret_input, int *ret_output)
{
        _cleanup_close_ int input = move_fd(STDIN_FILENO), output = move_fd(STDOUT_FILENO);
        _cleanup_close_ int null = -EBADF;

        if (input < 0)
                return input;
        if (output < 0)
                return output;
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
                return -errno;
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        *ret_input = TAKE_FD(input);
        *ret_output = TAKE_FD(output);
        return 0;
}

/* Reads and removes a variable, so that programs which the handler starts do not get it. NULL: not
 * set (or no memory: then *ret_error). */
static char *take_environment(const char *name, int *ret_error)
{
        const char *value = getenv(name);
        char *copy;

        if (!value)
                return NULL;
        copy = strdup(value);
        if (!copy)
                *ret_error = -ENOMEM;
        (void)unsetenv(name);
        return copy;
}

static int load_error(const char *library, const char *message)
{
        fprintf(stderr, "yardmaster-runner: %s: %s\n", library, message);
        (void)sd_notifyf(0, "STATUS=%s: %s", library, message);
        return EXIT_LOAD;
}

static int system_error(const char *what, int error)
{
        fprintf(stderr, "yardmaster-runner: %s: %s\n", what, strerror(-error));
        (void)sd_notifyf(0, "STATUS=%s: %s\nERRNO=%d", what, strerror(-error), -error);
        return EXIT_SYSTEM;
}

/* -1: loaded. Else the status to exit with. */
static int load(Loader *loader, const char *library)
{
        _cleanup_free_ char *message = NULL, *folders = NULL;
        const char *own = getenv("YARDMASTER_HANDLER_PATH");
        int r;

        if (asprintf(&folders, "%s%s%s", own ?: "", own ? ":" : "", YARDMASTER_HANDLER_DIR) < 0) {
                folders = NULL;
                return system_error(library, -ENOMEM);
        }
        r = loader_load(loader, library, folders, &message);
        if (r < 0)
                return system_error(library, r);
        return r == LOADER_E_UNUSABLE ? load_error(library, message) : -1;
}

static int describe(const Options *options)
{
        _cleanup_(loader_deinit) Loader loader = LOADER_NULL;
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(DESCRIPTION_MAX);
        _cleanup_close_ int input = -EBADF, output = -EBADF;
        int status, r;

        r = take_protocol(&input, &output);
        if (r < 0)
                return system_error("stdout", r);
        status = load(&loader, options->library);
        if (status >= 0)
                return status;
        r = options->json ? loader_describe_json(&loader, &buffer)
                          : loader_describe_text(&loader, &buffer);
        if (r < 0)
                return system_error(options->library, r);
        if (write(output, buffer_slice(&buffer).data, buffer.size) < 0)
                return system_error("stdout", -errno);
        return EXIT_SUCCESS;
}

static int start_error(const char *library, const char *message, int error)
{
        fprintf(stderr, "yardmaster-runner: %s: %s\n", library, message);
        (void)sd_notifyf(0, "STATUS=%s: %s\nERRNO=%d", library, message, abs(error));
        return EXIT_START;
}

static int serve(const Options *options, RunnerOptions *runner_options)
{
        _cleanup_free_ char *message = NULL;
        Runner *runner = NULL;
        int handler_error, r;

        r = runner_start(&runner, runner_options, &message, &handler_error);
        if (r < 0)
                return system_error("cannot start", r);
        if (r == RUNNER_E_HANDLER)
                return start_error(options->library, message, handler_error);
        (void)sd_notify(0, "READY=1");
        r = runner_serve(runner);
        (void)sd_notify(0, "STOPPING=1");
        (void)runner_stop(runner);
        return r < 0 ? system_error("cannot read messages", r) : EXIT_SUCCESS;
}

static int run(const Options *options)
{
        _cleanup_(loader_deinit) Loader loader = LOADER_NULL;
        _cleanup_free_ char *config = NULL, *timeout = NULL;
        RunnerOptions runner_options = { .n_threads = options->n_threads };
        JsonError error = {};
        int status, r = 0;

        config = take_environment("YARDMASTER_HANDLER_CONFIG", &r);
        timeout = take_environment("YARDMASTER_TASK_TIMEOUT_USEC", &r);
        if (r < 0)
                return system_error("environment", r);
        runner_options.config_json = config ?: "{}";
        if (json_check(slice_from_string(runner_options.config_json), &error) < 0 ||
            json_type_of(slice_from_string(runner_options.config_json)) != JSON_OBJECT)
                return usage("YARDMASTER_HANDLER_CONFIG is no JSON object", "");
        if (timeout && parse_uint64(timeout, &runner_options.task_timeout_usec) < 0)
                return usage("YARDMASTER_TASK_TIMEOUT_USEC is no number: ", timeout);
        (void)sd_watchdog_enabled(0, &runner_options.watchdog_usec);

        /* A handler's connection that breaks is an error of one write, not the end of the rest. */
        (void)signal(SIGPIPE, SIG_IGN);
        r = take_protocol(&runner_options.input_fd, &runner_options.output_fd);
        if (r < 0)
                return system_error("standard input and output", r);
        status = load(&loader, options->library);
        if (status >= 0)
                return status;
        runner_options.handler = &loader.handler;
        return serve(options, &runner_options);
}

int main(int argc, char **argv)
{
        Options options = { .n_threads = 1 };
        int status;

        status = parse_options(argc, argv, &options);
        if (status >= 0)
                return status;
        return options.describe ? describe(&options) : run(&options);
}
