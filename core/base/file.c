/*
** file.c -- files: only regular ones are read, which cannot keep anybody
** waiting.
**
** A FIFO, a terminal or a device in the place of a migration would block the
** program (within nginx a worker with all its connections), or never end. It is
** refused, and the message says what it is.
*/
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include <dirent.h>

/* ---- opening ------------------------------------------------------------- */

/* What a file is that is not regular; NULL for one that is. */
static const char *kind_of(const struct stat *st)
{
    if (S_ISREG(st->st_mode))
        return NULL;
    if (S_ISDIR(st->st_mode))
        return "a directory";
    if (S_ISFIFO(st->st_mode))
        return "a FIFO";
    if (S_ISSOCK(st->st_mode))
        return "a socket";
    /* /dev/null of Linux, by whatever name: a link to it is how people switch a
    ** file off */
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3)
               ? PGMIG_NULL_DEVICE
               : "a device";
}

static int refuse(const char *path, const char *kind, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_IO,
                    "cannot read the file: it is %s, not a regular file", kind);
    pgmig_error_field(&err->file, path);
    return -1;
}

/* Looked at before, since opening a device may do something; and after, since
** another file may have come into its place. */
int pgmig_file_open(const char *path, off_t *size, struct pgmig_error *err)
{
    struct stat st;
    const char *kind;
    int fd;

    if (stat(path, &st) != 0)
        return pgmig_error_file(err, "open the file", path);
    kind = kind_of(&st);
    if (kind != NULL)
        return refuse(path, kind, err);
    /* should a FIFO or a terminal have come in between: the one is opened
    ** without waiting for a writer, the other does not become ours */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return pgmig_error_file(err, "open the file", path);
    kind = fstat(fd, &st) == 0 ? kind_of(&st) : "unknown";
    *size = st.st_size;
    if (kind == NULL)
        return fd;
    close(fd);
    return refuse(path, kind, err);
}

const char *pgmig_file_kind(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? kind_of(&st) : NULL;
}

/* What cannot be looked at (EACCES) counts as there: opening it then says what
** is wrong, where "nothing is there" would hide it. */
bool pgmig_file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 || errno != ENOENT;
}

/* ---- writing ------------------------------------------------------------- */

/* All of it, however little one write(2) takes. errno says why not. */
static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* The folders of a file, where they are missing: one migration may be one. */
static void make_folders(const char *path)
{
    char *folder = pgmig_strndup(path, strlen(path));
    char *slash = folder;

    while (slash != NULL && (slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        (void)mkdir(folder, 0777); /* open() tells what is wrong */
        *slash = '/';
    }
    free(folder);
}

/* By device and inode: links, "." and ".." do not matter. */
bool pgmig_file_is_same(const char *path, const char *other)
{
    struct stat a;
    struct stat b;

    return stat(path, &a) == 0 && stat(other, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* O_EXCL: it never replaces a file, not even one that another process makes at
** this very moment. -1: errno says why. */
static int create(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

int pgmig_file_create(const char *path, const char *text, size_t len,
                      struct pgmig_error *err)
{
    int status;
    int fd;

    make_folders(path);
    fd = create(path);
    if (fd < 0)
        return pgmig_error_file(err, "create the file", path);
    status = write_all(fd, text, len);
    /* NFS and quotas may report only here that a write has failed */
    if (close(fd) != 0)
        status = -1;
    if (status != 0) {
        pgmig_error_file(err, "write the file", path);
        unlink(path); /* half a template would be refused later */
    }
    return status;
}

/* Write a new file that takes the place of another one: with its rights, and on
** the disk before the name leads to it. -1: errno says why. */
static int write_new(int fd, const char *of, const char *text, size_t len)
{
    struct stat st;
    int status = write_all(fd, text, len);

    if (status == 0 && stat(of, &st) == 0)
        status = fchmod(fd, st.st_mode & 07777);
    if (status == 0)
        status = fsync(fd);
    return close(fd) == 0 ? status : -1;
}

/* `temporary` is in the same folder: rename(2) does not go from one file system
** to another. */
static int replace(const char *path, const char *temporary, const char *text,
                   size_t len)
{
    int fd = create(temporary);
    int why;

    if (fd < 0)
        return -1;
    if (write_new(fd, path, text, len) == 0 && rename(temporary, path) == 0)
        return 0;
    why = errno;
    unlink(temporary);
    errno = why;
    return -1;
}

int pgmig_file_replace(const char *path, const char *text, size_t len,
                       struct pgmig_error *err)
{
    char *target = realpath(path, NULL);
    const char *place = target != NULL ? target : path;
    struct pgmig_buf temporary = {0};
    unsigned int random;
    int status;

    if (getentropy(&random, sizeof random) != 0)
        random = (unsigned int)getpid();
    pgmig_buf_addf(&temporary, "%s.%08x.tmp", place, random);
    if (temporary.failed)
        status = pgmig_error_memory(err);
    else
        status = replace(place, temporary.data, text, len) == 0
                     ? 0
                     : pgmig_error_file(err, "write the file", path);
    pgmig_buf_free(&temporary);
    free(target);
    return status;
}

/* ---- moving -------------------------------------------------------------- */

#define NOREPLACE 1 /* rename(2): RENAME_NOREPLACE */

/* File systems that cannot do so at once have hard links, which overwrite
** nothing either; a folder has none. -1: errno says why. */
static int move_by_link(const char *from, const char *to)
{
    struct stat st;

    if (link(from, to) == 0)
        return unlink(from);
    if (errno == EEXIST || stat(from, &st) != 0 || !S_ISDIR(st.st_mode))
        return -1;
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

int pgmig_file_move(const char *from, const char *to, struct pgmig_error *err)
{
    long status =
        syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, NOREPLACE);

    if (status != 0 && (errno == EINVAL || errno == ENOSYS))
        status = move_by_link(from, to);
    return status == 0 ? 0 : pgmig_error_file(err, "rename a file to", to);
}

/* ---- reading ------------------------------------------------------------- */

/* Read up to `most` bytes, or to the end. -1: errno says why. */
static int read_all(int fd, size_t most, struct pgmig_buf *buf)
{
    char chunk[65536];

    while (buf->len < most && !buf->failed) {
        size_t left = most - buf->len;
        ssize_t n = read(fd, chunk, left < sizeof chunk ? left : sizeof chunk);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        pgmig_buf_add(buf, chunk, (size_t)n);
    }
    /* an empty file, too, is a text with a NUL behind it */
    pgmig_buf_add(buf, "", 0);
    return 0;
}

int pgmig_file_head(const char *path, size_t most, char **text, size_t *len,
                    struct pgmig_error *err)
{
    struct pgmig_buf buf = {0};
    off_t size; /* may change meanwhile */
    int fd = pgmig_file_open(path, &size, err);
    int status;

    if (fd < 0)
        return -1;
    status = read_all(fd, most, &buf);
    if (status != 0)
        pgmig_error_file(err, "read the file", path);
    else if (buf.failed)
        status = pgmig_error_memory(err);
    close(fd);
    if (status != 0) {
        pgmig_buf_free(&buf);
        return -1;
    }
    *text = buf.data;
    *len = buf.len;
    return 0;
}

int pgmig_file_read(const char *path, char **text, size_t *len,
                    struct pgmig_error *err)
{
    return pgmig_file_head(path, SIZE_MAX, text, len, err);
}

/* ---- folders ------------------------------------------------------------- */

/* Lists names and nothing else: which of them are migrations, and of what
** order, is decided in Lua (files/list), and whether one can be read shows when
** it is. Symbolic links to directories are not followed, so that no loop can be
** entered. */

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
    return pgmig_error_hint(
        err, "create it (pgmig init), or name another directory (--dir, "
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
