/*
** scan_pg_query.c -- the same as scan.c with libpg_query's scanner, which is
** PostgreSQL's own.
**
**     scan_pg_query FILE
*/
#include <fcntl.h>
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

int main(int argc, char **argv)
{
    char *text = argc == 2 ? read_file(argv[1]) : NULL;
    PgQuerySplitResult result;

    if (text == NULL)
        return 2;
    result = pg_query_split_with_scanner(text);
    if (result.error != NULL) {
        fprintf(stderr, "error: %s\n", result.error->message);
        return 1;
    }
    printf("%d\n", result.n_stmts);
    pg_query_free_split_result(result);
    free(text);
    return 0;
}
