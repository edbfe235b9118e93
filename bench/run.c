/*
** run.c -- runs a command and measures it.
**
**     run LIMIT LOG RESULT COMMAND [ARGUMENT]...
**
** The command's process group is killed after LIMIT seconds, or when it has
** printed more than PRINT_LIMIT. What it prints goes straight into LOG, since
** node loses what it has not yet written into a pipe at its exit; then LOG is
** cut to its last LOG_MAX bytes. RESULT is written at the end, whole or not at
** all: one line with
**   seconds from fork to exit
**   seconds of processor time, user and system, of the process and those of
**     its children that it has waited for
**   peak resident memory of the largest of these processes, in kB
**   exit status; 128 + N after signal N, 124 after LIMIT or PRINT_LIMIT, 127
**     if it was not started
*/
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX 65536
#define PRINT_LIMIT (1L << 30) /* bytes */
#define TICK_MS 500            /* between looks at the size of LOG */
#define STOPPED 124

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void become(char **command, int output)
{
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it is out of reach of a Ctrl-C */
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

static off_t size_of(int file)
{
    struct stat st;

    return fstat(file, &st) == 0 ? st.st_size : 0;
}

static void keep_end_of_log(int log)
{
    static char tail[LOG_MAX];
    off_t size = size_of(log);
    ssize_t n;

    if (size <= LOG_MAX)
        return;
    n = pread(log, tail, LOG_MAX, size - LOG_MAX);
    if (n < 0 || ftruncate(log, 0) != 0 || write(log, tail, (size_t)n) != n)
        fail("log");
}

/* Until the process has ended: true, or a limit is over: false. */
static bool watch(int process, int log, double limit)
{
    struct pollfd set = {.fd = process, .events = POLLIN};
    double end = now() + limit;

    while (now() < end && size_of(log) < PRINT_LIMIT) {
        double left = (end - now()) * 1000;

        if (poll(&set, 1, left < TICK_MS ? (int)left + 1 : TICK_MS) < 0 &&
            errno != EINTR)
            fail("poll");
        if (set.revents != 0)
            return true;
    }
    return false;
}

static int status_of(int status, bool ended)
{
    if (!ended)
        return STOPPED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void write_result(const char *path, double wall, int status,
                         const struct rusage *used)
{
    char draft[4096];
    FILE *file;

    snprintf(draft, sizeof draft, "%s.draft", path);
    file = fopen(draft, "w");
    if (file == NULL)
        fail(draft);
    fprintf(file, "%.6f %.6f %.6f %ld %d\n", wall, seconds(used->ru_utime),
            seconds(used->ru_stime), used->ru_maxrss, status);
    if (fclose(file) != 0 || rename(draft, path) != 0)
        fail(path);
}

static void measure(char **command, double limit, int log, const char *result)
{
    struct rusage used;
    double start, wall;
    int process, status;
    bool ended;
    pid_t pid;

    start = now();
    pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        become(command, log);
    process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0)
        fail("pidfd_open");
    ended = watch(process, log, limit);
    wall = now() - start;
    if (!ended)
        kill(-pid, SIGKILL);
    if (wait4(pid, &status, 0, &used) != pid)
        fail("wait4");
    keep_end_of_log(log);
    write_result(result, wall, status_of(status, ended), &used);
}

int main(int argc, char **argv)
{
    int log;

    if (argc < 5) {
        fprintf(stderr, "run LIMIT LOG RESULT COMMAND [ARGUMENT]...\n");
        return 2;
    }
    log =
        open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0)
        fail(argv[2]);
    measure(argv + 4, strtod(argv[1], NULL), log, argv[3]);
    return 0;
}
