/* thread.h -- work that may wait for the network, beside the program. */
#ifndef PGMIG_THREAD_H
#define PGMIG_THREAD_H

#include "base/base.h"

/* Run `work` in a thread that nobody joins and that no signal is delivered to:
** those are for the threads of the program. -1 when there is none to be had. */
PGMIG_NODISCARD int pgmig_thread_start(void *(*work)(void *), void *arg);

#endif
