/*
** thread.c -- work that may wait for the network, beside the program.
**
** Looking up a name (getaddrinfo) and asking a server to stop (PQcancel) wait
** for as long as the network likes. In a thread of their own they keep nobody
** waiting; they are not joined, since the program may want to end before they
** do.
*/
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

int pgmig_thread_start(void *(*work)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    int status;

    /* a thread begins with the mask of the one that starts it: blocked before
    ** and restored after, no signal can slip into it in between */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread, NULL, work, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0)
        return -1;
    (void)pthread_detach(thread); /* it is joinable, and ours */
    return 0;
}
