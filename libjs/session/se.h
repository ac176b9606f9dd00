/* se.h -- a secure element, from inside. */
#ifndef LJS_SESSION_SE_H
#define LJS_SESSION_SE_H

#include <lorajs/end_device.h>

#include <stdbool.h>

struct ljs_se {
    ljs_se_ops ops;
    void *self;
    unsigned process;
    unsigned roots; /* a bit for each root key: in which of its two places the one in use is */
};

/* Root keys by number, and in the element. */
enum { ROOT_NWK, ROOT_APP, ROOT_GEN_APP, ROOT_REKEY, ROOTS };
extern const ljs_se_key ljs__se_roots[ROOTS];

/* From now on LJS_SE_NWK and its like are the keys in these places. */
void ljs__se_use(ljs_se *se, unsigned roots);
/* LJS_E_MISSING: the element cannot. */
ljs_err ljs__se_agree(ljs_se *se, ljs_se_key to, const uint8_t peer[32], const uint8_t context[16]);
ljs_err ljs__se_derive_key(ljs_se *se, const uint8_t temp_key[32], const uint8_t mac[32]);

ljs_err ljs__se_derive(ljs_se *se, ljs_se_key to, ljs_se_key from, const uint8_t block[16]);
/* in_len is a multiple of 16. */
ljs_err ljs__se_encrypt(ljs_se *se, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__se_cmac(ljs_se *se, ljs_se_key id, uint8_t out[16], const uint8_t *in, size_t in_len);
bool ljs__se_has(ljs_se *se, ljs_se_key id);

#endif
