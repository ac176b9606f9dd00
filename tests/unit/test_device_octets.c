/* A session that a step has not touched is written as the octets that it came in, and that is never to be seen: every
 * record is written as it would be by who packs all of it anew. */
#include "device_world.h"
#include "random.h"

#include "device/record.h"

enum { ALL = LJS_SESSIONS_MAX };

/* Nine sessions, under two JoinEUIs, with numbers of every length; the oldest is proven. */
static ljs_buf full_record(void)
{
    static const uint8_t cf_list[LJS_CFLIST_LEN] = { 0x18, 0x4f, 0x84 };
    static const int64_t times[ALL] = { 0, 1, 200, 70000, 1700000000, INT64_C(1) << 40, -1, -200, INT64_MIN };
    static const ljs_devaddr addrs[ALL] = { 0, 1, 200, 70000, 0xffffffff, 0x26000000, 127, 128, 256 };
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = make(&d), next;

    assert_int_equal(ljs_device_add_join_eui(&next, vault, EUI2, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
    record = next;
    for (unsigned i = 0; i < ALL; i++) {
        ljs_join_req req = join_req_for(LJS_MAC_1_1, i % 3 ? EUI : EUI2, (uint16_t)(100 * i), nwk);

        req.session_key_id[0] = (uint8_t)(1 + i);
        memset(req.session_key_id + 1, (int)i, sizeof req.session_key_id - 1);
        req.now = times[i];
        req.dev_addr = addrs[i];
        req.cf_list_len = i + 1 == ALL ? sizeof cf_list : 0;
        memcpy(req.cf_list, cf_list, req.cf_list_len);
        if (i + 1 == ALL) {
            struct record r;

            assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
            r.session[r.d.sessions - 1].proven = 1;
            assert_int_equal(ljs__record_save(&next, &r, vault), LJS_OK);
            ljs_buf_free(&record);
            record = next;
        }
        joined_on(&record, &req);
    }
    assert_int_equal(read_device(&record).sessions, ALL);
    return record;
}

static void expect_written_alike(const struct record *r)
{
    struct record all = *r;
    ljs_buf got, want;

    all.origins = 0;
    assert_int_equal(ljs__record_save(&got, r, vault), LJS_OK);
    assert_int_equal(ljs__record_save(&want, &all, vault), LJS_OK);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, got.len);
    ljs_buf_free(&got);
    ljs_buf_free(&want);
}

/* Each octet of each session, changed: so no member is forgotten by who compares. */
static void test_every_octet(void **state)
{
    ljs_buf record = full_record(), saved;
    struct record r;
    ljs_session s;

    (void)state;
    assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
    assert_int_equal(r.origins, ALL);
    assert_int_equal(ljs__record_save(&saved, &r, vault), LJS_OK);
    assert_int_equal(saved.len, record.len);
    assert_memory_equal(saved.data, record.data, saved.len);
    ljs_buf_free(&saved);
    for (unsigned i = 0; i < ALL; i++)
        for (size_t at = 0; at < sizeof s; at++) {
            s = r.session[i];
            ((uint8_t *)&r.session[i])[at] ^= 1;
            expect_written_alike(&r);
            r.session[i] = s;
        }
    ljs_buf_free(&record);
}

/* What moves, goes and comes; and a JoinEUI that is another one's place by now. */
static void test_every_place(void **state)
{
    ljs_buf record = full_record();
    uint64_t random = 11;
    struct record r, was;

    (void)state;
    assert_int_equal(ljs__record_load(&was, vault, record.data, record.len), LJS_OK);
    for (unsigned i = 0; i < 2000; i++) {
        r = was;
        for (unsigned k = 0; k < ALL; k++) /* any of them, in any order, and some twice */
            if (random_next(&random) % 3 == 0)
                r.session[k] = was.session[random_next(&random) % ALL];
        r.d.sessions = (uint8_t)(random_next(&random) % (ALL + 1));
        if (i % 2) {
            r.context[0] = was.context[1];
            r.context[1] = was.context[0];
        }
        if (i % 5 == 0)
            r.context[1].join_eui = EUI2 + 1;
        expect_written_alike(&r);
    }
    ljs_buf_free(&record);
}

/* ---- octets that we do not write, and that a tag can be over -------------------- */

/* A value at `in`: how many octets it or the header of it takes, and what number is in it. */
struct value {
    size_t len, body; /* body: octets of bin and text behind the header */
    uint64_t number;
    enum { POSITIVE, NEGATIVE, BIN, TEXT, ARRAY, MAP } kind;
};

static struct value value_at(const uint8_t *in)
{
    static const uint8_t kinds[] = { [4] = BIN, BIN,      BIN,      [12] = POSITIVE, POSITIVE, POSITIVE,
                                     POSITIVE,  NEGATIVE, NEGATIVE, NEGATIVE,        NEGATIVE, [25] = TEXT,
                                     TEXT,      TEXT,     ARRAY,    ARRAY,           MAP,      MAP };
    static const uint8_t lens[] = { [4] = 1, 2, 4, [12] = 1, 2, 4, 8, 1, 2, 4, 8, [25] = 1, 2, 4, 2, 4, 2, 4 };
    struct value v = { .len = 1 };

    if (in[0] < 0x80) {
        v.number = in[0];
    } else if (in[0] >= 0xe0) {
        v.kind = NEGATIVE;
        v.number = (uint64_t)(int8_t)in[0];
    } else if (in[0] < 0xc0) {
        v.kind = in[0] >= 0xa0 ? TEXT : in[0] >= 0x90 ? ARRAY : MAP;
        v.number = in[0] & (in[0] >= 0xa0 ? 0x1f : 0x0f);
    } else {
        assert_true(lens[in[0] - 0xc0] != 0);
        v.kind = kinds[in[0] - 0xc0];
        v.len += lens[in[0] - 0xc0];
        v.number = v.kind == NEGATIVE ? UINT64_MAX : 0;
        for (size_t i = 1; i < v.len; i++)
            v.number = v.number << 8 | in[i];
    }
    v.body = v.kind == BIN || v.kind == TEXT ? v.number : 0;
    return v;
}

/* The same value behind this first octet, in as many octets as that has; false: it is too much for them. */
static bool write_as(struct wr *w, uint8_t first, unsigned octets, const struct value *v)
{
    const bool is_signed = first >= 0xd0 && first <= 0xd3;
    const unsigned bits = 8 * octets - is_signed;

    if (v->kind == NEGATIVE ? bits < 63 && ~v->number >> bits : bits < 64 && v->number >> bits)
        return false;
    ljs__wr(w, &first, 1);
    for (unsigned i = octets; i > 0; i--) {
        uint8_t octet = (uint8_t)(v->number >> (8 * (i - 1)));

        ljs__wr(w, &octet, 1);
    }
    return true;
}

static const struct form {
    uint8_t kind, first, octets;
} forms[] = {
    { POSITIVE, 0xcc, 1 }, { POSITIVE, 0xcd, 2 }, { POSITIVE, 0xce, 4 }, { POSITIVE, 0xcf, 8 }, { POSITIVE, 0xd0, 1 },
    { POSITIVE, 0xd1, 2 }, { POSITIVE, 0xd2, 4 }, { POSITIVE, 0xd3, 8 }, { NEGATIVE, 0xd0, 1 }, { NEGATIVE, 0xd1, 2 },
    { NEGATIVE, 0xd2, 4 }, { NEGATIVE, 0xd3, 8 }, { BIN, 0xc4, 1 },      { BIN, 0xc5, 2 },      { BIN, 0xc6, 4 },
    { TEXT, 0xd9, 1 },     { TEXT, 0xda, 2 },     { TEXT, 0xdb, 4 },     { ARRAY, 0xdc, 2 },    { ARRAY, 0xdd, 4 },
    { MAP, 0xde, 2 },      { MAP, 0xdf, 4 },
};

/* The record with its value at `at` behind another first octet; false: that is how it stands there, or it cannot. */
static bool loosened(struct wr *w, const ljs_buf *record, size_t at, const struct form *form)
{
    const struct value v = value_at(record->data + at);

    w->len = 0;
    ljs__wr(w, record->data, at);
    if (v.kind != form->kind || record->data[at] == form->first || !write_as(w, form->first, form->octets, &v))
        return false;
    ljs__wr(w, record->data + at + v.len, record->len - 16 - at - v.len);
    assert_int_equal(ljs__vault_tag(w, vault, TAG_RECORD), LJS_OK);
    return true;
}

/* Whoever has the vault for tags can write each value in other octets than we do.  Such a record is read, and says the
 * same; what is made of it is what is made of ours. */
static void test_other_octets(void **state)
{
    ljs_buf record = full_record(), next, want = copy_of(&record);
    ljs_join_req req = join_req(LJS_MAC_1_1, 1000);
    unsigned values = 0, others = 0;
    struct wr w = { 0 };
    struct record r, ours;
    ljs_join_ans ans;

    (void)state;
    joined_on(&want, &req);
    assert_int_equal(ljs__record_load(&ours, vault, record.data, record.len), LJS_OK);
    for (size_t at = 0; at < record.len - 16;) {
        const struct value v = value_at(record.data + at);

        for (size_t f = 0; f < COUNT_OF(forms); f++) {
            if (!loosened(&w, &record, at, &forms[f]))
                continue;
            assert_int_equal(ljs__record_load(&r, vault, w.data, w.len), LJS_OK);
            assert_memory_equal(&r.d, &ours.d, sizeof r.d);
            assert_memory_equal(r.session, ours.session, sizeof r.session);
            assert_int_equal(ljs__record_save(&next, &r, vault), LJS_OK);
            assert_int_equal(next.len, record.len);
            assert_memory_equal(next.data, record.data, next.len);
            ljs_buf_free(&next);
            assert_int_equal(ljs_join(&ans, &next, vault, &req, NULL, NULL, NULL, NULL, w.data, w.len), LJS_OK);
            assert_int_equal(next.len, want.len);
            assert_memory_equal(next.data, want.data, next.len);
            ljs_buf_free(&next);
            others++;
        }
        at += v.len + v.body;
        values++;
    }
    assert_true(values > 14 * ALL && others > 3 * values);
    ljs__wr_drop(&w);
    ljs_buf_free(&want);
    ljs_buf_free(&record);
}

/* Two JoinEUIs that are one: a session is of the first of them, whichever it was written as. */
static void test_one_join_eui_twice(void **state)
{
    ljs_buf record = full_record(), saved;
    struct record r;

    (void)state;
    assert_int_equal(ljs__record_load(&r, vault, record.data, record.len), LJS_OK);
    for (unsigned i = 0; i < ALL; i++)
        r.session[i].join_eui = r.context[1].join_eui;
    assert_int_equal(ljs__record_save(&saved, &r, vault), LJS_OK); /* all of the second */
    ljs_buf_free(&record);
    assert_int_equal(ljs__record_load(&r, vault, saved.data, saved.len), LJS_OK);
    r.context[0].join_eui = r.context[1].join_eui;
    expect_written_alike(&r);
    ljs_buf_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_octet),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_other_octets),
        cmocka_unit_test(test_one_join_eui_twice),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
