/* setting.h -- what changes how the rest of a file reads. */
#ifndef PGMIG_SETTING_H
#define PGMIG_SETTING_H

#include "text/lexer.h"

/* What SET does that goes on at the current token, with a setting's name. */
enum pgmig_setting pgmig_setting_assigned(struct pgmig_words *w);

/* The same of RESET. */
enum pgmig_setting pgmig_setting_reset(const struct pgmig_words *w);

/* The same of a call of set_config, the current token. */
enum pgmig_setting pgmig_setting_called(struct pgmig_words w);

#endif
