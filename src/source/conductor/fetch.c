/* SPDX-License-Identifier: Apache-2.0 */

#include "source/conductor/internal.h"

void fetch_begin(Conductor *conductor, FetchMark *mark)
{
        mark->number = ++conductor->n_fetches;
        list_append(&conductor->fetches, &mark->link);
}

void fetch_end(FetchMark *mark)
{
        list_remove(&mark->link);
}

bool fetch_is_under_way(const Conductor *conductor, uint64_t number)
{
        if (list_is_empty(&conductor->fetches))
                return false;
        return LIST_FIRST(&conductor->fetches, FetchMark, link)->number <= number;
}
