/* thread.h -- work beside the program. */
#ifndef PGMIG_THREAD_H
#define PGMIG_THREAD_H

#include <pthread.h>

#include "base/base.h"

/* Run `work` in a thread that nobody joins and that no signal is delivered to:
** those are for the threads of the program. -1 when there is none to be had. */
PGMIG_NODISCARD int pgmig_thread_start(void *(*work)(void *), void *arg);

/* Threads that work beside the caller, and that it waits for. */
#define PGMIG_TEAM 3 /* more would wait for the same disk */

struct pgmig_team {
    pthread_t threads[PGMIG_TEAM];
    size_t count;
};

/* Run `work` in up to `most` threads: as many as there are processors beside
** the caller's, maybe none. What `arg` leads to has to say whose each part of
** the work is. Wait for them in any case. */
void pgmig_team_start(struct pgmig_team *team, void *(*work)(void *), void *arg,
                      size_t most);

void pgmig_team_wait(struct pgmig_team *team);

#endif
