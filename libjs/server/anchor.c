#include "server/anchor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { WRITER_DIGITS = 16, SEQUENCE_DIGITS = 20, TAG_DIGITS = 2 * LINK_TAG_LEN };

void ljs__anchor_line(struct wr *w, uint64_t writer, uint64_t sequence, const uint8_t tag[LINK_TAG_LEN])
{
    char text[WRITER_DIGITS + SEQUENCE_DIGITS + 3];

    snprintf(text, sizeof text, "%016" PRIx64 " %" PRIu64 " ", writer, sequence);
    ljs__wr_text(w, text);
    ljs__wr_hex(w, tag, LINK_TAG_LEN);
    ljs__wr_text(w, "\n");
}

static bool read_sequence(uint64_t *out, const char *text, size_t len)
{
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';

        if (digit > 9 || *out > (UINT64_MAX - digit) / 10)
            return false;
        *out = 10 * *out + digit;
    }
    return len > 0 && (len == 1 || text[0] != '0');
}

static bool read_line(struct anchored *out, const char *text, size_t len)
{
    uint8_t writer[8];
    size_t middle;

    *out = (struct anchored){ .writer = 0 };
    if (len < WRITER_DIGITS + 3 + TAG_DIGITS)
        return false;
    middle = len - WRITER_DIGITS - 2 - TAG_DIGITS;
    if (!ljs__hex(writer, sizeof writer, text, WRITER_DIGITS) || text[WRITER_DIGITS] != ' ' ||
        !read_sequence(&out->sequence, text + WRITER_DIGITS + 1, middle) || text[WRITER_DIGITS + 1 + middle] != ' ' ||
        !ljs__hex(out->tag, sizeof out->tag, text + len - TAG_DIGITS, TAG_DIGITS))
        return false;
    for (unsigned i = 0; i < 8; i++)
        out->writer = out->writer << 8 | writer[i];
    return true;
}

ljs_err ljs__anchor_read(struct anchor *out, const uint8_t *in, size_t in_len)
{
    const char *text = (const char *)in;
    size_t lines = 0;

    *out = (struct anchor){ NULL, 0 };
    for (size_t i = 0; i < in_len; i++)
        lines += in[i] == '\n';
    if (!(out->at = calloc(lines + 1, sizeof *out->at)))
        return LJS_E_NOMEM;
    for (size_t at = 0, len; at < in_len; at += len + 1) {
        const char *newline = memchr(text + at, '\n', in_len - at);

        len = newline ? (size_t)(newline - text) - at : in_len - at;
        if (len == 0 || text[at] == '#')
            continue;
        if (!read_line(&out->at[out->len++], text + at, len)) {
            free(out->at);
            *out = (struct anchor){ NULL, 0 };
            return LJS_E_INVAL;
        }
    }
    return LJS_OK;
}
