/* se.h -- a secure element, from inside. */
#ifndef LJS_SESSION_SE_H
#define LJS_SESSION_SE_H

#include <lorajs/end_device.h>

#include <stdbool.h>

struct ljs_se {
    ljs_se_ops ops;
    void *self;
    unsigned process;
};

ljs_err ljs__se_derive(ljs_se *se, ljs_se_key to, ljs_se_key from, const uint8_t block[16]);
/* in_len is a multiple of 16. */
ljs_err ljs__se_encrypt(ljs_se *se, ljs_se_key id, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__se_cmac(ljs_se *se, ljs_se_key id, uint8_t out[16], const uint8_t *in, size_t in_len);
bool ljs__se_has(ljs_se *se, ljs_se_key id);

#endif
