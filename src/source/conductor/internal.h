#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The Conductor source's own structs, shared by the files of this folder. Who does what:
 *
 *   conductor.c   life, subscriptions, status
 *   poll.c        when and how to ask for tasks; credit
 *   take.c        an answer with tasks → ConductorTask, HELD in the outbox → the pool
 *   result.c      Outcome → body of the update (pure)
 *   settle.c      settle, release: what the pool says → WAITING in the outbox
 *   send.c        WAITING → the server: update, update-v2, log lines; again until accepted
 *   verdict.c     what its answers mean for a message
 *   upload.c      outputs over its limit
 *   clock.c       one timer for all tasks in hand; lease.c extends their leases
 *   fetch.c       which calls that may bring tasks are under way
 *   view.c        what the server says about a task (pure)
 *   watch.c       asks which of the tasks that run longer are still wanted
 *   look.c        reads single tasks as the server has them, not many a second
 *   sweep.c       finds tasks that were handed out in an answer that was never read
 *   stray.c       hands them back
 *   recover.c     tasks that a dead predecessor had in hand
 *   payload.c     inputs and outputs in external storage
 *   transfer.c    the way of one of them
 *   depth.c       how many tasks wait at the server
 *   progress.c    lines of a task's log about its progress
 *   check.c       `yardctl source check`
 *   finding.c     what it says of definitions (pure)
 *   server.c      whether the server is up
 *   call.c        a request to it
 *   answer.c      what an answer means (pure)
 *   token.c       authorization
 *
 * A task's way: a poll's or update-v2's answer (conductor_take) → HELD → pool → settle → WAITING →
 * on_ready → sent → accepted → on_settled, gone. */

#include "base/json.h"
#include "base/list.h"
#include "base/table.h"
#include "source/conductor/server.h"
#include "source/conductor/conductor.h"
#include "source/source-class.h"

/* What an outbox entry's body is: the request it is sent with. */
typedef enum MessageKind {
        MESSAGE_NONE,
        MESSAGE_RESULT,    /* POST /tasks/update-v2 or /tasks: what a handler said */
        MESSAGE_PUT_BACK,  /* the same with IN_PROGRESS said by a handler: not sent twice unread */
        MESSAGE_HAND_BACK, /* POST /tasks, IN_PROGRESS of our own: not sent twice unread */
        MESSAGE_LOG,       /* POST /tasks/ID/log: lines beyond those that an update takes */
        _MESSAGE_MAX,
} MessageKind;

typedef struct Conductor Conductor;
typedef struct ConductorSubscription ConductorSubscription;
typedef struct ConductorTask ConductorTask;
typedef struct Poll Poll;
typedef struct PayloadUpload PayloadUpload;

/* A WAITING entry on its way to the server; send.c's. Its entry's userdata from
 * outbox_put on. It lies in the ConductorTask, or, for a predecessor's entry and for log lines, by
 * itself. */
typedef struct SendItem {
        ListLink link; /* of the sender's queue, while it waits for a call */
        Conductor *conductor;
        OutboxEntry *entry;
        ConductorTask *holding;         /* NULL: by itself */
        ConductorSubscription *waiting; /* counted, while a drain waits for it: on its first way */
        Slice body;                     /* what is sent: the outbox's, or changed */
        char *changed;                  /* NULL: as it is in the outbox */
        size_t changed_size;
        PayloadUpload *upload;      /* under way */
        unsigned n_paused;          /* pauses of its own after a try */
        unsigned n_doubtful;        /* tries answered as a fault of ours, or of its database */
        uint64_t n_accepted_before; /* the sender's, at the first doubtful try */
        bool tried;                 /* was sent before */
        bool uncertain;             /* the server may have acted on an earlier try */
        bool read;                  /* was read after that: still ours */
        bool plain;                 /* update-v2 was 404 */
        bool no_path;               /* and the server said that it knows no such call */
        bool stored;                /* accepted; its workflow is still to be decided */
} SendItem;

/* A call under way that may bring tasks (a poll, an update-v2), in the order of their starts. A
 * task that the server calls ours and that we do not know of is stranded only if no call that was
 * under way when the server said so can still bring it. */
typedef struct FetchMark {
        ListLink link;
        uint64_t number;
} FetchMark;

/* A task in our hands: from the answer that brought it until the server has accepted what became
 * of it. Slices point into task->json. */
struct ConductorTask {
        TableLink by_id;                     /* of conductor->tasks, while the pool has it */
        ListLink link;                       /* of subscription->tasks, while the pool has it;
                                              * of send->later afterwards, without memory */
        ConductorSubscription *subscription; /* counted */
        Task *task;                          /* counted */
        OutboxEntry *entry;
        bool settled;  /* the pool has said what became of it */
        bool reserved; /* a place of the credit is kept for what its update-v2 may bring */
        bool released; /* the pool gave it back, and is told when it is */
        SendItem item;
        Outcome *outcome; /* of a settlement that waits for memory; NULL: a hand-back does */
        Slice workflow_id;
        Slice output;                 /* outputData as it came, raw; SLICE_NULL: none */
        int64_t response_timeout_sec; /* 0: none */
        int64_t poll_timeout_sec;     /* of its definition; 0: none */
        usec_t taken_usec;            /* monotonic */
        usec_t lease_usec;            /* when its lease is extended next; USEC_INFINITY: never */
        usec_t watch_usec;            /* when the server is asked about it next */
        ListLink lease_link;          /* of those whose lease is to be extended now */
        ListLink watch_link;          /* of those that the server is to be asked about now */
        bool asked;                   /* its answer is awaited */
        bool extending;               /* an extension is under way */
        usec_t logged_usec;           /* when its last line of progress was sent; 0: none yet */
        TaskStatus status;            /* as settled */
        struct PayloadFetch *fetch; /* its input is on its way, and a place of the credit is kept */
};

struct ConductorSubscription {
        Subscription subscription;
        Conductor *conductor;
        ListLink link;  /* of conductor->subscriptions, until it is freed */
        unsigned n_ref; /* itself, each ConductorTask, each poll under way */
        SubscriptionCallbacks callbacks;
        void *userdata;
        char *pool;
        char **types;
        size_t n_types;
        char *domain; /* NULL: none */
        char *worker_id;
        unsigned batch;
        usec_t poll_timeout_usec;
        usec_t poll_interval_usec;

        unsigned credit;     /* as the pool said, less what it was given since */
        unsigned n_reserved; /* places of it kept by polls and update-v2 calls under way */
        bool unsubscribed;
        Poll **polls; /* one per type */
        size_t turn;  /* the type that is polled first when there is not credit for all */
        ListLink tasks;
        unsigned n_tasks;   /* in the pool's hands */
        unsigned n_unsent;  /* settled here, first try not over */
        usec_t unsent_usec; /* when that last changed for the better */
        SubscriptionStatus status;
        struct ConductorDepth *depth; /* NULL until someone looks */
        char *problem;
};

struct Conductor {
        Source source;
        sd_event *event;      /* counted */
        ConfigSource *config; /* own copy */
        char *host;           /* first part of the default worker id */
        char *instance;
        Server *server;
        Outbox *outbox;
        ListLink subscriptions;
        Table tasks;        /* ConductorTask by task_id_hash of its id */
        bool has_update_v2; /* until the server says that it has not */

        sd_event_source *poll_timer;
        usec_t poll_wake_usec; /* what it is set to */

        struct ConductorSend *send;   /* send.c's */
        struct ConductorClock *clock; /* clock.c's */
        struct ConductorWatch *watch;
        struct ConductorLooks *looks;
        struct ConductorProgress *progress;
        struct ConductorSweep *sweep;
        ListLink transfers; /* Transfer that waits for its turn */
        unsigned n_transfers;
        ListLink checks;  /* ConductorCheck */
        ListLink fetches; /* FetchMark */
        uint64_t n_fetches;
        uint64_t n_resent, n_settled;
        Buffer scratch; /* of a call; cleared before use */
        char problem[512];
};

static inline Conductor *conductor_of(Source *source)
{
        return container_of(source, Conductor, source);
}

/* conductor.c */

ConductorSubscription *conductor_subscription_ref(ConductorSubscription *subscription);
ConductorSubscription *conductor_subscription_unref(ConductorSubscription *subscription);
ConductorTask *conductor_find_task(const Conductor *conductor, Slice id);
/* Takes it from the tables; its entry is not touched. The memory goes with conductor_task_free. */
void conductor_task_unlink(ConductorTask *holding);
ConductorTask *conductor_task_free(ConductorTask *holding);

/* poll.c */

int poll_timer_new(Conductor *conductor);
int poll_new(Poll **ret, ConductorSubscription *subscription, const char *type);
Poll *poll_free(Poll *poll);
bool poll_is_running(const Poll *poll);
/* Cuts it off: only when all ends. */
void poll_abort(Poll *poll);
/* Starts what polls are due; called whenever credit, server or outbox may allow more. */
void subscription_poll(ConductorSubscription *subscription);
void conductor_poll_all(Conductor *conductor);
/* An update-v2 keeps a place for the task that its answer may bring: from when its result is
 * settled (reserve; false: nothing is to be fetched now) until its answer is there (unreserve, and
 * only then conductor_take). The pool's new credit comes in between, so whether there is room for
 * what was reserved shows when the update is sent (has_room; if not: unreserve, and a plain
 * update). */
/* Of its credit, what nothing under way keeps. */
unsigned subscription_free_places(const ConductorSubscription *subscription);
bool subscription_reserve(ConductorSubscription *subscription);
bool subscription_has_room(const ConductorSubscription *subscription);
void subscription_unreserve(ConductorSubscription *subscription, unsigned n);
/* A poll is under way: until when its answer is waited for; 0: none. */
usec_t subscription_busy_until_usec(const ConductorSubscription *subscription);

/* take.c */

/* body: a task object, or an array of them, as the server sent it. Each is held, and handed to the
 * pool or, where that has no credit for it, handed back. -EBADMSG: it is not that; then nothing is
 * known of what it may have brought (conductor_suspect). */
int conductor_take(ConductorSubscription *subscription, Slice body, unsigned *ret_n);
/* A holding whose input has been fetched: to the pool, or back to the server. */
void conductor_deliver(ConductorTask *holding);
/* Another text for the same task. */
int conductor_task_set_json(ConductorTask *holding, Slice json);

/* settle.c */

void conductor_settle(Subscription *subscription, Task *task, Outcome *outcome,
                      const Settlement *settlement);
/* Also of what no pool has (any more). Without memory it is tried again each second. */
void conductor_release(Subscription *subscription, Task *task, const char *reason);

/* result.c: pure */

/* Members of an outbox head: what is needed to send and to verify without the task object. */
typedef struct MessageHead {
        Slice workflow_id;
        Slice type;
        Slice domain; /* SLICE_NULL: none */
        Slice worker_id;
        int64_t poll_count;
} MessageHead;
int message_head_append(Buffer *buffer, const MessageHead *head);
int message_head_parse(Slice text, MessageHead *ret); /* slices point into text */

/* Most log lines that one update stores (measured: the rest is dropped silently). */
#define CONDUCTOR_LOGS_MAX 10
/* Log lines beyond those, as text: what does not fit is counted in a last line. The server takes
 * any size, people do not. */
#define CONDUCTOR_LOG_TEXT_MAX ((size_t)1024 * 1024)
#define CONDUCTOR_LOG_LAST_MAX 64
/* Reason of a task: the server cuts there. In UTF-16 units, as it counts. */
#define CONDUCTOR_REASON_MAX 500
/* Least delay that is asked for, in seconds: with 0 the server offers the task again before it has
 * stored that it is not in progress any more; a negative one makes it vanish (measured). */
#define CONDUCTOR_CALLBACK_MIN_SEC 1
/* Largest body of an update: a result and the lines that its handler logged before, with room for
 * the envelope. */
#define CONDUCTOR_BODY_MAX (2 * TASK_MESSAGE_MAX + 65536)

/* The body of an update. Log lines beyond CONDUCTOR_LOGS_MAX are appended to *rest_logs as one
 * text, each on its line. Both are as before on failure. */
int result_append(Buffer *buffer, const MessageHead *head, const char *task_id,
                  const Outcome *outcome, Buffer *rest_logs);
/* callback_sec: hand_back_delay_sec's; output: raw object or SLICE_NULL. */
int hand_back_append(Buffer *buffer, const MessageHead *head, const char *task_id, Slice output,
                     int64_t callback_sec);

/* What such a body says otherwise when it is sent; what is 0 or NULL stays. */
typedef struct ResultChange {
        const char *output_path; /* in external storage, instead of the output */
        const char *error;       /* FAILED_WITH_TERMINAL_ERROR for this reason, without output */
        int64_t callback_sec;
} ResultChange;
/* -EBADMSG: body is none of the above. */
int result_append_changed(Buffer *buffer, Slice body, const ResultChange *change);

/* The delay that a hand-back must ask for, in seconds: 1, or, where the definition has a poll
 * time-out that is over already, as much as keeps it from firing in that very request. */
int64_t hand_back_delay_sec(int64_t now_msec, int64_t scheduled_msec, int64_t poll_timeout_sec);
/* For the way to the server and two clocks that differ. */
#define HAND_BACK_MARGIN_MSEC 2000

/* send.c */

int send_new(Conductor *conductor);
void send_free(Conductor *conductor);
void send_on_ready(Outbox *outbox, OutboxEntry *entry, Slice body, void *userdata);
/* Too much waits for the server: nothing more is fetched. */
bool send_is_full(const Conductor *conductor);
/* Results are on their first way, and first ways come to an end. */
bool send_is_worth_waiting(const ConductorSubscription *subscription);
void send_on_gone(Outbox *outbox, OutboxEntry *entry, void *userdata);
/* The server is up again. */
void send_resume(Conductor *conductor);
usec_t send_busy_until_usec(const Conductor *conductor);

/* view.c: pure */

/* Members of a task object or of a task summary; SLICE_NULL or 0: not there. Texts are as in the
 * JSON, without quotes: to be compared by json_key_is. */
typedef struct TaskView {
        Slice id;
        Slice status;
        Slice type;
        Slice workflow_id;
        Slice worker_id;
        Slice domain;
        Slice output; /* raw */
        int64_t poll_count;
        int64_t scheduled_msec;
        int64_t poll_timeout_sec; /* of its definition */
} TaskView;
/* object: text that json_check accepted. -EBADMSG: it is no task. */
int task_view_parse(Slice object, TaskView *ret);
bool task_view_is_held_by(const TaskView *view, const char *worker_id);
/* Of a task's members, raw; 0: there is none, or it says something else. */
int64_t task_number(Slice value);
int64_t task_poll_timeout_sec(Slice definition);

/* clock.c */

/* With watch and progress; free: NULL parts are fine. */
int clock_new(Conductor *conductor);
void clock_free(Conductor *conductor);
/* A task came into the pool's hands: its lease and watch times are set. */
void clock_add(ConductorTask *holding);
/* It has left them: conductor_task_unlink calls it. */
void clock_remove(ConductorTask *holding);
/* Its Task is about to be another: what was asked about this one is not answered any more. */
void clock_renew(ConductorTask *holding);
/* Looks at lease_usec and watch_usec of the tasks again by then, if not before. */
void clock_wake(Conductor *conductor, usec_t at_usec);
/* The server is up again. */
void clock_resume(Conductor *conductor);
/* How often the clock looks at the tasks in hand at most, so that much of what is due goes at once.
 */
#define CLOCK_TICK_USEC (200 * USEC_PER_MSEC)

/* watch.c; the clock calls it. */

/* Asks about the tasks whose watch_usec has come, and tells the pool of those that are not wanted.
 */
int watch_new(Conductor *conductor);
void watch_free(Conductor *conductor);
void watch_run(Conductor *conductor, usec_t now_usec);
int watch_query_append(Buffer *buffer, Task *const *tasks, size_t n); /* pure */
/* A cancelled task is noticed within this. */
usec_t watch_delay_usec(const Conductor *conductor);
/* The server's index has turned out to know nothing of tasks, or there is none. */
bool watch_is_blind(const Conductor *conductor);

/* sweep.c */

int sweep_new(Conductor *conductor);
void sweep_free(Conductor *conductor);
/* The server is up again. */
void sweep_resume(Conductor *conductor);
/* Why such tasks are not found; NULL: they are. */
const char *sweep_problem(const Conductor *conductor);
/* Does what is due. */
void sweep_run(Conductor *conductor);
/* Tasks may have been handed to us that we do not know of: looks at once, after 5 s, after 30 s. */
void conductor_suspect(ConductorSubscription *subscription);
/* Pure: the times of the next looks, less those that stand already; the query. */
void sweep_plan(usec_t due_usec[], size_t *n_due, size_t max, usec_t now_usec);
int sweep_query_append(Buffer *buffer, char *const *types);

/* look.c */

/* GET /tasks/ID. The answer comes once, later: VERDICT_DONE with what the server says, else view is
 * NULL (AWAY, too, when all ends). view is borrowed. */
typedef void (*look_done_t)(void *userdata, Verdict verdict, const TaskView *view);
int look_at(Conductor *conductor, const char *id, look_done_t done, void *userdata);
int look_new(Conductor *conductor);
void look_free(Conductor *conductor);
/* Starts what may start now. */
void look_run(Conductor *conductor);
/* So many a second at one server. */
#define LOOKS_PER_SEC 20

/* check.c */

/* The source ends: they are answered. */
void conductor_end_checks(Conductor *conductor);

/* fetch.c */

/* Around every call that may bring tasks: from its start until what it brought has been taken. */
void fetch_begin(Conductor *conductor, FetchMark *mark);
void fetch_end(FetchMark *mark);
/* Whether a call that was begun up to this number (conductor->n_fetches of then) is under way. */
bool fetch_is_under_way(const Conductor *conductor, uint64_t number);

/* recover.c */

/* At start: every HELD entry of a predecessor is handed back, or failed as poison. */
void conductor_recover(Conductor *conductor);

/* progress.c */

/* Where the source is told to: a throttled line of the task's log. */
void progress_report(ConductorTask *holding, Slice progress);
void progress_free(Conductor *conductor);
/* "40% stage: message"; pure. */
int progress_line_append(Buffer *line, Slice progress);

/* depth.c */

/* Someone looks at the subscription's status: its n_queued is kept up to date for a while. */
void depth_want(ConductorSubscription *subscription);
void depth_free(ConductorSubscription *subscription);

/* payload.c */

/* The task's input lies in external storage: fetches it, and then hands over the task, or hands it
 * back, or fails it. A place of the credit is kept for it meanwhile. */
void payload_fetch_input(ConductorTask *holding);
/* The holding leaves our hands. */
void payload_fetch_abandon(ConductorTask *holding);

/* An output that is too big to send inline: uploads it; done gets the path, or an error text.
 * error: 0; -EAGAIN: nothing answers, later; other: it will not be taken. The upload is gone then.
 */
typedef void (*payload_done_t)(int error, const char *path_or_text, void *userdata);
int payload_upload_output(Conductor *conductor, const MessageHead *head, const char *task_id,
                          Slice output, payload_done_t done, void *userdata, PayloadUpload **ret);
void payload_upload_abandon(PayloadUpload *upload);

/* object, a task, with input in the place of its inputData, and without the path to where that came
 * from; all else byte for byte. Pure. */
int payload_splice_input(Buffer *buffer, Slice object, Slice input);
