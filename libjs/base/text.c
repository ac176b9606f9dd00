#include "base/text.h"

#include "base/cursor.h"

size_t ljs__utf8_len(const uint8_t *s, size_t left)
{
    /* first octet, and the range that its second may have */
    static const struct {
        uint8_t from, to, low, high, len;
    } rows[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (s[0] < rows[i].from || s[0] > rows[i].to)
            continue;
        if (rows[i].len > left || s[1] < rows[i].low || s[1] > rows[i].high)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return rows[i].len;
    }
    return 0;
}

size_t ljs__plain(const char *s, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = 0x80 * ones;

    for (size_t n = 0, eight; n < len; n += eight) {
        uint64_t v, other;

        eight = len - n < 8 ? len - n : 8;
        v = up_to_eight(s + n, eight);
        /* The top bit of each other octet, and of some behind the first of these. */
        other = (v - 0x20 * ones) | ((v ^ '"' * ones) - ones) | ((v ^ '\\' * ones) - ones) | (v + ones) | v;
        other &= tops;
        if (other) {
            size_t plain = (size_t)__builtin_ctzll(other) / 8;

            if (plain < eight)
                return n + plain;
        }
    }
    return len;
}

/* One character at s that can be shown: how many octets it takes, 0 when it is none. */
static size_t character(const uint8_t *s, size_t left)
{
    size_t len = s[0] < 0x80 ? s[0] >= 0x20 && s[0] != 0x7f : ljs__utf8_len(s, left);

    return len == 2 && s[0] == 0xc2 && s[1] < 0xa0 ? 0 : len; /* C1 controls are out */
}

bool ljs__text_shown(const char *text, size_t len)
{
    for (size_t at = ljs__plain(text, len), n; at < len; at += n) {
        n = text[at] >= 0x20 && text[at] < 0x7f ? 1 : character((const uint8_t *)text + at, len - at);
        if (!n)
            return false;
    }
    return true;
}

bool ljs__text_ok(const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    return len < room && ljs__text_shown(text, len);
}
