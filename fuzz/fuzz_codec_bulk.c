/* fuzz_codec_bulk.c -- laws of the formats of others.  The first octet says which format, the second how it is read.
 *  - rows are the same whether the octets come at once or one by one;
 *  - a row that is refused says why, in words that could be no key, and leaves nothing but a DevEUI;
 *  - a row that is taken makes a record, and has no key that a row before it has;
 *  - what is written of that record is read back as it was, but for what ljs_bulk_loses() says. */
#include "fuzz.h"

#include <lorajs/bulk.h>

#include <stdbool.h>
#include <string.h>

static ljs_vault *vault;

static bool is_fault(const char *text)
{
    size_t len = strnlen(text, LJS_LABEL_MAX), digits = 0;

    for (size_t i = 0; i < len; i++) {
        digits = strchr("0123456789abcdefABCDEF", text[i]) ? digits + 1 : 0;
        if (digits > 8 || text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    return len > 0 && len < LJS_LABEL_MAX;
}

static void refused(const ljs_bulk_row *row)
{
    const ljs_import *e = &row->entry;
    ljs_device left = { .struct_size = sizeof left, .dev_eui = e->device.dev_eui };

    CHECK(row->err == LJS_E_INVAL || row->err == LJS_E_WEAK || row->err == LJS_E_EXISTS);
    CHECK(is_fault(e->fault));
    CHECK(!memcmp(&left, &e->device, sizeof left));
    CHECK(!e->nwk && !e->app && !e->gen_app && !e->rekey && !e->dev_nonces.data && e->dev_nonce == -1);
    CHECK(!*row->name && !row->exposed && !row->has_join_nonce);
}

static bool same_key(const ljs_key *a, const ljs_key *b)
{
    ljs_buf x, y;
    bool same;

    if (!a || !b)
        return a == b;
    CHECK(ljs_key_export(&x, a) == LJS_OK && ljs_key_export(&y, b) == LJS_OK);
    same = x.len == y.len && !memcmp(x.data, y.data, x.len);
    ljs_buf_free(&x);
    ljs_buf_free(&y);
    return same;
}

/* DevNonces in any order, and any number of times. */
static void map_of(uint8_t map[8192], const ljs_buf *nonces)
{
    memset(map, 0, 8192);
    for (size_t i = 0; i + 2 <= nonces->len; i += 2)
        map[(nonces->data[i] | nonces->data[i + 1] << 8) >> 3] |= (uint8_t)(1 << (nonces->data[i] & 7));
}

static bool same_nonces(const ljs_buf *a, const ljs_buf *b)
{
    static uint8_t one[8192], other[8192];

    map_of(one, a);
    map_of(other, b);
    return !memcmp(one, other, sizeof one);
}

static ljs_bulk_opts opts_for(ljs_bulk_format format, const ljs_import *e, uint32_t loses)
{
    return (ljs_bulk_opts){ .struct_size = sizeof(ljs_bulk_opts),
                            .format = format,
                            .mac = loses & LJS_BULK_LOSES_VERSION ? (uint16_t)e->device.mac : 0,
                            .has_join_eui = 1,
                            .allow_weak = 1,
                            .join_eui = e->join_eui[0],
                            .next_join_nonce = loses & LJS_BULK_LOSES_NONCES ? e->device.next_join_nonce : 1 };
}

static void same(const ljs_bulk_row *row, const ljs_import *e, const ljs_device *d, uint32_t loses, const char *name)
{
    const ljs_import *got = &row->entry;
    const ljs_key *root = e->nwk ? e->nwk : e->app;

    CHECK(!row->err);
    CHECK(got->device.dev_eui == e->device.dev_eui && got->join_eui[0] == e->join_eui[0]);
    CHECK(got->device.mac == e->device.mac);
    CHECK(same_key(got->nwk ? got->nwk : got->app, root));
    if (e->device.mac >= LJS_MAC_1_1)
        CHECK(same_key(got->app, e->app));
    CHECK(got->device.next_join_nonce == d->next_join_nonce);
    if (!(loses & LJS_BULK_LOSES_NONCES)) {
        CHECK(got->dev_nonce >= e->dev_nonce);
        CHECK(got->dev_nonce == e->dev_nonce || (got->dev_nonce == 0 && d->next_join_nonce > 1));
        CHECK(same_nonces(&got->dev_nonces, &e->dev_nonces));
    }
    CHECK(!*row->name || !*name || !strcmp(row->name, name) || !strncmp(row->name, "eui-", 4));
}

static void write_and_read(ljs_bulk_format format, const ljs_import *e, const char *name, const ljs_buf *record)
{
    ljs_device d = { .struct_size = sizeof d };
    ljs_bulk_writer *writer;
    ljs_bulk_row row;
    ljs_bulk *bulk;
    ljs_bulk_opts opts;
    ljs_buf head, put;
    uint32_t loses;
    size_t at = 0;
    ljs_err err;

    CHECK(ljs_device_read(&d, record->data, record->len) == LJS_OK);
    CHECK(ljs_bulk_loses(&loses, format, record->data, record->len) == LJS_OK);
    opts = opts_for(format, e, loses);
    opts.next_join_nonce = loses & LJS_BULK_LOSES_NONCES ? d.next_join_nonce : 1;
    CHECK(ljs_bulk_writer_new(&writer, format) == LJS_OK && ljs_bulk_head(&head, writer) == LJS_OK);
    err = ljs_bulk_put(&put, writer, vault, *name ? name : NULL, record->data, record->len);
    ljs_bulk_writer_free(writer);
    CHECK(err == (loses & LJS_BULK_LOSES_ROOT_KEY ? LJS_E_NOKEY : LJS_OK));
    if (!err) {
        CHECK(ljs_bulk_new(&bulk, &opts) == LJS_OK);
        if (head.len)
            CHECK(ljs_bulk_next(&row, &at, bulk, head.data, head.len) == LJS_E_NOTFOUND);
        at = 0;
        CHECK(ljs_bulk_next(&row, &at, bulk, put.data, put.len) == LJS_OK);
        same(&row, e, &d, loses, name);
        ljs_bulk_row_clear(&row);
        while (at < put.len)
            CHECK(ljs_bulk_next(&row, &at, bulk, put.data, put.len) == LJS_E_NOTFOUND);
        CHECK(ljs_bulk_next(&row, &at, bulk, NULL, 0) == LJS_E_NOTFOUND);
        ljs_bulk_free(bulk);
    }
    ljs_buf_free(&head);
    ljs_buf_free(&put);
}

static void taken(const ljs_bulk_row *row, const ljs_bulk_opts *opts)
{
    const ljs_import *e = &row->entry;
    const ljs_root_keys keys = { e->nwk, e->app, e->gen_app, e->rekey };
    ljs_buf record;

    CHECK(!*e->fault && e->device.join_euis >= 1 && e->device.join_eui == e->join_eui[0]);
    CHECK(row->has_join_nonce || e->device.next_join_nonce == opts->next_join_nonce);
    CHECK(ljs_device_make(&record, vault, &e->device, &keys, LJS_MAKE_ALLOW_WEAK, e->dev_nonce, e->dev_nonces.data,
                          e->dev_nonces.len, NULL, 0) == LJS_OK);
    write_and_read(opts->format, e, row->name, &record);
    if (e->device.mac < LJS_MAC_1_1) /* a place for what it has is in any of them */
        write_and_read((ljs_bulk_format)(1 + (opts->format + e->device.dev_eui) % LJS_BULK_WANESY), e, row->name,
                       &record);
    ljs_buf_free(&record);
}

/* What all rows came to, as one number. */
static uint64_t read_all(const ljs_bulk_opts *opts, const uint8_t *data, size_t size, size_t piece, bool look)
{
    uint64_t sum = 0xcbf29ce484222325;
    ljs_bulk_row row;
    ljs_bulk *bulk;
    ljs_err err = LJS_E_NOTFOUND;

    CHECK(ljs_bulk_new(&bulk, opts) == LJS_OK);
    for (size_t from = 0; err == LJS_E_NOTFOUND; from += piece) {
        bool end = from >= size;
        size_t n = end ? 0 : size - from < piece ? size - from : piece, at = 0;

        while (!(err = ljs_bulk_next(&row, &at, bulk, end ? NULL : data + from, n))) {
            if (look && row.err)
                refused(&row);
            else if (look)
                taken(&row, opts);
            sum = (sum ^ row.entry.device.dev_eui ^ row.line << 32 ^ (uint64_t)-row.err) * 0x100000001b3;
            for (const char *c = row.entry.fault; *c; c++)
                sum = (sum ^ (uint8_t)*c) * 0x100000001b3;
            ljs_bulk_row_clear(&row);
        }
        CHECK(err == LJS_E_NOTFOUND || err == LJS_E_INVAL);
        if (end)
            break;
    }
    ljs_bulk_free(bulk);
    return sum ^ (uint64_t)-err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t master[32] = { 1 };
    static const uint16_t macs[4] = { 0, LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    ljs_bulk_opts opts = { .struct_size = sizeof opts };
    uint64_t sum;
    uint32_t formats;

    if (!vault)
        CHECK(ljs_vault_new(&vault, master, sizeof master) == LJS_OK);
    if (size < 2)
        return 0;
    opts.format = (ljs_bulk_format)(1 + data[0] % LJS_BULK_WANESY);
    opts.mac = macs[data[1] & 3];
    opts.has_join_eui = data[1] >> 2 & 1;
    opts.join_eui = 0x70b3d57ed0000000;
    opts.allow_weak = data[1] >> 3 & 1;
    opts.next_join_nonce = (uint32_t)(data[1] >> 4) * 3;
    sum = read_all(&opts, data + 2, size - 2, size, true);
    CHECK(sum == read_all(&opts, data + 2, size - 2, 1, false));
    CHECK(ljs_bulk_guess(&formats, data + 2, size - 2) == LJS_OK && formats < 1u << (LJS_BULK_WANESY + 1));
    return 0;
}
