#include <lorajs/base.h>

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

void ljs_buf_free(ljs_buf *buf)
{
    if (!buf)
        return;
    if (buf->data)
        ljs__wipe(buf->data, buf->len);
    free(buf->data);
    *buf = (ljs_buf){ NULL, 0 };
}

ljs_err ljs_buf_copy(ljs_buf *out, const uint8_t *in, size_t in_len)
{
    *out = (ljs_buf){ NULL, 0 };
    if (in_len == 0)
        return LJS_OK;
    if (!(out->data = malloc(in_len)))
        return LJS_E_NOMEM;
    memcpy(out->data, in, in_len);
    out->len = in_len;
    return LJS_OK;
}
