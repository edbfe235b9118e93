/* dir.c -- directories and files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "error.h"
#include "pgmig.h"

static int file_error(struct pgmig_error *err, const char *what,
                      const char *path)
{
    pgmig_error_set(err, PGMIG_E_IO, "cannot %s: %s", what, strerror(errno));
    pgmig_error_field(&err->file, path);
    return -1;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Symbolic links count as what they point at; a dangling one is kept, so
** that reading it says what is wrong. */
static bool is_file(int dirfd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_name[0] == '.')
        return false;
    if (entry->d_type == DT_REG)
        return true;
    if (entry->d_type == DT_DIR)
        return false;
    return fstatat(dirfd, entry->d_name, &st, 0) != 0 || S_ISREG(st.st_mode);
}

static int keep(struct pgmig_dir *dir, const char *name)
{
    char **names = pgmig_grow(dir->names, dir->count, sizeof *names);

    if (names == NULL)
        return -1;
    dir->names = names;
    names[dir->count] = pgmig_strndup(name, strlen(name));
    if (names[dir->count] == NULL)
        return -1;
    dir->count++;
    return 0;
}

static int read_names(struct pgmig_dir *dir, DIR *stream, const char *path,
                      struct pgmig_error *err)
{
    struct dirent *entry;

    for (errno = 0; (entry = readdir(stream)) != NULL; errno = 0)
        if (is_file(dirfd(stream), entry) && keep(dir, entry->d_name) != 0)
            return pgmig_error_memory(err);
    if (errno != 0)
        return file_error(err, "list the directory", path);
    return 0;
}

int pgmig_dir_read(struct pgmig_dir *dir, const char *path,
                   struct pgmig_error *err)
{
    DIR *stream = opendir(path);
    int status;

    *dir = (struct pgmig_dir){0};
    if (stream == NULL) {
        file_error(err, "open the migrations directory", path);
        return pgmig_error_hint(err, "create it, or name another one (--dir, "
                                     "the second argument of migrator)");
    }
    status = read_names(dir, stream, path, err);
    closedir(stream);
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

int pgmig_file_create(const char *path, const char *text, size_t len,
                      struct pgmig_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int status;

    if (fd < 0)
        return file_error(err, "create the file", path);
    status = write_all(fd, text, len);
    if (close(fd) != 0)
        status = -1;
    if (status != 0) {
        file_error(err, "write the file", path);
        unlink(path); /* half a template would be refused later */
    }
    return status;
}

static int read_all(int fd, struct pgmig_buf *buf)
{
    char chunk[65536];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        pgmig_buf_add(buf, chunk, (size_t)n);
    }
    pgmig_buf_add(buf, "", 0);
    return 0;
}

int pgmig_file_read(const char *path, char **text, size_t *len,
                    struct pgmig_error *err)
{
    struct pgmig_buf buf = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status;

    if (fd < 0)
        return file_error(err, "open the file", path);
    status = read_all(fd, &buf);
    if (status != 0)
        file_error(err, "read the file", path);
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
