#include "body.h"

#include <stdlib.h>
#include <string.h>

void body_init(struct body *body)
{
    body->data = body->first;
    body->len = 0;
    body->room = sizeof body->first;
}

static void drop(struct body *body)
{
    explicit_bzero(body->data, body->len);
    if (body->data != body->first)
        free(body->data);
}

static bool grow(struct body *body, size_t len)
{
    size_t room = body->room;
    uint8_t *more;

    while (room < len)
        room *= 2;
    if (!(more = malloc(room)))
        return false;
    memcpy(more, body->data, body->len);
    drop(body);
    body->data = more;
    body->room = room;
    return true;
}

bool body_add(struct body *body, const void *data, size_t len)
{
    if (len > body->room - body->len && !grow(body, body->len + len))
        return false;
    memcpy(body->data + body->len, data, len);
    body->len += len;
    return true;
}

void body_wipe(struct body *body)
{
    drop(body);
    body_init(body);
}
