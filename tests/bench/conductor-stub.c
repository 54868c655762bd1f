/* SPDX-License-Identifier: Apache-2.0 */

/* A Conductor server as far as a worker host sees one, for speed and for faults on demand: one
 * thread, loopback, nothing on disk. What it keeps of each task proves what was lost
 * (stub/model.h).
 *
 * It behaves as a real server does, traps included: connections that close after 100 requests,
 * polls that hand out tasks though their client has gone, results stored without the workflow
 * going on, a search that ignores fields that it does not know. The text of --help documents the
 * options and the side API, which a test drives. */

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include "stub/api.h"
#include "stub/model.h"
#include "stub/poll.h"
#include "stub/wait.h"

static const char help[] =
        "conductor-stub [OPTIONS]\n"
        "Serves Conductor's worker API on http://127.0.0.1:PORT/api and prints PORT when it "
        "listens.\n"
        "Ends on SIGTERM, SIGINT, or with --parent when its parent ends.\n"
        "\n"
        "  --port=N                     0: any free one (default)\n"
        "  --hold                       polls wait until they are full, as with SQLite and "
        "Postgres\n"
        "                               (default: answered at the first task, as with Redis)\n"
        "  --requests-per-connection=N  then Connection: close (default 100, as the server; 0: "
        "never)\n"
        "  --content-length             no chunked answers\n"
        "  --update-wait=MSEC           how long update-v2 looks for a next task (default 100)\n"
        "  --no-update-v2               404 there, as on an old server\n"
        "  --no-search                  searches find nothing, as without an index\n"
        "  --response-timeout=SECONDS   of types without definition (default 0: none)\n"
        "  --reject-nul                 \\u0000 in a result: stored, 500, as on Postgres\n"
        "  --auth=KEY:SECRET            tokens are needed; --token-ttl=SECONDS (default 3600)\n"
        "  --parent                     ends with the process that started it\n"
        "\n"
        "Types are defined by POST /api/metadata/taskdefs (retryCount, retryDelaySeconds,\n"
        "responseTimeoutSeconds, pollTimeoutSeconds are observed). A type that is not defined has "
        "no\n"
        "retry and no time-out. DELETE /api/workflow/ID cancels. Each task is its own workflow.\n"
        "\n"
        "POST /stub/tasks {\"type\", \"domain\", \"count\", \"input\", \"expect\", "
        "\"ratePerSecond\", \"full\"}\n"
        "       makes tasks: \"taskIds\" of the first 1000. \"@n@\" (a string) in input and "
        "expect\n"
        "       becomes the task's number in this call, from 1. expect: the outputData that a\n"
        "       COMPLETED must have. ratePerSecond: they come one by one at random, so many a "
        "second\n"
        "       on average. full: bodies of 3.6 KB instead of 1 KB.\n"
        "GET /stub/counts[?type=]    tasks by status; undecided; wrong; retries; handedBack "
        "(times);\n"
        "       polledAgain (tasks given out more than once)\n"
        "GET /stub/wrong[?type=&limit=100]  records of tasks that are not COMPLETED, or with "
        "another\n"
        "       output than expected, or that got a second, different result (conflicting > 0), "
        "or\n"
        "       whose workflow is owed a decide; total\n"
        "GET /stub/tasks[?type=&limit=100], GET /stub/task?id=  such records of any task; "
        "ignored:\n"
        "       how often the accepted result came again\n"
        "GET /stub/queues   per type and domain: ready, inProgress, inProgressMax, polls, "
        "waiting,\n"
        "       sinceLastPollMsec, pollGapMaxMsec (between the ends of polls)\n"
        "GET /stub/wait?for=completed|in-progress|polls|settled[&n=][&timeout=60000]  answers "
        "when\n"
        "       n tasks are COMPLETED since the start, n are IN_PROGRESS, n polls have come, "
        "nothing\n"
        "       is open: {\"reached\", \"completed\", \"usec\" (monotonic)}\n"
        "GET /stub/stats    counters; spans in usec (n, p50, p90, p99, max): handoutUsec (ready -> "
        "in a\n"
        "       poll's answer), pickupUsec (ready -> \"start\" of the output, a monotonic usec),\n"
        "       settleUsec (handed out -> accepted). POST /stub/stats/reset\n"
        "POST /stub/away?msec=N   all connections are reset, new ones refused, for so long\n"
        "POST /stub/expire-tokens\n"
        "POST /stub/faults {\"kind\", \"method\", \"path\" (glob), \"count\" (default 1) or "
        "\"durationMsec\",\n"
        "       \"skip\", \"every\", ...}; GET lists them with seen and fired; DELETE ends them. "
        "The first\n"
        "       rule that matches decides. Kinds:\n"
        "  status        \"status\" (503), \"retryAfter\" (text), \"retryable\", \"html\", "
        "\"error\" (a word as\n"
        "                EXPIRED_TOKEN), or \"body\" and \"contentType\"; not applied unless "
        "\"apply\": true\n"
        "  reset-before  RST at the head of the request; reset-middle: when part of its body has "
        "come;\n"
        "                neither is applied. reset-after: applied, then RST instead of the answer\n"
        "                (a poll's tasks are handed out and lost)\n"
        "  truncate      applied; half of the answer, then the end of the connection\n"
        "  garbage       applied; half of the body, as if it were all\n"
        "  slow          applied; the answer \"delayMsec\" later and, with \"byteMsec\", byte by "
        "byte\n"
        "  never         no answer at all; applied unless \"apply\": false\n"
        "  empty         a poll: [] at once\n"
        "  more          a poll: \"extra\" (1) more tasks than asked for\n"
        "  undecided     an update: stored, 500, the workflow is owed a decide\n";

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
        stopped = 1;
}

/* They come while http_run waits, and only then: one that came before would not end the wait. */
static void catch_signals(void)
{
        struct sigaction action = { .sa_handler = on_signal };
        sigset_t mask;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGINT, &action, NULL);
}

static unsigned number_argument(const char *option)
{
        int64_t number;

        if (text_number(slice_from_string(optarg), &number) < 0 || number < 0 ||
            number > UINT32_MAX)
                errx(2, "--%s=%s is no number", option, optarg);
        return (unsigned)number;
}

static void parse_auth(void)
{
        char *colon = strchr(optarg, ':');

        if (!colon)
                errx(2, "--auth needs KEY:SECRET");
        *colon = '\0';
        api_options.key = optarg;
        api_options.secret = colon + 1;
}

enum {
        OPTION_PORT = 1,
        OPTION_HOLD,
        OPTION_REQUESTS,
        OPTION_LENGTH,
        OPTION_UPDATE_WAIT,
        OPTION_NO_UPDATE_V2,
        OPTION_NO_SEARCH,
        OPTION_RESPONSE_TIMEOUT,
        OPTION_REJECT_NUL,
        OPTION_AUTH,
        OPTION_TOKEN_TTL,
        OPTION_PARENT,
        OPTION_HELP,
};

static const struct option options[] = {
        { "port", required_argument, NULL, OPTION_PORT },
        { "hold", no_argument, NULL, OPTION_HOLD },
        { "requests-per-connection", required_argument, NULL, OPTION_REQUESTS },
        { "content-length", no_argument, NULL, OPTION_LENGTH },
        { "update-wait", required_argument, NULL, OPTION_UPDATE_WAIT },
        { "no-update-v2", no_argument, NULL, OPTION_NO_UPDATE_V2 },
        { "no-search", no_argument, NULL, OPTION_NO_SEARCH },
        { "response-timeout", required_argument, NULL, OPTION_RESPONSE_TIMEOUT },
        { "reject-nul", no_argument, NULL, OPTION_REJECT_NUL },
        { "auth", required_argument, NULL, OPTION_AUTH },
        { "token-ttl", required_argument, NULL, OPTION_TOKEN_TTL },
        { "parent", no_argument, NULL, OPTION_PARENT },
        { "help", no_argument, NULL, OPTION_HELP },
        { NULL },
};

static void apply_option(int chosen, HttpOptions *http, unsigned *port)
{
        switch (chosen) {
        case OPTION_PORT:
                *port = number_argument("port");
                break;
        case OPTION_HOLD:
                api_options.holds_polls = true;
                break;
        case OPTION_REQUESTS:
                http->requests_per_connection = number_argument("requests-per-connection");
                break;
        case OPTION_LENGTH:
                http->with_length = true;
                break;
        case OPTION_UPDATE_WAIT:
                api_options.update_wait = number_argument("update-wait") * USEC_PER_MSEC;
                break;
        case OPTION_NO_UPDATE_V2:
                api_options.has_update_v2 = false;
                break;
        case OPTION_NO_SEARCH:
                api_options.has_search = false;
                break;
        case OPTION_RESPONSE_TIMEOUT:
                model.response_timeout_seconds = number_argument("response-timeout");
                break;
        case OPTION_REJECT_NUL:
                model.rejects_nul = true;
                break;
        case OPTION_AUTH:
                parse_auth();
                break;
        case OPTION_TOKEN_TTL:
                api_options.token_ttl = number_argument("token-ttl") * USEC_PER_SEC;
                break;
        case OPTION_PARENT:
                (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
                break;
        case OPTION_HELP:
                fputs(help, stdout);
                exit(0);
        default:
                errx(2, "see --help");
        }
}

int main(int argc, char *argv[])
{
        HttpOptions http = { .requests_per_connection = 100 };
        unsigned port = 0;
        uint32_t salt;

        api_options = (ApiOptions){ .update_wait = 100 * USEC_PER_MSEC,
                                    .has_update_v2 = true,
                                    .has_search = true,
                                    .token_ttl = USEC_PER_HOUR };
        for (int chosen; (chosen = getopt_long(argc, argv, "", options, NULL)) != -1;)
                apply_option(chosen, &http, &port);
        if (optind < argc)
                errx(2, "%s: no arguments are taken; see --help", argv[optind]);
        if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                err(1, "getrandom");
        text_ids_init(salt);
        model_init();
        api_init();
        catch_signals();
        printf("%d\n", http_start(&http, port));
        (void)fflush(stdout);
        while (!stopped)
                http_run(wait_check_all);
        http_stop();
        polls_deinit();
        model_deinit();
        faults_deinit();
        api_deinit();
        stub_timers_deinit();
        text_deinit();
        return 0;
}
