#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* GET /stub/wait: an answer when the tasks have come so far, for a test that must not sleep. */

#include "stub/http.h"

void wait_start(Connection *connection, const Request *request);
/* Answers those whose condition holds; to be called after each pass. */
void wait_check_all(void);
void wait_abandon(Wait *wait);
