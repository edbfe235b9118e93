/*
** dir.c -- directories.
**
** Lists names and nothing else: which of them are migrations, and of what
** order, is decided in Lua (files/list), and whether one can be read shows when
** it is. Symbolic links to directories are not followed, so that no loop can be
** entered.
*/
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/base.h"

/* strcmp compares bytes, whatever the locale: all machines list alike. */
static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

#define DEPTH_MAX 8 /* folders below folders: each holds a descriptor */

/* A folder while it is listed. */
struct listing {
    struct pgmig_dir *dir;
    const char *path;    /* of the topmost folder, for messages */
    struct pgmig_buf at; /* path of the entry, from the topmost folder */
    bool deep;
    struct pgmig_error *err;
};

static int list(struct listing *l, int fd, int depth);

static int keep(struct listing *l)
{
    struct pgmig_dir *dir = l->dir;
    char **names = pgmig_grow(dir->names, dir->count, sizeof *names);

    if (names == NULL)
        return pgmig_error_memory(l->err);
    dir->names = names;
    names[dir->count] = pgmig_strndup(l->at.data, l->at.len);
    if (names[dir->count] == NULL)
        return pgmig_error_memory(l->err);
    dir->count++;
    return 0;
}

/* Opened by way of its parent's descriptor: should somebody rename a folder
** above it meanwhile, this is still the entry that was looked at. */
static int descend(struct listing *l, int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return pgmig_error_file(l->err, "open the directory", l->at.data);
    pgmig_buf_adds(&l->at, "/");
    return list(l, fd, depth + 1);
}

static bool is_link_to_dir(int fd, const char *name, struct stat *st)
{
    return S_ISLNK(st->st_mode) && fstatat(fd, name, st, 0) == 0 &&
           S_ISDIR(st->st_mode);
}

/* A folder that is not entered, such as one that a symbolic link leads to, is
** kept with a slash behind its name. So is what cannot be read (a dangling
** link, a FIFO), as a file: reading it says what is wrong. */
static int take(struct listing *l, int fd, const struct dirent *entry,
                int depth)
{
    const char *name = entry->d_name;
    struct stat st;

    pgmig_buf_adds(&l->at, name);
    if (l->at.failed)
        return pgmig_error_memory(l->err);
    if (entry->d_type == DT_REG) /* most are, and need no look */
        return keep(l);
    /* not every file system says a type: for DT_UNKNOWN, too, this tells */
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0; /* it has gone meanwhile */
    if (S_ISDIR(st.st_mode) && l->deep && depth < DEPTH_MAX)
        return descend(l, fd, name, depth);
    if (S_ISDIR(st.st_mode) || is_link_to_dir(fd, name, &st))
        pgmig_buf_adds(&l->at, "/");
    return l->at.failed ? pgmig_error_memory(l->err) : keep(l);
}

/* List the folder that fd is open on, and close it. */
static int list(struct listing *l, int fd, int depth)
{
    size_t prefix = l->at.len;
    DIR *stream = fdopendir(fd);
    struct dirent *entry;
    int status = 0;

    if (stream == NULL) {
        close(fd);
        return pgmig_error_file(l->err, "list the directory", l->path);
    }
    /* readdir returns NULL at the end and for an error alike: errno tells
    ** which, if it was 0 before the call */
    for (errno = 0; status == 0 && (entry = readdir(stream)) != NULL;
         errno = 0) {
        l->at.len = prefix;
        if (entry->d_name[0] != '.')
            status = take(l, fd, entry, depth);
    }
    if (status == 0 && errno != 0)
        status = pgmig_error_file(l->err, "list the directory", l->path);
    closedir(stream);
    return status;
}

static int open_dir(const char *path, struct pgmig_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    pgmig_error_file(err, "open the migrations directory", path);
    return pgmig_error_hint(err, "create it, or name another directory (--dir, "
                                 "or the second argument of migrator)");
}

int pgmig_dir_check(const char *path, struct pgmig_error *err)
{
    int fd = open_dir(path, err);

    return fd < 0 ? -1 : close(fd);
}

/* Sorted at the end: readdir gives no order at all. */
int pgmig_dir_read(struct pgmig_dir *dir, const char *path, bool deep,
                   struct pgmig_error *err)
{
    struct listing l = {.dir = dir, .path = path, .deep = deep, .err = err};
    int fd = open_dir(path, err);
    int status;

    *dir = (struct pgmig_dir){0};
    if (fd < 0)
        return -1;
    status = list(&l, fd, 0);
    pgmig_buf_free(&l.at);
    if (status != 0) {
        pgmig_dir_free(dir);
        return -1;
    }
    if (dir->count > 1)
        qsort(dir->names, dir->count, sizeof *dir->names, by_bytes);
    return 0;
}

void pgmig_dir_free(struct pgmig_dir *dir)
{
    for (size_t i = 0; i < dir->count; i++)
        free(dir->names[i]);
    free(dir->names);
    *dir = (struct pgmig_dir){0};
}
