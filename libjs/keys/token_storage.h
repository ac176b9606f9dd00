/* token_storage.h -- the storage keys of a vault in its token, by their numbers.
 *
 * A newer one counts only when the security officer trusts it: whoever has the PIN alone can make a key of the same
 * label, and nothing is wrapped under that. */
#ifndef LJS_KEYS_TOKEN_STORAGE_H
#define LJS_KEYS_TOKEN_STORAGE_H

#include "keys/cryptoki.h"

enum { TOKEN_LABEL_MAX = 64 + 8 };

struct storage_keys {
    token_object at[TOKEN_VERSIONS];
    uint16_t version[TOKEN_VERSIONS];
    size_t n, newest;
    bool rotatable;
};

/* After the name of the vault, what is this key for? */
void ljs__token_label(char out[TOKEN_LABEL_MAX], const struct cryptoki *c, const char *what);

/* LJS_E_NOTFOUND: there is none; LJS_E_STATE: several that nobody trusts. */
ljs_err ljs__storage_find(struct storage_keys *out, struct cryptoki *c, token_session s);
token_object ljs__storage_of(const struct storage_keys *k, uint16_t version); /* 0: not there */
/* All but the newest are destroyed. */
ljs_err ljs__storage_retire(const struct storage_keys *k, struct cryptoki *c);

#endif
