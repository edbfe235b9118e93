/*
** unix_socket.h -- what the proxies of specs and benchmark share.
*/
#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    return sa;
}

/* A listening socket. The path is there only when it listens; what had it
   before is gone. */
static inline int listen_on(const char *path, int backlog)
{
    struct sockaddr_un sa;
    char draft[sizeof sa.sun_path];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(draft, sizeof draft, "%s.new", path);
    sa = unix_address(draft);
    unlink(draft);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
        listen(fd, backlog) != 0 || rename(draft, path) != 0)
        fail(path);
    return fd;
}

/* A non-blocking connection, or -1. */
static inline int connect_to(const char *path)
{
    struct sockaddr_un sa = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Accepts a client, and connects to the server for it: both ends, without
   blocking. False: neither. */
static inline bool accept_pair(int listener, const char *server, int fd[2])
{
    fd[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd[0] < 0)
        return false;
    fd[1] = connect_to(server);
    if (fd[1] >= 0)
        return true;
    close(fd[0]);
    return false;
}

#endif
