/* A file as a stream: where its rows begin and end, and what is refused whatever the format. */
#include "codec/bulk.h"

#include "base/secret.h"
#include "codec/seen.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIGEST_LEN = 7, DIGEST_KEY_LEN = 32, KEYS = 4 };

struct ljs_bulk {
    ljs_bulk_opts opts;
    const struct bulk_family *family;
    ljs_err fault; /* why nothing more is read */
    uint64_t offset, number, line, began;
    struct wr row;
    size_t depth;  /* brackets that are open: counted, not believed */
    uint8_t quote; /* inside of quotes of this kind; 0 outside */
    bool escape;   /* behind a backslash, or of a table behind a quote that may have been the first of two */
    bool cell;     /* at the beginning of one */
    bool junk;     /* in what is no object */
    bool too_long;
    char delimiter; /* 0 until it is known */
    const struct bulk_name *column[BULK_CELLS_MAX];
    size_t columns;
    uint8_t digest_key[DIGEST_KEY_LEN];
    struct seen keys;
};

const struct bulk_family *ljs__bulk_family(ljs_bulk_format format)
{
    static const struct bulk_family *const families[] = {
        [LJS_BULK_LORAJS] = &ljs__bulk_lorajs,         [LJS_BULK_TTS_CSV] = &ljs__bulk_tts_csv,
        [LJS_BULK_TTS_JSON] = &ljs__bulk_tts_json,     [LJS_BULK_TTJS] = &ljs__bulk_ttjs,
        [LJS_BULK_CHIRPSTACK] = &ljs__bulk_chirpstack, [LJS_BULK_THINGPARK] = &ljs__bulk_thingpark,
        [LJS_BULK_WANESY] = &ljs__bulk_wanesy,
    };

    return (size_t)format < COUNT(families) ? families[format] : NULL;
}

ljs_err ljs_bulk_format_parse(ljs_bulk_format *out, const char *text)
{
    for (unsigned i = LJS_BULK_LORAJS; i <= LJS_BULK_WANESY; i++)
        if (!strcmp(ljs__bulk_family((ljs_bulk_format)i)->name, text)) {
            *out = (ljs_bulk_format)i;
            return LJS_OK;
        }
    *out = (ljs_bulk_format)0;
    return LJS_E_INVAL;
}

const char *ljs_bulk_format_text(ljs_bulk_format format)
{
    const struct bulk_family *family = ljs__bulk_family(format);

    return family ? family->name : "?";
}

ljs_err ljs_bulk_new(ljs_bulk **out, const ljs_bulk_opts *opts)
{
    const struct bulk_family *family = ljs__bulk_family(opts->format);
    ljs_bulk *bulk;
    ljs_err err = ljs__init();

    *out = NULL;
    if (err)
        return err;
    if (opts->struct_size != sizeof *opts || !family || opts->next_join_nonce > 0x1000000 ||
        (opts->mac && !strcmp(ljs_mac_text((ljs_mac)opts->mac), "?")))
        return LJS_E_INVAL;
    if (!(bulk = calloc(1, sizeof *bulk)))
        return LJS_E_NOMEM;
    bulk->opts = *opts;
    bulk->family = family;
    bulk->line = 1;
    bulk->cell = true;
    if (family->frame == BULK_TABLE && !family->header)
        bulk->delimiter = *family->delimiters;
    bulk->keys.width = DIGEST_LEN;
    ljs__random(bulk->digest_key, sizeof bulk->digest_key);
    *out = bulk;
    return LJS_OK;
}

void ljs_bulk_free(ljs_bulk *bulk)
{
    if (!bulk)
        return;
    ljs__wr_drop(&bulk->row);
    ljs__seen_drop(&bulk->keys);
    ljs__wipe(bulk, sizeof *bulk);
    free(bulk);
}

void ljs_bulk_row_clear(ljs_bulk_row *row)
{
    if (!row)
        return;
    ljs_import_clear(&row->entry);
    ljs__wipe(row, sizeof *row);
}

/* ---- where a row ends -------------------------------------------------------------- */

static void keep(ljs_bulk *b, uint8_t c)
{
    if (!b->row.len)
        b->began = b->line;
    if (b->row.len == LJS_BULK_ROW_MAX)
        b->too_long = true;
    else
        ljs__wr(&b->row, &c, 1);
}

static bool in_line(ljs_bulk *b, uint8_t c)
{
    if (c == '\n')
        return true;
    keep(b, c);
    return false;
}

static bool is_delimiter(const ljs_bulk *b, uint8_t c)
{
    return b->delimiter ? c == (uint8_t)b->delimiter : c && strchr(b->family->delimiters, c);
}

static bool in_table(ljs_bulk *b, uint8_t c)
{
    bool comment = b->family->comments && b->row.len && *b->row.data == '#';

    if (b->quote && c == '"') {
        b->quote = 0;
        b->escape = true;
    } else if (c == '"' && (b->cell || b->escape) && !comment) {
        b->quote = c;
        b->escape = false;
    } else {
        b->escape = false;
    }
    if (c == '\n' && !b->quote)
        return true;
    b->cell = !b->quote && is_delimiter(b, c);
    keep(b, c);
    return false;
}

static bool is_between(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == '[' || c == ']';
}

static bool in_objects(ljs_bulk *b, uint8_t c)
{
    if (!b->depth && !b->junk) {
        if (is_between(c))
            return false;
        b->junk = c != '{';
    }
    if (b->junk) /* what follows may be good from the next line on */
        return in_line(b, c);
    keep(b, c);
    if (b->quote) {
        if (!b->escape && c == b->quote)
            b->quote = 0;
        b->escape = !b->escape && c == '\\';
    } else if (c == '"' || (c == '\'' && b->family->js)) {
        b->quote = c;
    } else if (c == '{' || c == '[') {
        b->depth++;
    } else if (c == '}' || c == ']') {
        b->depth--;
    }
    return b->depth == 0;
}

/* An octet; true when a row is whole. */
static bool take(ljs_bulk *b, uint8_t c)
{
    static const uint8_t mark[3] = { 0xef, 0xbb, 0xbf }; /* of UTF-8, before the first row */
    bool whole;

    if (b->offset < sizeof mark && !b->row.len && c == mark[b->offset]) {
        b->offset++;
        return false;
    }
    b->offset = sizeof mark;
    whole = b->family->frame == BULK_LINES   ? in_line(b, c)
            : b->family->frame == BULK_TABLE ? in_table(b, c)
                                             : in_objects(b, c);
    b->line += c == '\n';
    return whole;
}

static void next_row(ljs_bulk *b)
{
    if (b->row.data)
        ljs__wipe(b->row.data, b->row.len);
    b->row.len = 0;
    b->depth = 0;
    b->quote = 0;
    b->escape = b->junk = b->too_long = false;
    b->cell = true;
}

/* ---- what is in it ----------------------------------------------------------------- */

enum what { ROW_NONE, ROW_GOOD, ROW_REFUSED };

static const char *columns_of(ljs_bulk *b, const struct bulk_cells *cells)
{
    bool dev_eui = false;

    if (memchr(cells->at[0], '\r', (size_t)(cells->at[cells->n - 1] + cells->len[cells->n - 1] - cells->at[0])))
        return "no header"; /* lines that end so have no end here: all of the file would be this one */
    for (size_t i = 0; i < cells->n; i++) {
        b->column[i] = ljs__bulk_named(b->family, cells->at[i], cells->len[i]);
        dev_eui |= b->column[i] && b->column[i]->field == BULK_DEV_EUI;
    }
    b->columns = cells->n;
    return dev_eui ? NULL : "no header";
}

static char delimiter_of(const ljs_bulk *b)
{
    for (const char *d = b->family->delimiters; *d; d++)
        if (memchr(b->row.data, *d, b->row.len))
            return *d;
    return *b->family->delimiters;
}

static enum what read_cells(ljs_bulk *b, struct bulk_reading *r, const struct bulk_cells *cells)
{
    size_t filled = 0;

    for (size_t i = 0; i < cells->n; i++)
        filled += cells->len[i];
    if (!filled)
        return ROW_NONE;
    if (b->family->header && cells->n > b->columns) {
        ljs__bulk_fault(r, "", "has more cells than the header");
        return ROW_REFUSED;
    }
    for (size_t i = 0; i < cells->n; i++) {
        const struct bulk_name *column = b->family->header          ? b->column[i]
                                         : i < b->family->names_len ? &b->family->names[i]
                                                                    : NULL;

        if (column && !ljs__bulk_text(r, column->field, column->name, cells->at[i], cells->len[i]))
            return ROW_REFUSED;
    }
    return ljs__bulk_finish(r) ? ROW_GOOD : ROW_REFUSED;
}

static enum what read_table(ljs_bulk *b, struct bulk_reading *r)
{
    struct bulk_cells cells;
    bool head = b->family->header && !b->columns;
    const char *why;

    if (head)
        b->delimiter = delimiter_of(b);
    if (b->row.data[b->row.len - 1] == '\r')
        b->row.len--;
    if (!b->row.len || (b->family->comments && *b->row.data == '#'))
        return ROW_NONE;
    why = ljs__csv_read(&cells, b->delimiter, (char *)b->row.data, b->row.len);
    if (!why && head)
        why = columns_of(b, &cells);
    if (head) {
        r->err = why ? LJS_E_INVAL : LJS_OK; /* nothing can be read without it */
        return ROW_NONE;
    }
    if (!why)
        return read_cells(b, r, &cells);
    ljs__bulk_fault(r, "", why);
    return ROW_REFUSED;
}

static enum what read_line(ljs_bulk *b, struct bulk_reading *r)
{
    bool blank = true;

    for (size_t i = 0; blank && i < b->row.len; i++)
        blank = b->row.data[i] == ' ' || b->row.data[i] == '\t' || b->row.data[i] == '\r';
    if (blank)
        return ROW_NONE;
    r->err = ljs_import_parse(&r->row->entry, b->row.data, b->row.len);
    if (r->err == LJS_E_INVAL) {
        r->err = LJS_OK;
        return ROW_REFUSED;
    }
    if (!r->err && !r->row->entry.device.next_join_nonce)
        r->row->entry.device.next_join_nonce = b->opts.next_join_nonce;
    r->row->has_join_nonce = 1; /* a line without it is of a device that never joined, by import.h */
    return ROW_GOOD;
}

static enum what read_object(ljs_bulk *b, struct bulk_reading *r)
{
    struct wr json = { 0 };
    bool good;

    if (b->junk || b->depth) {
        ljs__bulk_fault(r, "", b->junk ? "not a JSON object" : "is cut short");
        return ROW_REFUSED;
    }
    if (b->family->js)
        ljs__bulk_from_js(&json, b->row.data, b->row.len);
    if (json.bad)
        r->err = LJS_E_NOMEM;
    good = !r->err && ljs__bulk_object(r, json.data ? json.data : b->row.data, json.data ? json.len : b->row.len) &&
           ljs__bulk_finish(r);
    ljs__wr_drop(&json);
    return good ? ROW_GOOD : ROW_REFUSED;
}

/* ---- keys that are no secret -------------------------------------------------------- */

static const struct {
    const char *name;
    size_t at;
} keys[KEYS] = {
    { "nwk_key", offsetof(ljs_import, nwk) },
    { "app_key", offsetof(ljs_import, app) },
    { "gen_app_key", offsetof(ljs_import, gen_app) },
    { "rekey_key", offsetof(ljs_import, rekey) },
};

static void put_eui(uint8_t out[8], ljs_eui eui, bool reversed)
{
    for (unsigned i = 0; i < 8; i++)
        out[reversed ? i : 7 - i] = (uint8_t)(eui >> 8 * i);
}

/* Two EUIs of the device side by side, in either order of octets: printed on it, or heard on air. */
static bool of_euis(const ljs_import *entry, const uint8_t octets[BULK_KEY_LEN])
{
    const ljs_eui euis[2] = { entry->device.dev_eui, entry->device.join_eui };
    uint8_t made[BULK_KEY_LEN];
    bool same = false;

    for (unsigned i = 0; i < 8; i++) {
        put_eui(made, euis[i & 1], i >> 2);
        put_eui(made + 8, euis[i >> 1 & 1], i >> 2);
        same |= ljs__equal(made, octets, sizeof made);
    }
    ljs__public(&same, sizeof same);
    return same;
}

static ljs_err look_at_key(struct bulk_reading *r, ljs_bulk *b, unsigned i, const ljs_key *key,
                           uint8_t digest[BULK_KEY_LEN])
{
    ljs_buf octets;
    ljs_err err = ljs_key_export(&octets, key);

    if (err)
        return err;
    ljs__tag(digest, b->digest_key, octets.data, octets.len);
    ljs__public(digest, DIGEST_LEN);
    if (!b->opts.allow_weak && (ljs_key_check(key) || of_euis(&r->row->entry, octets.data))) {
        ljs__bulk_fault(r, keys[i].name, "so regular that it is no secret");
        err = LJS_E_WEAK;
    } else if (ljs__seen_has(&b->keys, digest)) {
        ljs__bulk_fault(r, keys[i].name, "a row before this one has the same key");
        err = LJS_E_EXISTS;
    }
    ljs_buf_free(&octets);
    return err;
}

/* LJS_E_WEAK, LJS_E_EXISTS; else they are remembered. */
static ljs_err look_at_keys(struct bulk_reading *r, ljs_bulk *b)
{
    uint8_t digest[KEYS][BULK_KEY_LEN];
    bool there[KEYS];
    ljs_err err = LJS_OK;

    for (unsigned i = 0; !err && i < KEYS; i++) {
        const ljs_key *key = *(ljs_key **)((uint8_t *)&r->row->entry + keys[i].at);

        there[i] = key != NULL;
        if (key)
            err = look_at_key(r, b, i, key, digest[i]);
    }
    for (unsigned i = 0; !err && i < KEYS; i++)
        if (there[i])
            err = ljs__seen_add(&b->keys, digest[i]);
    return err;
}

/* ---- the stream ------------------------------------------------------------------------ */

/* Nothing is left of it but who it was about, and why. */
static void refuse(ljs_bulk_row *row, ljs_err err)
{
    ljs_eui dev_eui = row->entry.device.dev_eui;
    char fault[sizeof row->entry.fault];

    memcpy(fault, row->entry.fault, sizeof fault);
    ljs_import_clear(&row->entry);
    memcpy(row->entry.fault, fault, sizeof fault);
    row->entry.device.dev_eui = dev_eui;
    row->err = err;
    row->has_join_nonce = row->exposed = 0;
    memset(row->name, 0, sizeof row->name);
}

static enum what read_row(ljs_bulk *b, struct bulk_reading *r)
{
    if (b->too_long) {
        ljs__bulk_fault(r, "", "is longer than 524288 octets");
        return ROW_REFUSED;
    }
    switch (b->family->frame) {
    case BULK_LINES:
        return read_line(b, r);
    case BULK_TABLE:
        return read_table(b, r);
    case BULK_OBJECTS:
        break;
    }
    return read_object(b, r);
}

/* LJS_E_NOTFOUND when what was read is no row. */
static ljs_err give(ljs_bulk_row *out, ljs_bulk *b)
{
    struct bulk_reading r = { .family = b->family, .opts = &b->opts, .row = out, .dev_nonce = -1 };
    enum what what;
    ljs_err err;

    *out = (ljs_bulk_row){ .line = b->began, .entry = { .dev_nonce = -1 } };
    out->entry.device.struct_size = sizeof out->entry.device;
    what = b->row.len && !b->row.bad ? read_row(b, &r) : ROW_NONE;
    err = b->row.bad || r.dev_nonces.bad ? LJS_E_NOMEM : r.err;
    if (!err && what == ROW_GOOD)
        err = look_at_keys(&r, b);
    ljs__wr_drop(&r.dev_nonces);
    next_row(b);
    if (err == LJS_E_WEAK || err == LJS_E_EXISTS)
        refuse(out, err);
    else if (what == ROW_REFUSED)
        refuse(out, LJS_E_INVAL);
    else if (err) {
        ljs_bulk_row_clear(out);
        b->fault = err;
        return err;
    }
    if (what == ROW_NONE)
        return LJS_E_NOTFOUND;
    out->number = ++b->number;
    return LJS_OK;
}

ljs_err ljs_bulk_next(ljs_bulk_row *out, size_t *at, ljs_bulk *bulk, const uint8_t *in, size_t in_len)
{
    *out = (ljs_bulk_row){ .entry = { .dev_nonce = -1 } };
    while (!bulk->fault && *at < in_len) {
        uint8_t c = in[(*at)++];
        ljs_err err = take(bulk, c) ? give(out, bulk) : LJS_E_NOTFOUND;

        if (err != LJS_E_NOTFOUND)
            return err;
    }
    if (!bulk->fault && !in) {
        ljs_err err = give(out, bulk);

        if (err == LJS_E_NOTFOUND && bulk->family->header && !bulk->columns)
            bulk->fault = LJS_E_INVAL;
        return bulk->fault ? bulk->fault : err;
    }
    return bulk->fault ? bulk->fault : LJS_E_NOTFOUND;
}
