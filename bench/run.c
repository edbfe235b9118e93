/*
** run.c -- runs a command and measures it.
**
**     run LIMIT LOG RESULT COMMAND [ARGUMENT]...
**
** The command's process group is killed after LIMIT seconds. What it prints
** goes to LOG, the first LOG_MAX bytes of it. RESULT is written at the end,
** whole or not at all: one line with
**   seconds from fork to exit
**   seconds of processor time, user and system, of the process and those of
**     its children that it has waited for
**   peak resident memory of the largest of these processes, in kB
**   exit status; 128 + N after signal N, 124 after LIMIT, 127 if not started
*/
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX 65536
#define TIMED_OUT 124

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
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

/* Moves what is there; false at the end. */
static bool copy_output(int from, FILE *log)
{
    static char chunk[65536];
    static size_t kept;
    ssize_t n = read(from, chunk, sizeof chunk);
    size_t room = LOG_MAX - kept;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (room > 0 && n > 0)
        kept += fwrite(chunk, 1, (size_t)n < room ? (size_t)n : room, log);
    return n > 0;
}

/* Until the process has ended: true, or the limit is over: false. */
static bool watch(int process, int output, FILE *log, double limit)
{
    struct pollfd set[2] = {{.fd = process, .events = POLLIN},
                            {.fd = output, .events = POLLIN}};
    double end = now() + limit;

    while (now() < end) {
        if (poll(set, 2, (int)((end - now()) * 1000) + 1) < 0 && errno != EINTR)
            fail("poll");
        if (set[1].revents != 0 && !copy_output(output, log))
            set[1].fd = -1;
        if (set[0].revents != 0)
            return true;
    }
    return false;
}

static int status_of(int status, bool in_time)
{
    if (!in_time)
        return TIMED_OUT;
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

/* Runs the command; the result is written. */
static void measure(char **command, double limit, FILE *log, const char *path)
{
    struct rusage used;
    double start, wall;
    int ends[2], process, status;
    bool in_time;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe");
    start = now();
    pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        become(command, ends[1]);
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0)
        fail("pidfd_open");
    in_time = watch(process, ends[0], log, limit);
    wall = now() - start;
    if (!in_time)
        kill(-pid, SIGKILL);
    if (wait4(pid, &status, 0, &used) != pid)
        fail("wait4");
    while (poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 0) > 0 &&
           copy_output(ends[0], log))
        ;
    write_result(path, wall, status_of(status, in_time), &used);
}

int main(int argc, char **argv)
{
    FILE *log;

    if (argc < 5) {
        fprintf(stderr, "run LIMIT LOG RESULT COMMAND [ARGUMENT]...\n");
        return 2;
    }
    log = fopen(argv[2], "we");
    if (log == NULL)
        fail(argv[2]);
    measure(argv + 4, strtod(argv[1], NULL), log, argv[3]);
    return fclose(log) == 0 ? 0 : 1;
}
