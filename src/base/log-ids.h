#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The decisions that a daemon logs, each with the MESSAGE_ID under which journalctl finds it
 * (journalctl MESSAGE_ID=…) and explains it (journalctl -x): systemd/yardmaster.catalog has a text
 * for each. An id keeps its meaning for ever; one that is not logged any more is not used again. */

#define LOG_ID_STARTED             "fd6246b9f00346eebf09d597aeb2fcb4"
#define LOG_ID_CANNOT_START        "958f7c6ef86a4722a25fbff162eb64fb"
#define LOG_ID_CONFIG_INVALID      "a5c8fd9322e74ca993b0b59dbf626ebd"
#define LOG_ID_CONFIG_RELOADED     "e892c63e867c4baa9978236b18d38fc4"
#define LOG_ID_CONFIG_REJECTED     "f57e586119e24fe5a36f31e77122e467"
#define LOG_ID_DRAIN_BEGUN         "d8409ce97f9c4adba4359b786f5c0945"
#define LOG_ID_DRAIN_CUT_SHORT     "4b3f6107a46e40d3bd4f4f722f7d218c"
#define LOG_ID_DRAIN_ENDED         "f1131e5eed714327b3ac1a2591aaa8a4"
#define LOG_ID_SUPERVISION_STALLED "a1f10ffbba914c0aa7bfa073f26ffabc"

#define LOG_ID_POOL_FAILED    "6c3ac9b2837d4770943dcb427511665f"
#define LOG_ID_POOL_RECOVERED "5fe7a3b97c2b4095880da5514f680f4e"
#define LOG_ID_POOL_PAUSED    "29cb356647f94f1abbfc14bbdf47ec10"
#define LOG_ID_POOL_RESUMED   "70a800f8dc8b4452856435437f53b475"
#define LOG_ID_ERROR_BACKOFF  "e2c03c45a0974633960d03cc827ad97f"
#define LOG_ID_QUEUE_FULL     "2826161b5b6c4cdebc54698eb7103349"
#define LOG_ID_TASK_FAILED    "13395e5d79084347bdc78d9196c17367"
#define LOG_ID_DEAD_LETTER    "69f5ed1b73394e32923a9af8d172a9d4"

#define LOG_ID_WORKER_CRASHED      "eb6240983e134b1b95ccb071c9088022"
#define LOG_ID_WORKER_CANNOT_START "b1f82a59d5344ddaaf9189decd160ec3"
#define LOG_ID_WORKER_WATCHDOG     "121b508f63fc445f8c5edca1af279f5d"
#define LOG_ID_WORKER_TIMEOUT      "28decf5086fd45fab70db3cf90ca657a"
#define LOG_ID_WORKER_MEMORY       "3c533eda39514372b23a067d79abb21b"
#define LOG_ID_WORKER_OOM          "c4f30f6769ef46979cc1e00e6b729e11"
#define LOG_ID_WORKER_PROCESSES    "cf97627a5af5431cb3439e3c5ebe10e9"
#define LOG_ID_WORKER_PROTOCOL     "4a5a6523f0ae42df8fc4363d652d2848"
#define LOG_ID_WORKER_LOG_LOST     "b689cb918912404896a29df73b815e39"
#define LOG_ID_LEFTOVER_KILLED     "214457ed54414d53ac4c482a2db963b6"

#define LOG_ID_SERVER_AWAY           "2b52191b38054fe39a661312761ddae9"
#define LOG_ID_SERVER_UP             "707aaa5a1bac46caac9a04895d65199c"
#define LOG_ID_SERVER_WITHOUT_TOKENS "348ba38dfa3340b09517a207235f44c8"
#define LOG_ID_OUTBOX_LEFT           "76c9a75a4834432e9b4f24e5524cfb08"
