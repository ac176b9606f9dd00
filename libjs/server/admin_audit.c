/* The audit log, page by page: chain by chain, and each chain in its order. */
#include "server/admin.h"
#include "server/audit.h"

#include <inttypes.h>
#include <stdio.h>

struct place {
    uint64_t writer, sequence;
    unsigned entry; /* of the link */
};

struct page {
    struct asking *a;
    struct place from, next;
    bool one_chain, has_device, more;
    ljs_eui dev_eui;
    char kind[24]; /* "" for all */
    int64_t since;
    unsigned left, looked;
};

/* ---- what is asked for --------------------------------------------------------------- */

static bool is_kind(const char *text)
{
    for (unsigned i = 1; i < 256; i++) /* all that a link has room for */
        if (!strcmp(text, ljs_audit_kind_text((ljs_audit_kind)i)))
            return strcmp(text, "?") != 0;
    return false;
}

/* Chain, link and entry, 16, 16 and 8 digits: what write_cursor() has made. */
static bool read_cursor(struct place *out, const char *text)
{
    enum { DIGITS = 16 };
    char part[3][DIGITS + 1] = { "", "", "00000000" };
    ljs_eui entry;

    if (strlen(text) != 2 * DIGITS + DIGITS / 2)
        return false;
    memcpy(part[0], text, DIGITS);
    memcpy(part[1], text + DIGITS, DIGITS);
    memcpy(part[2] + DIGITS / 2, text + 2 * DIGITS, DIGITS / 2);
    if (ljs_eui_parse(&out->writer, part[0]) || ljs_eui_parse(&out->sequence, part[1]) ||
        ljs_eui_parse(&entry, part[2]))
        return false;
    out->entry = (unsigned)entry;
    return true;
}

static void write_cursor(struct wr *w, const struct place *at)
{
    char text[41];

    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64 "%08x", at->writer, at->sequence, at->entry);
    ljs__json_name(w, "next_cursor");
    ljs__json_text(w, text);
}

/* A chain alone, from a link on. */
static bool read_chain(struct page *p, const char *chain, const char *from)
{
    p->one_chain = *chain;
    if (*from && !*chain)
        return false;
    for (const char *at = from; *at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        p->from.sequence = 10 * p->from.sequence + (uint64_t)(*at - '0');
    }
    return !*chain || !ljs_eui_parse(&p->from.writer, chain);
}

static bool read_page(struct page *p)
{
    static const char *const names[] = { "since", "kind", "device", "chain", "from", "cursor", "limit", NULL };
    const struct asking *a = p->a;
    char device[24], chain[24], from[20], cursor[48];
    struct place at;

    if (ljs__admin_query_only(a, names) || !ljs__admin_since(&p->since, a) || !ljs__admin_limit(&p->left, a) ||
        !ljs__admin_query(p->kind, sizeof p->kind, a, "kind") || (*p->kind && !is_kind(p->kind)) ||
        !ljs__admin_query(device, sizeof device, a, "device") || (*device && ljs_eui_parse(&p->dev_eui, device)) ||
        !ljs__admin_query(chain, sizeof chain, a, "chain") || !ljs__admin_query(from, sizeof from, a, "from") ||
        !read_chain(p, chain, from) || !ljs__admin_query(cursor, sizeof cursor, a, "cursor"))
        return false;
    p->has_device = *device;
    if (!*cursor)
        return true;
    if (!read_cursor(&at, cursor) || (p->one_chain && at.writer != p->from.writer))
        return false;
    p->from = at;
    return true;
}

/* ---- what there is ------------------------------------------------------------------- */

static ljs_err enough(struct page *p, uint64_t writer, uint64_t sequence, unsigned entry)
{
    p->more = true;
    p->next = (struct place){ writer, sequence, entry };
    return LJS_E_BUSY;
}

static void show_fault(struct page *p, uint64_t writer, uint64_t sequence, ljs_err fault)
{
    struct wr *w = &p->a->body;

    ljs__json_open(w, '{');
    ljs__audit_json_place(w, writer, sequence);
    ljs__json_name(w, "fault");
    ljs__json_text(w, ljs_errname(fault));
    ljs__json_close(w, '}');
    p->left--;
}

static bool is_wanted(const struct page *p, const ljs_audit_link *link, const ljs_audit_entry *e)
{
    return link->at >= p->since && (!p->has_device || e->dev_eui == p->dev_eui) &&
           (!*p->kind || !strcmp(p->kind, ljs_audit_kind_text(e->kind)));
}

static ljs_err show_link(struct page *p, const ljs_buf *octets)
{
    ljs_audit_link link;
    ljs_audit_entry e;
    ljs_err err = ljs_audit_link_read(&link, octets->data, octets->len);
    bool begun = link.writer == p->from.writer && link.sequence == p->from.sequence;

    for (unsigned i = begun ? p->from.entry : 0; !err && i < link.entries; i++) {
        if ((err = ljs_audit_link_entry(&e, i, octets->data, octets->len)) || !is_wanted(p, &link, &e))
            continue;
        if (!p->left)
            return enough(p, link.writer, link.sequence, i);
        ljs__audit_json(&p->a->body, &link, &e);
        p->left--;
    }
    return !err && p->a->body.bad ? LJS_E_NOMEM : err;
}

/* One that was tampered with must not hide the others. */
static ljs_err one_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct page *p = user;
    ljs_buf octets;
    ljs_err err;

    if (p->one_chain && writer != p->from.writer)
        return LJS_E_BUSY; /* the end */
    if (!p->left || p->looked++ == PASSED_MOST)
        return enough(p, writer, sequence, 0);
    err = ljs_server_get_link(&octets, p->a->server, writer, sequence);
    if (!err)
        err = show_link(p, &octets);
    else if (err == LJS_E_SEAL || err == LJS_E_VERSION)
        show_fault(p, writer, sequence, err);
    ljs_buf_free(&octets);
    return err == LJS_E_NOTFOUND || err == LJS_E_SEAL || err == LJS_E_VERSION ? LJS_OK : err;
}

enum problem ljs__admin_audit(struct asking *a)
{
    struct page p = { .a = a };
    ljs_err err;

    if (!read_page(&p))
        return P_BAD_REQUEST;
    ljs__json_open(&a->body, '{');
    ljs__json_name(&a->body, "entries");
    ljs__json_open(&a->body, '[');
    err = ljs_server_each_link_from(a->server, p.from.writer, p.from.sequence, one_link, &p);
    ljs__json_close(&a->body, ']');
    if (p.more)
        write_cursor(&a->body, &p.next);
    ljs__json_close(&a->body, '}');
    return err == LJS_E_BUSY ? FINE : ljs__admin_problem_of(err);
}
