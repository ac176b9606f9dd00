/* text.h -- text that strangers choose: labels and names. */
#ifndef LJS_BASE_TEXT_H
#define LJS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 [RFC 3629] without control characters, its NUL within `room` octets. */
bool ljs__text_ok(const char *text, size_t room);

#endif
