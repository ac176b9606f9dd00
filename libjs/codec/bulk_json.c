/* An object whose members are known by their path: "ids.dev_eui". */
#include "codec/bulk.h"

#include "base/json.h"
#include "base/secret.h"

#include <stdio.h>

enum { PATH_MAX_LEN = 128, STACK_BELOW = 16 * 1024 };

struct path {
    struct bulk_reading *r;
    char text[PATH_MAX_LEN];
    size_t len[LJS__JSON_DEPTH + 2]; /* of the path of what is open at this depth; elements have that of their array */
};

static void step_to(struct path *p, const struct json_event *event)
{
    size_t len = p->len[event->depth];
    int more = *event->name ? snprintf(p->text + len, sizeof p->text - len, "%s%s", len ? "." : "", event->name) : 0;

    if (more < 0 || (size_t)more >= sizeof p->text - len) /* longer than any of ours */
        more = snprintf(p->text + len, sizeof p->text - len, "?") == 1 ? 1 : 0;
    p->text[len + (size_t)more] = '\0';
    p->len[event->depth + 1] = len + (size_t)more;
}

static bool on_event(void *ctx, const struct json_event *event)
{
    struct path *p = ctx;
    const struct bulk_name *known;

    if (event->type == JSON_END)
        return true;
    step_to(p, event);
    if (event->type == JSON_OBJECT || event->type == JSON_ARRAY || event->type == JSON_NULL)
        return true;
    if (!(known = ljs__bulk_named(p->r->family, p->text, strlen(p->text))))
        return true; /* others have a hundred members that a Join Server does not ask for */
    if (event->type == JSON_TEXT)
        return ljs__bulk_text(p->r, known->field, known->name, event->text, event->text_len);
    if (event->type == JSON_INT || (event->type == JSON_BOOL && known->field == BULK_EXPOSED) ||
        known->field == BULK_IGNORED)
        return ljs__bulk_number(p->r, known->field, known->name, event->number);
    return ljs__bulk_fault(p->r, known->name, "must be a whole number");
}

bool ljs__bulk_object(struct bulk_reading *r, const uint8_t *in, size_t in_len)
{
    struct path path = { .r = r };
    const char *why;
    ljs_err err = ljs__json_read(in, in_len, LJS_BULK_ROW_MAX, on_event, &path, &why);

    if (err == LJS_E_NOMEM)
        r->err = err;
    else if (err && why)
        ljs__bulk_fault(r, "", why);
    ljs__wipe_stack(STACK_BELOW);
    return !err;
}

/* ---- as a console of JavaScript prints an object -------------------------------------- */

static bool in_word(uint8_t c)
{
    uint8_t small = c | 0x20;

    return (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* A name without quotes; what no colon follows is a number, true, false or null. */
static size_t word(struct wr *w, const uint8_t *in, size_t left)
{
    size_t len = 0, behind;

    while (len < left && in_word(in[len]))
        len++;
    for (behind = len; behind < left && (in[behind] == ' ' || in[behind] == '\n' || in[behind] == '\t');)
        behind++;
    if (behind < left && in[behind] == ':') {
        ljs__wr_text(w, "\"");
        ljs__wr(w, in, len);
        ljs__wr_text(w, "\"");
    } else {
        ljs__wr(w, in, len);
    }
    return len;
}

/* A text in quotes of either kind, with them. */
static size_t text(struct wr *w, const uint8_t *in, size_t left)
{
    size_t at = 1;

    ljs__wr_text(w, "\"");
    for (; at < left && in[at] != in[0]; at++) {
        if (in[at] == '\\' && at + 1 < left && in[at + 1] == '\'') /* no escape of JSON */
            at++;
        else if (in[at] == '\\' && at + 1 < left)
            ljs__wr(w, &in[at++], 1);
        else if (in[at] == '"')
            ljs__wr_text(w, "\\");
        ljs__wr(w, &in[at], 1);
    }
    if (at < left)
        ljs__wr_text(w, "\"");
    return at < left ? at + 1 : left;
}

void ljs__bulk_from_js(struct wr *w, const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < in_len;) {
        if (in[i] == '\'' || in[i] == '"') {
            i += text(w, in + i, in_len - i);
        } else if (in_word(in[i])) {
            i += word(w, in + i, in_len - i);
        } else {
            ljs__wr(w, &in[i++], 1);
        }
    }
}
