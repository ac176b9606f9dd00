/* token.h -- a master key in a token (PKCS#11), whose keys never are in this process. */
#ifndef LORAJS_TOOLS_TOKEN_H
#define LORAJS_TOOLS_TOKEN_H

#include "master.h"

/* The vault in the token that `source` names.  Complains itself. */
int token_open(ljs_vault **out, const struct source *source);
/* The same, and a mark of it as stand-in, durable under its `fresh` name. */
int token_begin(ljs_vault **out, const struct place *place, const struct source *source);
/* The same, known by the stand-in of this name. */
int token_take(ljs_vault **out, const struct place *place, const struct source *source, const char *name);

enum token_verdict { TOKEN_GOOD, TOKEN_PRICE /* known, and chosen */, TOKEN_BAD };
typedef void token_row(void *user, const char *check, enum token_verdict verdict, const char *text, const char *remedy);
/* ljs_token_check(), a row for each trial.  Complains itself.  DONE, or an exit code. */
int token_try(ljs_token_report *out, const char *uri, token_row *row, void *user);

const char *token_policy_text(ljs_token_policy policy);

#endif
