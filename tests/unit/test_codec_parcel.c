/* Devices go from one vault to another whole, to the one recipient, from the one sender; and
 * whatever is altered on the way is refused before anything can be landed. */
#include <lorajs/master.h>
#include <lorajs/parcel.h>

#include "base/cursor.h"
#include "device/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NOW = 1767225600, HEAD = 157, JOIN_EUI = 0x70 };

struct world {
    ljs_vault *from, *to;
    ljs_key *sender, *recipient, *stranger, *root[3];
    uint8_t sender_public[32], recipient_public[32], stranger_sign[32], stranger_box[32];
};

static ljs_key *new_key(size_t len)
{
    ljs_key *key;

    assert_int_equal(ljs_key_generate(&key, len), LJS_OK);
    return key;
}

static ljs_vault *new_vault(void)
{
    ljs_key *key = new_key(LJS_MASTER_LEN);
    ljs_vault *vault;

    assert_int_equal(ljs_vault_from_key(&vault, key), LJS_OK);
    ljs_key_free(key);
    return vault;
}

static int begin(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    w->from = new_vault();
    w->to = new_vault();
    w->sender = new_key(32);
    w->recipient = new_key(32);
    w->stranger = new_key(32);
    for (unsigned i = 0; i < COUNT(w->root); i++)
        w->root[i] = new_key(16);
    assert_int_equal(ljs_ed25519_public(w->sender_public, w->sender), LJS_OK);
    assert_int_equal(ljs_x25519_public(w->recipient_public, w->recipient), LJS_OK);
    assert_int_equal(ljs_ed25519_public(w->stranger_sign, w->stranger), LJS_OK);
    assert_int_equal(ljs_x25519_public(w->stranger_box, w->stranger), LJS_OK);
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;

    ljs_vault_free(w->from);
    ljs_vault_free(w->to);
    ljs_key_free(w->sender);
    ljs_key_free(w->recipient);
    ljs_key_free(w->stranger);
    for (unsigned i = 0; i < COUNT(w->root); i++)
        ljs_key_free(w->root[i]);
    free(w);
    return 0;
}

/* A device that has been about: two JoinEUIs with nonces of their own, a JoinNonce, labels. */
static ljs_buf a_device(const struct world *w, ljs_vault *vault, ljs_eui dev_eui, ljs_mac mac)
{
    ljs_device d = { .struct_size = sizeof d,
                     .dev_eui = dev_eui,
                     .join_eui = JOIN_EUI,
                     .mac = mac,
                     .next_join_nonce = 100,
                     .has_home_net_id = 1,
                     .home_net_id = 0x13,
                     .ns_kek_label = "ns",
                     .as_id = "as.example" };
    static const uint8_t used[] = { 3, 0, 7, 0, 0xff, 0xff };
    ljs_buf made, more;
    struct record r;

    assert_int_equal(ljs_device_make(&made, vault, &d, &(ljs_root_keys){ w->root[0], w->root[1], w->root[2], NULL }, 0,
                                     mac >= LJS_MAC_1_0_4 ? 40 : -1, used, mac >= LJS_MAC_1_0_4 ? 0 : sizeof used, NULL,
                                     0),
                     LJS_OK);
    assert_int_equal(ljs_device_add_join_eui(&more, vault, JOIN_EUI + 1, made.data, made.len), LJS_OK);
    ljs_buf_free(&made);
    assert_int_equal(ljs__record_load(&r, vault, more.data, more.len), LJS_OK);
    r.context[0].rj_count1 = 5;
    r.context[1].rj_count1 = 9;
    r.context[1].dev_nonce = mac >= LJS_MAC_1_0_4 ? 77 : -1;
    r.context[1].used.add = mac >= LJS_MAC_1_0_4 ? -1 : 1234;
    assert_int_equal(ljs__record_save(&made, &r, vault), LJS_OK);
    ljs_buf_free(&more);
    return made;
}

static void append(ljs_buf *to, ljs_buf *piece)
{
    to->data = realloc(to->data, to->len + piece->len);
    memcpy(to->data + to->len, piece->data, piece->len);
    to->len += piece->len;
    ljs_buf_free(piece);
}

static ljs_buf pack(const struct world *w, unsigned devices)
{
    ljs_buf all = { NULL, 0 }, piece;
    ljs_parcel *parcel;

    assert_int_equal(ljs_parcel_pack(&parcel, w->sender, NOW, w->recipient_public, 32), LJS_OK);
    assert_int_equal(ljs_parcel_head(&piece, parcel), LJS_OK);
    append(&all, &piece);
    for (unsigned i = 0; i < devices; i++) {
        ljs_buf record = a_device(w, w->from, 0x1000 + i, i % 2 ? LJS_MAC_1_0_3 : LJS_MAC_1_1);

        assert_int_equal(ljs_parcel_put(&piece, parcel, w->from, record.data, record.len), LJS_OK);
        append(&all, &piece);
        ljs_buf_free(&record);
    }
    assert_int_equal(ljs_parcel_close(&piece, parcel), LJS_OK);
    append(&all, &piece);
    ljs_parcel_free(parcel);
    return all;
}

static ljs_parcel *opener(const struct world *w)
{
    ljs_parcel *parcel;

    assert_int_equal(ljs_parcel_open(&parcel, w->recipient, w->sender_public, 32), LJS_OK);
    return parcel;
}

typedef void device_fn(ljs_parcel *parcel, void *user);

/* One round over the octets: OK when it has come to its end. */
static ljs_err feed(ljs_parcel *parcel, const uint8_t *in, size_t in_len, device_fn *each, void *user)
{
    ljs_device d;

    for (size_t n; (n = ljs_parcel_wants(parcel)); in += n, in_len -= n) {
        ljs_err err = n > in_len ? LJS_E_SIZE : ljs_parcel_feed(parcel, in, n);

        if (err)
            return err;
        if (each && !ljs_parcel_device(&d, parcel))
            each(parcel, user);
    }
    return in_len ? LJS_E_SIZE : LJS_OK;
}

static ljs_err try(const struct world *w, const uint8_t *in, size_t in_len)
{
    ljs_parcel *parcel = opener(w);
    ljs_err err = feed(parcel, in, in_len, NULL, NULL);
    ljs_buf record;

    if (err) { /* cut short, or worse: nothing can be landed */
        assert_int_equal(ljs_parcel_again(parcel), ljs_parcel_wants(parcel) ? LJS_E_STATE : LJS_OK);
        if (ljs_parcel_wants(parcel))
            assert_int_equal(ljs_parcel_land(&record, parcel, w->to, 0, NULL, 0), LJS_E_STATE);
    }
    ljs_parcel_free(parcel);
    return err;
}

/* ---- there ------------------------------------------------------------------ */

struct landing {
    const struct world *w;
    ljs_buf record[8];
    unsigned n;
};

static void land(ljs_parcel *parcel, void *user)
{
    struct landing *l = user;

    assert_int_equal(ljs_parcel_land(&l->record[l->n++], parcel, l->w->to, 0, NULL, 0), LJS_OK);
}

static void not_yet(ljs_parcel *parcel, void *user)
{
    struct landing *l = user;
    ljs_buf record;

    assert_int_equal(ljs_parcel_land(&record, parcel, l->w->to, 0, NULL, 0), LJS_E_STATE);
    assert_null(record.data);
    l->n++;
}

/* The same root keys, nonces and settings, by the internals of both records. */
static void expect_same(const struct world *w, const ljs_buf *got, const ljs_buf *want)
{
    struct record a, b;
    struct ring *ring;
    uint8_t print_a[16], print_b[16];

    assert_int_equal(ljs__record_load(&a, w->to, got->data, got->len), LJS_OK);
    assert_int_equal(ljs__record_load(&b, w->from, want->data, want->len), LJS_OK);
    assert_int_equal(a.d.exposed, 1);
    a.d.exposed = b.d.exposed;
    assert_memory_equal(&a.d, &b.d, sizeof a.d);
    for (unsigned i = 0; i < a.d.join_euis; i++) {
        assert_int_equal(a.context[i].join_eui, b.context[i].join_eui);
        assert_int_equal(a.context[i].dev_nonce, b.context[i].dev_nonce);
        assert_int_equal(a.context[i].rj_count1, b.context[i].rj_count1);
        assert_int_equal(a.context[i].used.len, b.context[i].used.len);
        if (a.context[i].used.len)
            assert_memory_equal(a.context[i].used.at, b.context[i].used.at, a.context[i].used.len);
    }
    assert_int_equal(ljs__ring_take(&ring), LJS_OK); /* one vault's fingerprint of the keys of both */
    assert_int_equal(ljs__record_keys(ring, w->to, &a, a.d.epoch), LJS_OK);
    assert_int_equal(ljs__record_print(print_a, w->to, ring), LJS_OK);
    assert_int_equal(ljs__record_keys(ring, w->from, &b, b.d.epoch), LJS_OK);
    assert_int_equal(ljs__record_print(print_b, w->to, ring), LJS_OK);
    assert_memory_equal(print_a, print_b, 16);
    ljs__ring_give(ring);
}

static void whole(void **state)
{
    const struct world *w = *state;
    struct landing l = { .w = w };
    ljs_buf all = pack(w, 4);
    ljs_parcel *parcel = opener(w);

    assert_int_equal(ljs_parcel_time(parcel), 0);
    assert_int_equal(feed(parcel, all.data, all.len, not_yet, &l), LJS_OK);
    assert_int_equal(l.n, 4);
    assert_int_equal(ljs_parcel_time(parcel), NOW);
    for (unsigned round = 0; round < 2; round++) { /* as often as one likes */
        l.n = 0;
        assert_int_equal(ljs_parcel_again(parcel), LJS_OK);
        assert_int_equal(feed(parcel, all.data, all.len, land, &l), LJS_OK);
        assert_int_equal(l.n, 4);
        for (unsigned i = 0; i < l.n; i++) {
            ljs_buf want = a_device(w, w->from, 0x1000 + i, i % 2 ? LJS_MAC_1_0_3 : LJS_MAC_1_1);

            expect_same(w, &l.record[i], &want);
            ljs_buf_free(&want);
            ljs_buf_free(&l.record[i]);
        }
    }
    ljs_parcel_free(parcel);
    ljs_buf_free(&all);
}

static void nobody_in_it(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 0);

    assert_int_equal(try(w, all.data, all.len), LJS_OK);
    ljs_buf_free(&all);
}

/* Keys and DevEUIs are nowhere in it. */
static void sealed(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 2), octets;

    for (unsigned i = 0; i < COUNT(w->root); i++) {
        assert_int_equal(ljs_key_export(&octets, w->root[i]), LJS_OK);
        assert_null(memmem(all.data, all.len, octets.data, octets.len));
        ljs_buf_free(&octets);
    }
    assert_null(memmem(all.data, all.len, "as.example", 10));
    ljs_buf_free(&all);
}

/* ---- and what is refused ------------------------------------------------------ */

static void every_bit(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 2);

    for (size_t bit = 0; bit < 8 * all.len; bit++) {
        all.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(try(w, all.data, all.len), LJS_OK);
        all.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < all.len; len++)
        assert_int_equal(try(w, all.data, len), LJS_E_SIZE);
    assert_int_equal(try(w, all.data, all.len), LJS_OK);
    ljs_buf_free(&all);
}

static void another_recipient_or_sender(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 1);
    ljs_parcel *parcel;

    assert_int_equal(ljs_parcel_open(&parcel, w->stranger, w->sender_public, 32), LJS_OK);
    assert_int_equal(feed(parcel, all.data, all.len, NULL, NULL), LJS_E_RECEIVER);
    ljs_parcel_free(parcel);
    assert_int_equal(ljs_parcel_open(&parcel, w->recipient, w->stranger_sign, 32), LJS_OK);
    assert_int_equal(feed(parcel, all.data, all.len, NULL, NULL), LJS_E_SENDER);
    ljs_parcel_free(parcel);

    /* Whose name is put in the head of somebody else's parcel has still not sealed it. */
    memcpy(all.data + 5 + 32, w->stranger_sign, 32);
    assert_int_equal(ljs_parcel_open(&parcel, w->recipient, w->stranger_sign, 32), LJS_OK);
    assert_int_equal(feed(parcel, all.data, all.len, NULL, NULL), LJS_E_SEAL);
    ljs_parcel_free(parcel);
    memcpy(all.data + 5, w->stranger_box, 32);
    assert_int_equal(ljs_parcel_open(&parcel, w->stranger, w->stranger_sign, 32), LJS_OK);
    assert_int_equal(feed(parcel, all.data, all.len, NULL, NULL), LJS_E_SEAL);
    ljs_parcel_free(parcel);
    ljs_buf_free(&all);
}

/* Where the pieces of a parcel begin. */
static unsigned pieces(size_t at[8], const ljs_buf *all)
{
    size_t i = HEAD;
    unsigned n = 0;

    while (i + 64 < all->len) {
        at[n++] = i;
        i += 5 + (size_t)(all->data[i + 1] | all->data[i + 2] << 8 | all->data[i + 3] << 16);
    }
    at[n] = i;
    return n;
}

static void pieces_moved(void **state)
{
    const struct world *w = *state;
    ljs_buf a = pack(w, 3), b = pack(w, 3), other = { malloc(2 * a.len), 0 };
    size_t at[8], bt[8];
    unsigned n = pieces(at, &a);

    assert_int_equal(n, 4); /* three devices and the end */
    assert_int_equal(pieces(bt, &b), 4);
    for (unsigned i = 0; i < n; i++) {
        /* one left out */
        memcpy(other.data, a.data, at[i]);
        memcpy(other.data + at[i], a.data + at[i + 1], a.len - at[i + 1]);
        assert_int_not_equal(try(w, other.data, a.len - (at[i + 1] - at[i])), LJS_OK);
        /* one twice */
        memcpy(other.data, a.data, at[i + 1]);
        memcpy(other.data + at[i + 1], a.data + at[i], a.len - at[i]);
        assert_int_not_equal(try(w, other.data, a.len + at[i + 1] - at[i]), LJS_OK);
        /* one from another parcel to the same recipient */
        memcpy(other.data, a.data, a.len);
        assert_int_equal(at[i + 1] - at[i], bt[i + 1] - bt[i]);
        memcpy(other.data + at[i], b.data + bt[i], bt[i + 1] - bt[i]);
        assert_int_not_equal(try(w, other.data, a.len), LJS_OK);
    }
    /* the first and the third, which are as long as each other, in each other's place */
    memcpy(other.data, a.data, a.len);
    assert_int_equal(at[1] - at[0], at[3] - at[2]);
    memcpy(other.data + at[0], a.data + at[2], at[3] - at[2]);
    memcpy(other.data + at[2], a.data + at[0], at[1] - at[0]);
    assert_int_equal(try(w, other.data, a.len), LJS_E_SEAL);
    /* the end and the signature of another one */
    memcpy(other.data, a.data, a.len);
    memcpy(other.data + a.len - 64, b.data + b.len - 64, 64);
    assert_int_equal(try(w, other.data, a.len), LJS_E_SEAL);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
    free(other.data);
}

/* Between two rounds somebody may write to the file. */
static void another_one_in_the_second_round(void **state)
{
    const struct world *w = *state;
    ljs_buf a = pack(w, 2), b = pack(w, 2);
    ljs_parcel *parcel = opener(w);

    assert_int_equal(feed(parcel, a.data, a.len, NULL, NULL), LJS_OK);
    assert_int_equal(ljs_parcel_again(parcel), LJS_OK);
    assert_int_equal(feed(parcel, b.data, b.len, NULL, NULL), LJS_E_SEAL);
    assert_int_equal(ljs_parcel_again(parcel), LJS_E_STATE);
    ljs_parcel_free(parcel);
    ljs_buf_free(&a);
    ljs_buf_free(&b);
}

static void out_of_order(void **state)
{
    const struct world *w = *state;
    ljs_buf record = a_device(w, w->from, 1, LJS_MAC_1_0_4), out, gone;
    ljs_parcel *parcel;
    ljs_device d;
    uint8_t zero[32] = { 0 };

    assert_int_equal(ljs_parcel_pack(&parcel, w->sender, NOW, zero, 31), LJS_E_INVAL);
    assert_int_equal(ljs_parcel_pack(&parcel, w->sender, NOW, NULL, 0), LJS_E_INVAL);
    assert_int_equal(ljs_parcel_pack(&parcel, w->sender, NOW, zero, 32), LJS_E_INVAL); /* a point of low order */
    assert_int_equal(ljs_parcel_pack(&parcel, w->root[0], NOW, w->recipient_public, 32), LJS_E_INVAL);
    assert_int_equal(ljs_parcel_open(&parcel, w->root[0], w->sender_public, 32), LJS_E_INVAL);
    assert_null(parcel);
    assert_int_equal(ljs_parcel_pack(&parcel, w->sender, NOW, w->recipient_public, 32), LJS_OK);
    assert_int_equal(ljs_parcel_put(&out, parcel, w->from, record.data, record.len), LJS_E_STATE);
    assert_int_equal(ljs_parcel_close(&out, parcel), LJS_E_STATE);
    assert_int_equal(ljs_parcel_feed(parcel, zero, 32), LJS_E_STATE);
    assert_int_equal(ljs_parcel_head(&out, parcel), LJS_OK);
    ljs_buf_free(&out);
    assert_int_equal(ljs_parcel_head(&out, parcel), LJS_E_STATE);
    assert_int_equal(ljs_parcel_put(&out, parcel, w->to, record.data, record.len), LJS_E_SEAL); /* another vault's */
    assert_int_equal(ljs_device_step(&gone, w->from, LJS_DEVICE_REMOVE, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_parcel_put(&out, parcel, w->from, gone.data, gone.len), LJS_E_STATE);
    assert_int_equal(ljs_parcel_close(&out, parcel), LJS_OK);
    ljs_buf_free(&out);
    assert_int_equal(ljs_parcel_close(&out, parcel), LJS_E_STATE);
    assert_int_equal(ljs_parcel_device(&d, parcel), LJS_E_NOTFOUND);
    assert_int_equal(ljs_parcel_again(parcel), LJS_E_STATE);
    ljs_parcel_free(parcel);
    ljs_parcel_free(NULL);
    parcel = opener(w);
    assert_int_equal(ljs_parcel_head(&out, parcel), LJS_E_STATE);
    assert_int_equal(ljs_parcel_feed(parcel, zero, 32), LJS_E_INVAL);
    assert_int_equal(ljs_parcel_land(&out, parcel, w->to, 0, NULL, 0), LJS_E_STATE);
    ljs_parcel_free(parcel);
    ljs_buf_free(&gone);
    ljs_buf_free(&record);
}

/* ---- over what is there ------------------------------------------------------- */

struct over {
    const struct world *w;
    ljs_buf record, out;
    unsigned flags;
    ljs_err err;
};

static void land_over(ljs_parcel *parcel, void *user)
{
    struct over *o = user;

    o->err = ljs_parcel_land(&o->out, parcel, o->w->to, o->flags, o->record.data, o->record.len);
}

static struct over receive(const struct world *w, const ljs_buf *all, ljs_buf record, unsigned flags)
{
    struct over o = { w, record, { NULL, 0 }, flags, LJS_E_NOTFOUND };
    ljs_parcel *parcel = opener(w);

    assert_int_equal(feed(parcel, all->data, all->len, NULL, NULL), LJS_OK);
    assert_int_equal(ljs_parcel_again(parcel), LJS_OK);
    assert_int_equal(feed(parcel, all->data, all->len, land_over, &o), LJS_OK);
    ljs_parcel_free(parcel);
    return o;
}

static void replayed(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 1), moved;
    struct over first = receive(w, &all, (ljs_buf){ NULL, 0 }, 0), again;
    struct record r;

    assert_int_equal(first.err, LJS_OK);
    again = receive(w, &all, first.out, 0); /* the same octets, but for what is sealed anew */
    assert_int_equal(again.err, LJS_OK);
    {
        ljs_buf want = a_device(w, w->from, 0x1000, LJS_MAC_1_1);

        expect_same(w, &again.out, &want);
        ljs_buf_free(&want);
    }
    ljs_buf_free(&again.out);

    /* the device goes on, and then the parcel comes once more */
    assert_int_equal(ljs__record_load(&r, w->to, first.out.data, first.out.len), LJS_OK);
    r.d.next_join_nonce = 5000;
    r.context[0].dev_nonce = 4000;
    r.context[1].rj_count1 = 99;
    assert_int_equal(ljs__record_save(&moved, &r, w->to), LJS_OK);
    again = receive(w, &all, moved, 0);
    assert_int_equal(again.err, LJS_OK);
    assert_int_equal(ljs__record_load(&r, w->to, again.out.data, again.out.len), LJS_OK);
    assert_int_equal(r.d.next_join_nonce, 5000);
    assert_int_equal(r.context[0].dev_nonce, 4000);
    assert_int_equal(r.context[1].rj_count1, 99);
    assert_int_equal(r.context[1].dev_nonce, 77);
    ljs_buf_free(&again.out);
    ljs_buf_free(&moved);
    ljs_buf_free(&first.out);
    ljs_buf_free(&all);
}

static void over_other_keys(void **state)
{
    const struct world *w = *state;
    ljs_buf all = pack(w, 1), record = { NULL, 0 };
    ljs_device d = { .struct_size = sizeof d, .dev_eui = 0x1000, .join_eui = JOIN_EUI + 7, .mac = LJS_MAC_1_1 };
    ljs_key *other = new_key(16);
    struct over o;
    struct record r;

    assert_int_equal(ljs_device_make(&record, w->to, &d, &(ljs_root_keys){ other, w->root[1], NULL, NULL }, 0, 500,
                                     NULL, 0, NULL, 0),
                     LJS_OK);
    o = receive(w, &all, record, 0);
    assert_int_equal(o.err, LJS_E_EXISTS);
    assert_null(o.out.data);
    o = receive(w, &all, record, LJS_MAKE_REPLACE_KEYS);
    assert_int_equal(o.err, LJS_OK);
    assert_int_equal(ljs__record_load(&r, w->to, o.out.data, o.out.len), LJS_OK);
    assert_int_equal(r.d.epoch, 1);
    assert_int_equal(r.d.exposed, 1);
    assert_int_equal(r.d.join_euis, 3);
    assert_int_equal(ljs__record_context(&r, JOIN_EUI + 7)->dev_nonce, -1); /* it was under another key */
    assert_int_equal(ljs__record_context(&r, JOIN_EUI)->dev_nonce, 40);
    ljs_buf_free(&record);
    ljs_buf_free(&o.out);

    /* with no room for one more JoinEUI nothing is landed */
    record = (ljs_buf){ NULL, 0 };
    d.join_eui = 1;
    assert_int_equal(ljs_device_make(&record, w->to, &d, &(ljs_root_keys){ w->root[0], w->root[1], w->root[2], NULL },
                                     0, -1, NULL, 0, NULL, 0),
                     LJS_OK);
    for (unsigned i = 2; i <= LJS_JOIN_EUIS_MAX; i++) {
        ljs_buf more;

        assert_int_equal(ljs_device_add_join_eui(&more, w->to, i, record.data, record.len), LJS_OK);
        ljs_buf_free(&record);
        record = more;
    }
    o = receive(w, &all, record, 0);
    assert_int_equal(o.err, LJS_E_INVAL);
    assert_null(o.out.data);
    ljs_buf_free(&record);
    ljs_key_free(other);
    ljs_buf_free(&all);
}

/* Exposed until every root key is another. */
static void exposed(void **state)
{
    const struct world *w = *state;
    ljs_buf record = a_device(w, w->from, 1, LJS_MAC_1_1), marked, gone, new;
    ljs_device d = { .struct_size = sizeof d };
    ljs_key *other = new_key(16), *another = new_key(16);
    const struct {
        ljs_root_keys keys;
        unsigned exposed;
    } others[] = {
        { { other, w->root[1], w->root[2], NULL }, 1 }, { { other, w->root[1], NULL, NULL }, 1 },
        { { w->root[0], another, NULL, NULL }, 1 },     { { other, another, w->root[2], NULL }, 1 },
        { { other, w->root[0], NULL, NULL }, 1 },       { { other, another, NULL, NULL }, 0 },
    };

    assert_int_equal(ljs_device_read(&d, record.data, record.len), LJS_OK);
    assert_int_equal(d.exposed, 0);
    assert_int_equal(ljs_device_step(&marked, w->from, LJS_DEVICE_EXPOSE, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_device_read(&d, marked.data, marked.len), LJS_OK);
    assert_int_equal(d.exposed, 1);
    /* a removal and the same keys again do not wash it off */
    assert_int_equal(ljs_device_step(&gone, w->from, LJS_DEVICE_REMOVE, marked.data, marked.len), LJS_OK);
    d.exposed = 0;
    assert_int_equal(ljs_device_make(&new, w->from, &d, &(ljs_root_keys){ w->root[0], w->root[1], w->root[2], NULL }, 0,
                                     -1, NULL, 0, gone.data, gone.len),
                     LJS_OK);
    assert_int_equal(ljs_device_read(&d, new.data, new.len), LJS_OK);
    assert_int_equal(d.exposed, 1);
    ljs_buf_free(&new);
    /* one that stays is one that others have, whatever it is for now */
    for (unsigned i = 0; i < COUNT(others); i++) {
        assert_int_equal(ljs_device_make(&new, w->from, &d, &others[i].keys, LJS_MAKE_REPLACE_KEYS, -1, NULL, 0,
                                         marked.data, marked.len),
                         LJS_OK);
        assert_int_equal(ljs_device_read(&d, new.data, new.len), LJS_OK);
        assert_int_equal(d.exposed, others[i].exposed);
        ljs_buf_free(&new);
    }
    ljs_buf_free(&gone);
    ljs_buf_free(&marked);
    ljs_buf_free(&record);
    ljs_key_free(other);
    ljs_key_free(another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, begin, end),
        cmocka_unit_test_setup_teardown(nobody_in_it, begin, end),
        cmocka_unit_test_setup_teardown(sealed, begin, end),
        cmocka_unit_test_setup_teardown(every_bit, begin, end),
        cmocka_unit_test_setup_teardown(another_recipient_or_sender, begin, end),
        cmocka_unit_test_setup_teardown(pieces_moved, begin, end),
        cmocka_unit_test_setup_teardown(another_one_in_the_second_round, begin, end),
        cmocka_unit_test_setup_teardown(out_of_order, begin, end),
        cmocka_unit_test_setup_teardown(replayed, begin, end),
        cmocka_unit_test_setup_teardown(over_other_keys, begin, end),
        cmocka_unit_test_setup_teardown(exposed, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
