#include "body.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024 };

bool body_add(struct body *body, const void *data, size_t len)
{
    struct body more = *body;

    if (!more.room)
        more.room = FIRST_ROOM;
    while (more.room < body->len + len)
        more.room *= 2;
    if (more.room != body->room) {
        if (!(more.data = malloc(more.room)))
            return false;
        if (body->len)
            memcpy(more.data, body->data, body->len);
        body_wipe(body);
        *body = more;
    }
    memcpy(body->data + body->len, data, len);
    body->len += len;
    return true;
}

void body_wipe(struct body *body)
{
    if (body->data)
        explicit_bzero(body->data, body->len);
    free(body->data);
    *body = (struct body){ .len = 0 };
}
