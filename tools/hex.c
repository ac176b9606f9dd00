/* hex.c -- hexadecimal into octets, in constant time: it may be a key. */
#include "tool.h"

#include <string.h>

/* No table, so that no cache line tells a digit of a key. */
static int digit(unsigned char c)
{
    unsigned number = c - '0', letter = (c | 32u) - 'a';

    return (int)((number < 10) * number + (letter < 6) * (letter + 10)) - (number >= 10 && letter >= 6);
}

int hex_octets(uint8_t *out, size_t n, const char *text)
{
    int bad = 0;

    for (size_t i = 0; i < n; i++) {
        int high = digit((unsigned char)text[2 * i]), low = digit((unsigned char)text[2 * i + 1]);

        bad |= (high < 0) | (low < 0);
        out[i] = (uint8_t)((unsigned)(high & 15) << 4 | (unsigned)(low & 15));
    }
    return bad;
}

ssize_t from_hex(uint8_t *out, size_t room, const char *text, size_t len)
{
    int bad;

    if (len % 2 || len / 2 > room)
        return -1;
    bad = hex_octets(out, len / 2, text);
    if (bad)
        explicit_bzero(out, len / 2);
    return bad ? -1 : (ssize_t)(len / 2);
}
