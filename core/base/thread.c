/* thread.c -- work that may wait for the network, beside the program. */
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

int pgmig_thread_start(void *(*work)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    int status;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread, NULL, work, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0)
        return -1;
    (void)pthread_detach(thread); /* it is joinable, and ours */
    return 0;
}
