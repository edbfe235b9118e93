/* setting.h -- statements that change how the rest of a file reads. */
#ifndef PGMIG_SETTING_H
#define PGMIG_SETTING_H

#include "text/text.h"

enum pgmig_setting {
    PGMIG_SETTING_NONE,
    PGMIG_SETTING_STANDARD, /* standard_conforming_strings becomes on */
    PGMIG_SETTING_ESCAPES,  /* ... off: backslashes in '' are escapes */
    PGMIG_SETTING_ENCODING, /* client_encoding becomes other than UTF-8 */
    PGMIG_SETTING_HIDDEN    /* set_config('standard_conforming_strings', ...) */
};

/* What a SET, RESET or set_config() does to the text behind it.
** `standard_strings` says how the statement itself is read. */
enum pgmig_setting pgmig_setting_of(const char *sql, size_t len,
                                    bool standard_strings);

#endif
