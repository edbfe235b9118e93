/*
** thread.c -- work beside the program: what may wait for the network, and what
** several processors can share.
**
** Looking up a name (getaddrinfo) and asking a server to stop (PQcancel) wait
** for as long as the network likes. In a thread of their own they keep nobody
** waiting; they are not joined, since the program may want to end before they
** do.
*/
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

static int create(pthread_t *thread, void *(*work)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    int status;

    /* a thread begins with the mask of the one that starts it: blocked before
    ** and restored after, no signal can slip into it in between */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(thread, NULL, work, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0 ? 0 : -1;
}

int pgmig_thread_start(void *(*work)(void *), void *arg)
{
    pthread_t thread;

    if (create(&thread, work, arg) != 0)
        return -1;
    (void)pthread_detach(thread); /* it is joinable, and ours */
    return 0;
}

/* The processors that this program may use. */
static size_t processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set)
                                                       : 1;
}

void pgmig_team_start(struct pgmig_team *team, void *(*work)(void *), void *arg,
                      size_t most)
{
    size_t wanted = processors() - 1; /* the caller works, too */

    if (wanted > most)
        wanted = most;
    if (wanted > PGMIG_TEAM)
        wanted = PGMIG_TEAM;
    team->count = 0;
    while (team->count < wanted &&
           create(&team->threads[team->count], work, arg) == 0)
        team->count++;
}

void pgmig_team_wait(struct pgmig_team *team)
{
    while (team->count > 0)
        (void)pthread_join(team->threads[--team->count], NULL);
}
