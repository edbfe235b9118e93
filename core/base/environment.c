/*
** environment.c -- variables that only libpq sees, such as the PG... ones of a
** .env file.
**
** They are not put into the environment for good: a process of several threads
** must not change it while another one may look (setenv(3)), and the programs
** that this one starts would inherit passwords. So they are there for the
** length of one call into libpq. What the process has itself under such a name
** always wins.
*/
#include "base/environment.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct variable {
    char *name;
    char *value;
    bool set; /* by us, until we leave */
};

struct pgmig_environment {
    struct variable *variables;
    size_t count;
};

static size_t length(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

struct pgmig_environment *pgmig_environment_new(const char *const *list)
{
    struct pgmig_environment *environment = calloc(1, sizeof *environment);
    size_t count = length(list) / 2;
    bool complete;

    if (environment == NULL)
        return NULL;
    /* one more: calloc may answer NULL for none */
    environment->variables = calloc(count + 1, sizeof(struct variable));
    complete = environment->variables != NULL;
    while (complete && environment->count < count) {
        /* counted before it is filled: free copes with NULL in it */
        size_t i = environment->count++;
        struct variable *v = &environment->variables[i];

        v->name = pgmig_strndup(list[2 * i], strlen(list[2 * i]));
        v->value = pgmig_strndup(list[2 * i + 1], strlen(list[2 * i + 1]));
        complete = v->name != NULL && v->value != NULL;
    }
    if (complete)
        return environment;
    pgmig_environment_free(environment);
    return NULL;
}

void pgmig_environment_free(struct pgmig_environment *environment)
{
    if (environment == NULL)
        return;
    for (size_t i = 0; i < environment->count; i++) {
        free(environment->variables[i].name);
        free(environment->variables[i].value);
    }
    free(environment->variables);
    free(environment);
}

int pgmig_environment_enter(struct pgmig_environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        struct variable *v = &environment->variables[i];

        /* the process's own wins, and is not ours to take away afterwards */
        if (getenv(v->name) != NULL)
            continue;
        v->set = setenv(v->name, v->value, 1) == 0;
        /* all or nothing: libpq must not see half of them */
        if (!v->set) {
            pgmig_environment_leave(environment);
            return -1;
        }
    }
    return 0;
}

void pgmig_environment_leave(struct pgmig_environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        struct variable *v = &environment->variables[i];

        if (v->set)
            unsetenv(v->name);
        v->set = false;
    }
}
