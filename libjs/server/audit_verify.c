/* Is the log whole, and are the records those that it leads to?
 *
 * Links are read chain by chain.  For each device the steps from record to record are added up, each
 * as the tag after minus the tag before, as numbers of 128 bits: whatever chains and whatever order
 * they stand in, the sum is the last tag minus the first, and the first is nothing for a device that
 * was made while the log was kept.  So of a log of any length no more is kept than a place for each device.
 *
 * Others may write meanwhile.  A record that does not fit is therefore read again after the links
 * that came since, until there came none that tells of it; one that never stands still for so long has
 * to be among those that the log told of after it was read. */
#include "server/anchor.h"
#include "server/audit.h"
#include "server/claim.h"

#include <stdlib.h>

enum { ROUNDS = 16 };

struct sum {
    uint64_t high, low;
};

static struct sum number(const uint8_t tag[LINK_TAG_LEN])
{
    struct sum s = { 0, 0 };

    for (unsigned i = 0; i < 8; i++) {
        s.high = s.high << 8 | tag[i];
        s.low = s.low << 8 | tag[8 + i];
    }
    return s;
}

static struct sum plus(struct sum a, struct sum b)
{
    struct sum s = { a.high + b.high, a.low + b.low };

    s.high += s.low < a.low;
    return s;
}

static struct sum minus(struct sum a, struct sum b)
{
    struct sum s = { a.high - b.high, a.low - b.low };

    s.high -= a.low < b.low;
    return s;
}

static bool equal(struct sum a, struct sum b)
{
    return a.high == b.high && a.low == b.low;
}

/* What the log and the store say of a device. */
struct device {
    ljs_eui dev_eui;
    struct sum sum, found, first; /* first: what the record would have come from, by sum */
    struct sum tag;               /* of the record */
    bool met;                     /* the log told of this very record after it was read */
    uint32_t pass;                /* in which the log told of it last; 0: never */
    enum { UNSEEN, GOOD, BAD, NEWER, GONE, ODD } seen;
    bool used; /* a place of the table */
};

struct chain_seen {
    uint64_t writer, sequence; /* the last link */
    uint8_t tag[LINK_TAG_LEN];
    uint32_t generation;
    bool good, ended; /* the tag is known; END was there */
};

struct ljs_audit_report {
    ljs_audit_totals totals;
    ljs_audit_finding *finding;
    size_t findings_room;
    struct chain_seen *chain; /* rising */
    size_t chains_room;
};

struct verify {
    ljs_server *server;
    ljs_audit_report *report;
    struct anchor anchor;
    struct device *table; /* open addressing, room a power of two */
    size_t room, len;
    uint32_t pass; /* how often the links were gone through */
    bool looking;  /* for the first record of devices that are odd */
};

static void *grown(void *at, size_t *room, size_t len, size_t size)
{
    size_t more = *room ? 2 * *room : 16;
    void *moved = len < *room ? at : reallocarray(at, more, size);

    if (moved && len >= *room)
        *room = more;
    return moved;
}

static ljs_err add_finding(struct verify *v, ljs_audit_fault fault, uint64_t writer, uint64_t sequence, ljs_eui dev_eui)
{
    ljs_audit_report *r = v->report;
    void *moved = grown(r->finding, &r->findings_room, r->totals.findings, sizeof *r->finding);

    if (!moved)
        return LJS_E_NOMEM;
    r->finding = moved;
    r->finding[r->totals.findings++] = (ljs_audit_finding){ fault, writer, sequence, dev_eui };
    return LJS_OK;
}

/* ---- devices ---------------------------------------------------------------- */

static struct device *place_of(struct device *table, size_t room, ljs_eui dev_eui)
{
    size_t i = (size_t)(dev_eui * 0x9e3779b97f4a7c15 >> 16) & (room - 1);

    while (table[i].used && table[i].dev_eui != dev_eui)
        i = (i + 1) & (room - 1);
    return &table[i];
}

/* NULL: no memory. */
static struct device *device_of(struct verify *v, ljs_eui dev_eui)
{
    struct device *d;

    if (4 * (v->len + 1) > 3 * v->room) {
        size_t room = v->room ? 2 * v->room : 64;
        struct device *table = calloc(room, sizeof *table);

        if (!table)
            return NULL;
        for (size_t i = 0; i < v->room; i++)
            if (v->table[i].used)
                *place_of(table, room, v->table[i].dev_eui) = v->table[i];
        free(v->table);
        v->table = table;
        v->room = room;
    }
    d = place_of(v->table, v->room, dev_eui);
    if (!d->used) {
        *d = (struct device){ .dev_eui = dev_eui, .used = true };
        v->len++;
    }
    return d;
}

/* ---- links ------------------------------------------------------------------ */

/* Two who begin a log at once both tell what they found.  Where one did, nothing but that comes first: a record that
 * went there and back, whose steps add up to nothing, could else be put back as it was in between. */
static bool may_be_first(const struct device *d, const ljs_audit_entry *e)
{
    if (e->kind == LJS_AUDIT_FOUND)
        return equal(number(e->after), d->first);
    return e->has_before && equal(d->found, (struct sum){ 0, 0 }) && equal(number(e->before), d->first);
}

static ljs_err take_entry(struct verify *v, struct chain_seen *c, const ljs_audit_entry *e)
{
    struct device *d;
    struct sum after = number(e->after), before = number(e->before);

    if (e->kind == LJS_AUDIT_BEGIN)
        c->generation = e->count;
    if (e->kind == LJS_AUDIT_END)
        c->ended = true;
    if (!e->has_after || c->generation != v->report->totals.generation)
        return LJS_OK;
    if (!(d = device_of(v, e->dev_eui)))
        return LJS_E_NOMEM;
    if (v->looking) {
        if (d->seen == ODD && may_be_first(d, e))
            d->seen = GOOD;
        return LJS_OK;
    }
    d->pass = v->pass;
    d->met |= d->seen == ODD && equal(after, d->tag);
    if (e->kind == LJS_AUDIT_FOUND)
        d->found = after;
    else
        d->sum = plus(d->sum, minus(after, before));
    return LJS_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct anchored *x = a, *y = b;

    return x->writer != y->writer ? (x->writer < y->writer ? -1 : 1)
                                  : (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static ljs_err check_anchored(struct verify *v, const ljs_audit_link *head)
{
    const struct anchored key = { .writer = head->writer, .sequence = head->sequence };
    size_t low = 0, high = v->anchor.len;
    ljs_err err = LJS_OK;

    while (low < high) { /* the first that is not below it */
        size_t middle = (low + high) / 2;

        if (by_place(&v->anchor.at[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; !err && low < v->anchor.len && !by_place(&v->anchor.at[low], &key); low++) {
        struct anchored *a = &v->anchor.at[low];

        a->seen = true;
        if (memcmp(a->tag, head->tag, sizeof a->tag) != 0)
            err = add_finding(v, LJS_AUDIT_FORKED, head->writer, head->sequence, 0);
    }
    return err;
}

/* Where it is, or where it would be. */
static size_t chain_at(const ljs_audit_report *r, uint64_t writer)
{
    size_t low = 0, high = r->totals.chains;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (r->chain[middle].writer < writer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The chain of a link that comes next, as it was before; NULL: no memory. */
static struct chain_seen *chain_of(struct verify *v, uint64_t writer, bool *new)
{
    ljs_audit_report *r = v->report;
    size_t at = chain_at(r, writer);
    void *moved;

    *new = at == r->totals.chains || r->chain[at].writer != writer;
    if (!*new)
        return &r->chain[at];
    if (!(moved = grown(r->chain, &r->chains_room, r->totals.chains, sizeof *r->chain)))
        return NULL;
    r->chain = moved;
    memmove(r->chain + at + 1, r->chain + at, (r->totals.chains - at) * sizeof *r->chain);
    r->totals.chains++;
    r->chain[at] = (struct chain_seen){ .writer = writer };
    return &r->chain[at];
}

static ljs_err check_follows(struct verify *v, const struct chain_seen *c, bool new, const ljs_audit_link *head)
{
    static const uint8_t none[LINK_TAG_LEN];
    const uint8_t *before = new ? none : c->tag;

    if (head->sequence == (new ? 0 : c->sequence + 1)) {
        if (c->ended)
            return add_finding(v, LJS_AUDIT_CHAIN_END, head->writer, head->sequence, 0);
        if ((new || c->good) && memcmp(before, head->before, LINK_TAG_LEN) != 0)
            return add_finding(v, LJS_AUDIT_BROKEN, head->writer, head->sequence, 0);
        return LJS_OK;
    }
    return add_finding(v, LJS_AUDIT_GAP, head->writer, head->sequence, 0);
}

static ljs_err take_entries(struct verify *v, struct chain_seen *c, const ljs_buf *link)
{
    struct link_reader r;
    ljs_audit_entry e;
    ljs_err err = ljs__link_begin(&r, link->data, link->len);

    for (unsigned i = 0; !err && i < r.head.entries; i++) {
        ljs__link_next(&r, &e);
        err = take_entry(v, c, &e);
        v->report->totals.entries += !v->looking;
    }
    return err;
}

static ljs_err take_link(void *user, uint64_t writer, uint64_t sequence)
{
    struct verify *v = user;
    ljs_audit_link head = { .writer = writer, .sequence = sequence };
    ljs_buf link = { NULL, 0 };
    struct chain_seen *c;
    bool new;
    ljs_err err;

    if (!(c = chain_of(v, writer, &new)))
        return LJS_E_NOMEM;
    if (!new && !v->looking && sequence <= c->sequence)
        return LJS_OK; /* had that */
    err = ljs_server_get_link(&link, v->server, writer, sequence);
    if (v->looking) {
        if (!err)
            err = take_entries(v, c, &link);
        ljs_buf_free(&link);
        return err == LJS_E_SEAL || err == LJS_E_VERSION || err == LJS_E_NOTFOUND ? LJS_OK : err;
    }
    v->report->totals.links++;
    if (err == LJS_E_SEAL || err == LJS_E_VERSION || err == LJS_E_NOTFOUND) {
        err = add_finding(v, LJS_AUDIT_BAD_LINK, writer, sequence, 0);
        if (!err && sequence != (new ? 0 : c->sequence + 1))
            err = add_finding(v, LJS_AUDIT_GAP, writer, sequence, 0);
        c->good = false;
    } else if (!err && !(err = ljs_audit_link_read(&head, link.data, link.len)) &&
               !(err = check_follows(v, c, new, &head)) && !(err = check_anchored(v, &head))) {
        err = take_entries(v, c, &link);
        memcpy(c->tag, head.tag, sizeof c->tag);
        c->good = true;
    }
    c->sequence = sequence;
    ljs_buf_free(&link);
    return err;
}

static ljs_err take_links(struct verify *v)
{
    v->pass++;
    return ljs_server_each_link(v->server, take_link, v);
}

/* ---- records ---------------------------------------------------------------- */

static ljs_err take_record(struct verify *v, struct device *d)
{
    struct key key = ljs__key_eui(SPACE_DEVICE, d->dev_eui);
    ljs_buf record = { NULL, 0 };
    ljs_device device;
    uint64_t version;
    ljs_err err = ljs_store_get(&record, &version, v->server->store, key.at, key.len);

    if (err == LJS_E_NOTFOUND) {
        d->seen = GONE;
        return LJS_OK;
    }
    if (err)
        return err;
    err = ljs_device_check(v->server->vault, record.data, record.len);
    if (!err)
        err = ljs_device_read(&device, record.data, record.len);
    if (err == LJS_E_VERSION) {
        d->seen = NEWER;
        err = LJS_OK;
    } else if (err == LJS_E_SEAL || (!err && device.dev_eui != d->dev_eui)) {
        d->seen = BAD;
        err = LJS_OK;
    } else if (!err) {
        d->tag = number(record.data + record.len - LINK_TAG_LEN);
        d->met = false;
        d->first = minus(d->tag, d->sum);
        d->seen = d->pass && (equal(d->first, (struct sum){ 0, 0 }) || equal(d->first, d->found)) ? GOOD : ODD;
    }
    ljs_buf_free(&record);
    return err;
}

static ljs_err one_device(void *user, ljs_eui dev_eui)
{
    struct verify *v = user;
    struct device *d = device_of(v, dev_eui);

    v->report->totals.devices++;
    return d ? take_record(v, d) : LJS_E_NOMEM;
}

/* Once more for whatever does not fit: the links that came since the record was read may tell. */
static ljs_err again(bool *more, struct verify *v)
{
    uint32_t since = v->pass + 1;
    ljs_err err = take_links(v);

    *more = false;
    for (size_t i = 0; !err && i < v->room; i++) {
        struct device *d = &v->table[i];

        if (!d->used || (d->seen != UNSEEN && (d->seen == GOOD || d->pass < since)))
            continue;
        *more = true;
        err = take_record(v, d);
    }
    return err;
}

static ljs_err judge(struct verify *v, const struct device *d)
{
    static const ljs_audit_fault faults[] = { [BAD] = LJS_AUDIT_RECORD_BAD,
                                              [NEWER] = LJS_AUDIT_RECORD_NEWER,
                                              [GONE] = LJS_AUDIT_RECORD_GONE,
                                              [ODD] = LJS_AUDIT_RECORD_OLD };

    if (d->seen == GOOD || (d->seen == GONE && !d->pass)) /* made and gone while we looked */
        return LJS_OK;
    return add_finding(v, d->seen == ODD && !d->pass ? LJS_AUDIT_RECORD_ALIEN : faults[d->seen], 0, 0, d->dev_eui);
}

static int by_eui(const void *a, const void *b)
{
    const struct device *x = a, *y = b;

    return (x->dev_eui > y->dev_eui) - (x->dev_eui < y->dev_eui);
}

static ljs_err check_records(struct verify *v)
{
    bool more = true, odd = false;
    ljs_err err = ljs_server_each_device(v->server, one_device, v);

    for (unsigned n = 0; !err && more && n < ROUNDS; n++)
        err = again(&more, v);
    if (!err && more) /* devices that change all the time: what was read has to be told of by now */
        err = take_links(v);
    for (size_t i = 0; i < v->room; i++) {
        struct device *d = &v->table[i];

        if (d->seen == ODD && d->met)
            d->seen = GOOD;
        odd |= d->used && d->seen == ODD && d->pass;
    }
    if (!err && odd) { /* it may come from a record that was there before the log, and that no FOUND is left of */
        v->looking = true;
        err = ljs_server_each_link(v->server, take_link, v);
    }
    if (v->table)
        qsort(v->table, v->room, sizeof *v->table, by_eui); /* no table any more, but in order */
    for (size_t i = 0; !err && i < v->room; i++)
        if (v->table[i].used)
            err = judge(v, &v->table[i]);
    return err;
}

/* ---- the whole -------------------------------------------------------------- */

static ljs_err check_word(struct verify *v)
{
    const ljs_audit_report *r = v->report;
    uint32_t newest = 0;

    for (size_t i = 0; i < r->totals.chains; i++)
        if (r->chain[i].generation > newest)
            newest = r->chain[i].generation;
    return newest > r->totals.generation ? add_finding(v, LJS_AUDIT_WORD, 0, 0, 0) : LJS_OK;
}

static ljs_err check_anchor(struct verify *v)
{
    ljs_err err = LJS_OK;

    for (size_t i = 0; !err && i < v->anchor.len; i++)
        if (!v->anchor.at[i].seen)
            err = add_finding(v, LJS_AUDIT_CUT_SHORT, v->anchor.at[i].writer, v->anchor.at[i].sequence, 0);
    return err;
}

static ljs_err owned_is_odd(void *user, ljs_audit_fault fault, ljs_eui dev_eui)
{
    return add_finding(user, fault, 0, 0, dev_eui);
}

ljs_err ljs_server_verify_audit(ljs_audit_report **out, ljs_server *server, const uint8_t *in, size_t in_len)
{
    struct verify v = { .server = server };
    struct mark mark = { 0, false, 0 };
    ljs_err err = ljs__server_alive(server);

    *out = NULL;
    if (err || (err = ljs__anchor_read(&v.anchor, in, in_len)))
        return err;
    qsort(v.anchor.at, v.anchor.len, sizeof *v.anchor.at, by_place);
    if (!(v.report = calloc(1, sizeof *v.report)))
        err = LJS_E_NOMEM;
    if (!err && (err = ljs__audit_mark(&mark, server)) == LJS_E_SEAL)
        err = add_finding(&v, LJS_AUDIT_WORD, 0, 0, 0);
    if (!err) {
        v.report->totals.generation = mark.generation;
        v.report->totals.kept = mark.kept;
        err = take_links(&v);
    }
    if (!err)
        err = check_word(&v);
    if (!err)
        err = check_anchor(&v);
    if (!err && mark.kept)
        err = check_records(&v);
    if (!err)
        err = ljs__owned_verify(server, owned_is_odd, &v);
    free(v.table);
    free(v.anchor.at);
    if (err)
        ljs_audit_report_free(v.report);
    else
        *out = v.report;
    return err;
}

void ljs_audit_report_free(ljs_audit_report *report)
{
    if (!report)
        return;
    free(report->finding);
    free(report->chain);
    free(report);
}

ljs_err ljs_audit_report_totals(ljs_audit_totals *out, const ljs_audit_report *report)
{
    *out = report->totals;
    return LJS_OK;
}

ljs_err ljs_audit_report_finding(ljs_audit_finding *out, const ljs_audit_report *report, unsigned i)
{
    *out = (ljs_audit_finding){ .writer = 0 };
    if (i >= report->totals.findings)
        return LJS_E_NOTFOUND;
    *out = report->finding[i];
    return LJS_OK;
}

ljs_err ljs_audit_report_anchor(ljs_buf *out, const ljs_audit_report *report)
{
    struct wr w = { 0 };

    for (size_t i = 0; i < report->totals.chains; i++)
        if (report->chain[i].good)
            ljs__anchor_line(&w, report->chain[i].writer, report->chain[i].sequence, report->chain[i].tag);
    return ljs__wr_take(out, &w);
}

static const struct {
    ljs_audit_fault fault;
    const char *name, *text;
} faults[] = {
    { LJS_AUDIT_BAD_LINK, "bad-link", "the link is not as it was written" },
    { LJS_AUDIT_GAP, "gap", "links are missing before this one" },
    { LJS_AUDIT_BROKEN, "broken", "the link does not follow the one before it" },
    { LJS_AUDIT_CHAIN_END, "chain-end", "the chain goes on after its end" },
    { LJS_AUDIT_CUT_SHORT, "cut-short", "the chain is cut short: the anchor knows this link, and it is gone" },
    { LJS_AUDIT_FORKED, "forked", "the anchor knows another link in this place" },
    { LJS_AUDIT_WORD, "word", "the store's word whether a log is kept was altered" },
    { LJS_AUDIT_RECORD_BAD, "record-bad", "the record is not as it was written" },
    { LJS_AUDIT_RECORD_OLD, "record-old",
      "the record is not the one that the log leads to: an older one was put back, or it was changed without a log" },
    { LJS_AUDIT_RECORD_GONE, "record-gone", "the log tells of a record, and there is none" },
    { LJS_AUDIT_RECORD_ALIEN, "record-alien", "the log does not tell where the record comes from" },
    { LJS_AUDIT_OWNED_MISSING, "owned-missing",
      "the index of what accounts own lacks it: `lorajs claim index` mends that" },
    { LJS_AUDIT_OWNED_STRAY, "owned-stray",
      "the index of what accounts own has it for one that does not: `lorajs claim index` mends that" },
    { LJS_AUDIT_RECORD_NEWER, "record-newer",
      "the record says that a newer lorajs wrote it: verify with that, since this one cannot tell" },
};

const char *ljs_audit_fault_name(ljs_audit_fault fault)
{
    for (size_t i = 0; i < COUNT(faults); i++)
        if (faults[i].fault == fault)
            return faults[i].name;
    return "?";
}

const char *ljs_audit_fault_text(ljs_audit_fault fault)
{
    for (size_t i = 0; i < COUNT(faults); i++)
        if (faults[i].fault == fault)
            return faults[i].text;
    return "?";
}
