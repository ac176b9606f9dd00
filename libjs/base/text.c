#include "base/text.h"

#include <stdint.h>
#include <string.h>

/* One character at s: how many octets it takes, 0 when it is none. */
static size_t character(const uint8_t *s, size_t left)
{
    /* [RFC 3629 §4]  first octet, and the range that its second may have */
    static const struct {
        uint8_t from, to, low, high, len;
    } rows[] = {
        { 0x20, 0x7e, 0x00, 0x00, 1 }, { 0xc2, 0xc2, 0xa0, 0xbf, 2 }, /* C1 controls are out */
        { 0xc3, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (s[0] < rows[i].from || s[0] > rows[i].to || rows[i].len > left)
            continue;
        if (rows[i].len > 1 && (s[1] < rows[i].low || s[1] > rows[i].high))
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return rows[i].len;
    }
    return 0;
}

bool ljs__text_ok(const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    if (len == room)
        return false;
    for (size_t at = 0, n; at < len; at += n)
        if (!(n = character((const uint8_t *)text + at, len - at)))
            return false;
    return true;
}
