/* rekey_side.h -- a Join Server's side of a rekey by suite 1, with keys that the test knows: what may happen to it is a
 * letter. */
#ifndef TESTS_REKEY_SIDE_H
#define TESTS_REKEY_SIDE_H

#include "rekey_world.h"

/* One device's keys of epochs 0 and 1 by suite 1, known to the test, and its record. */
struct side {
    ljs_vault *vault;
    ljs_key *old, *rekey, *new, *rekey_int;
    ljs_buf record, command;
    ljs_rekey_opts opts;
    uint16_t nonce;
};

static inline ljs_key *derived(const ljs_key *from, ljs_key_name name)
{
    const ljs_derivation what = {
        .name = name, .dev_eui = W_DEV, .join_eui = name == LJS_KEY_REKEY_JOIN ? W_NEW : 0, .epoch = 1
    };
    ljs_key *key;

    assert_int_equal(ljs_derive(&key, &what, from), LJS_OK);
    return key;
}

static inline void begin_side(struct side *s, unsigned flags, bool transfer)
{
    const ljs_device device = {
        .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = transfer ? W_EUI : W_NEW, .mac = LJS_MAC_1_0_4
    };
    uint8_t master[32] = { 1 };
    ljs_key *join_key;

    memset(s, 0, sizeof *s);
    assert_int_equal(ljs_vault_new(&s->vault, master, sizeof master), LJS_OK);
    assert_int_equal(ljs_key_generate(&s->old, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&s->rekey, 16), LJS_OK);
    join_key = derived(s->rekey, LJS_KEY_REKEY_JOIN);
    s->new = derived(join_key, LJS_KEY_NEXT_NWK);
    s->rekey_int = derived(s->rekey, LJS_KEY_REKEY_INT);
    ljs_key_free(join_key);
    assert_int_equal(ljs_device_make(&s->record, s->vault, &device,
                                     &(ljs_root_keys){ .nwk = s->old, .rekey = s->rekey }, 0, -1, NULL, 0, NULL, 0),
                     LJS_OK);
    s->opts = (ljs_rekey_opts){ .struct_size = sizeof s->opts,
                                .suite = LJS_REKEY_SUITE_1,
                                .flags = (uint8_t)flags,
                                .experimental = 1,
                                .transfer = transfer,
                                .force = 1,
                                .join_eui = W_NEW,
                                .now = 1000000 };
}

static inline void end_side(struct side *s)
{
    ljs_key_free(s->old);
    ljs_key_free(s->new);
    ljs_key_free(s->rekey);
    ljs_key_free(s->rekey_int);
    ljs_vault_free(s->vault);
    ljs_buf_free(&s->record);
    ljs_buf_free(&s->command);
}

static inline void le(uint8_t *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static inline size_t frame(uint8_t out[23], const ljs_key *key, ljs_eui join_eui, uint16_t nonce)
{
    uint8_t cmac[16];

    out[0] = 0;
    le(out + 1, join_eui, 8);
    le(out + 9, W_DEV, 8);
    le(out + 17, nonce, 2);
    assert_int_equal(ljs_aes_cmac(cmac, key, out, 19), LJS_OK);
    memcpy(out + 19, cmac, 4);
    return 23;
}

static inline ljs_err join_frame(ljs_join_ans *ans, ljs_buf *record, const struct side *s, const uint8_t phy[23])
{
    ljs_join_req req;

    assert_int_equal(ljs_join_req_init(&req), LJS_OK);
    memcpy(req.phy, phy, 23);
    req.phy_len = 23;
    req.mac = LJS_MAC_1_0_4;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    return ljs_join(ans, record, s->vault, &req, NULL, NULL, NULL, NULL, s->record.data, s->record.len);
}

static inline ljs_err join(ljs_buf *record, struct side *s, const ljs_key *key, ljs_eui join_eui)
{
    uint8_t phy[23];
    ljs_join_ans ans;

    frame(phy, key, join_eui, s->nonce++);
    return join_frame(&ans, record, s, phy);
}

static inline ljs_err answer(ljs_buf *record, const struct side *s, unsigned status, unsigned epoch)
{
    const ljs_rekey_message m = { .kind = LJS_REKEY_ANS, .status = (uint8_t)status, .epoch = (uint16_t)epoch };
    ljs_rekey_message out;
    ljs_buf octets;
    ljs_err err;

    assert_int_equal(ljs_rekey_build(&octets, &m), LJS_OK);
    assert_int_equal(ljs_rekey_mic(octets.data + 4, status <= LJS_REKEY_AGAIN ? s->new : s->rekey_int, W_DEV,
                                   octets.data, octets.len),
                     LJS_OK);
    err = ljs_rekey_answer(&out, record, s->vault, octets.data, octets.len, s->record.data, s->record.len);
    ljs_buf_free(&octets);
    return err;
}

/* B the command again; b another one; o, n a join under the old keys, the new; 0 to 7 an answer, A abort, F by force,
 * R reopen, L release. */
static inline ljs_err happen(ljs_buf *record, struct side *s, char event)
{
    const uint8_t *was = s->record.data;
    size_t was_len = s->record.len;
    ljs_rekey_opts other = s->opts;
    ljs_buf out = { NULL, 0 };
    bool transfer = s->opts.transfer;
    ljs_err err = LJS_E_INVAL;

    *record = (ljs_buf){ NULL, 0 };
    other.flags ^= LJS_REKEY_REKEY_KEY;
    switch (event) {
    case 'B':
    case 'b':
        err = ljs_rekey_begin(&out, record, s->vault, event == 'B' ? &s->opts : &other, was, was_len);
        if (!err && s->command.data && event == 'B') { /* idempotent */
            assert_int_equal(out.len, s->command.len);
            assert_memory_equal(out.data, s->command.data, out.len);
            assert_null(record->data);
        }
        break;
    case 'o':
        return join(record, s, s->old, transfer ? W_EUI : W_NEW);
    case 'n':
        return join(record, s, s->new, W_NEW);
    case '2':
        return answer(record, s, LJS_REKEY_TOO_OLD, 9);
    case '7':
        return answer(record, s, LJS_REKEY_UNSETTLED, 9);
    case 'A':
    case 'F':
        err = ljs_rekey_abort(&out, record, s->vault, event == 'F', was, was_len);
        break;
    case 'R':
        return ljs_rekey_step(record, s->vault, LJS_REKEY_ACT_REOPEN, was, was_len);
    case 'L':
        return ljs_rekey_step(record, s->vault, LJS_REKEY_ACT_RELEASE, was, was_len);
    default:
        return answer(record, s, (unsigned)(event - '0'), 1);
    }
    ljs_buf_free(&out);
    return err;
}

static inline char state_of(const ljs_buf *record)
{
    ljs_rekey rekey;
    ljs_device device;

    assert_int_equal(ljs_rekey_read(&rekey, record->data, record->len), LJS_OK);
    assert_int_equal(ljs_device_read(&device, record->data, record->len), LJS_OK);
    if (device.state == LJS_STATE_REMOVED)
        return 'X';
    return rekey.state == LJS_REKEY_ABORTING && rekey.confirmed ? 'a' : "SPKACT"[rekey.state];
}

struct row {
    const char *way; /* the events that lead there */
    unsigned flags;
    bool transfer;
    const char *to; /* under each of the events; . is refused, and the record stays */
};

static inline void go(struct side *s, const struct row *row)
{
    begin_side(s, row->flags, row->transfer);
    for (const char *at = row->way; *at; at++) {
        ljs_buf record;

        if (*at == 'B') {
            assert_int_equal(ljs_rekey_begin(&s->command, &record, s->vault, &s->opts, s->record.data, s->record.len),
                             LJS_OK);
        } else {
            assert_int_equal(happen(&record, s, *at), LJS_OK);
        }
        if (record.data)
            w_take(&s->record, &record);
    }
}

#endif
