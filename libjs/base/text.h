/* text.h -- text that strangers choose: labels and names. */
#ifndef LJS_BASE_TEXT_H
#define LJS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the character at s, of 2 to 4 octets; 0 when it is none.  [RFC 3629 §4] */
size_t ljs__utf8_len(const uint8_t *s, size_t left);

/* How many octets at s come before the first that is not ASCII, is a control character, a quote or a backslash. */
size_t ljs__plain(const char *s, size_t len);

/* Well-formed UTF-8 [RFC 3629] without control characters. */
bool ljs__text_shown(const char *text, size_t len);

/* Likewise, its NUL within `room` octets. */
bool ljs__text_ok(const char *text, size_t room);

#endif
