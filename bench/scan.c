/*
** scan.c -- cuts a file into statements with pgmig's scanner, and prints how
** many there are.
**
**     scan FILE
*/
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text/split.h"

static long count_statements(const char *text, size_t len)
{
    struct pgmig_error err = {0};
    const struct pgmig_source source = {
        .text = text, .end = len, .final = true, .blank = true};
    struct pgmig_splitter sp;
    long count = 0;

    pgmig_splitter_init(&sp, &source);
    for (;;) {
        struct pgmig_item item = pgmig_splitter_next(&sp, &err);

        if (item.kind == PGMIG_ITEM_ERROR)
            return -1;
        if (item.kind == PGMIG_ITEM_END)
            return count;
        if (item.kind == PGMIG_ITEM_STATEMENT)
            count++;
    }
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;
    void *text;
    long count;

    if (fd < 0 || fstat(fd, &st) != 0)
        return 2;
    text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return 2;
    count = count_statements(text, (size_t)st.st_size);
    printf("%ld\n", count);
    return count < 0;
}
