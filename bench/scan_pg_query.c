/*
** scan_pg_query.c -- the same as scan.c with libpg_query's scanner, which is
** PostgreSQL's own.
**
**     scan_pg_query FILE
*/
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pg_query.h>

/* The whole file, ended by a NUL byte; NULL when it cannot be read. */
static char *read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0, size;
    struct stat st;
    char *text;

    if (fd < 0 || fstat(fd, &st) != 0)
        return NULL;
    size = (size_t)st.st_size;
    text = malloc(size + 1);
    while (text != NULL && len < size) {
        ssize_t n = read(fd, text + len, size - len);

        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (text != NULL)
        text[len] = '\0';
    close(fd);
    return text;
}

static int count_statements(const char *text)
{
    PgQuerySplitResult result = pg_query_split_with_scanner(text);
    bool ok = result.error == NULL;

    if (ok)
        printf("%d\n", result.n_stmts);
    else
        fprintf(stderr, "error: %s\n", result.error->message);
    pg_query_free_split_result(result);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    char *text = argc == 2 ? read_file(argv[1]) : NULL;
    int status = text == NULL ? 2 : count_statements(text);

    free(text);
    return status;
}
