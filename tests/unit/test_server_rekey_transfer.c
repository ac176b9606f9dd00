/* A device that goes to another Join Server by a rekey, and what a device refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_world.h"

#include <lorajs/parcel.h>
#include <lorajs/server.h>

static void add(ljs_buf *to, ljs_buf *more)
{
    uint8_t *data = malloc(to->len + more->len);

    assert_non_null(data);
    if (to->len)
        memcpy(data, to->data, to->len);
    if (more->len)
        memcpy(data + to->len, more->data, more->len);
    to->len += more->len;
    free(to->data);
    to->data = data;
    ljs_buf_free(more);
}

/* The record's device as a record under another vault, by way of a parcel. */
static ljs_err send(ljs_buf *out, ljs_vault *to, ljs_vault *from, const ljs_buf *record)
{
    ljs_key *signer, *recipient;
    ljs_parcel *parcel;
    uint8_t public_key[32];
    ljs_buf all = { NULL, 0 }, piece;
    size_t at = 0, wants;
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    assert_int_equal(ljs_key_generate(&signer, 32), LJS_OK);
    assert_int_equal(ljs_key_generate(&recipient, 32), LJS_OK);
    assert_int_equal(ljs_x25519_public(public_key, recipient), LJS_OK);
    assert_int_equal(ljs_parcel_pack(&parcel, signer, 1, public_key, 32), LJS_OK);
    assert_int_equal(ljs_parcel_head(&piece, parcel), LJS_OK);
    add(&all, &piece);
    err = ljs_parcel_put(&piece, parcel, from, record->data, record->len);
    add(&all, &piece);
    assert_int_equal(ljs_parcel_close(&piece, parcel), LJS_OK);
    add(&all, &piece);
    ljs_parcel_free(parcel);
    assert_int_equal(ljs_ed25519_public(public_key, signer), LJS_OK);
    assert_int_equal(ljs_parcel_open(&parcel, recipient, public_key, 32), LJS_OK);
    for (unsigned round = 0; round < 2 && !err; round++, at = 0) {
        if (round)
            assert_int_equal(ljs_parcel_again(parcel), LJS_OK);
        while ((wants = ljs_parcel_wants(parcel))) {
            ljs_device device;

            assert_int_equal(ljs_parcel_feed(parcel, all.data + at, wants), LJS_OK);
            at += wants;
            if (round && !ljs_parcel_device(&device, parcel))
                assert_int_equal(ljs_parcel_land(out, parcel, to, 0, NULL, 0), LJS_OK);
        }
    }
    ljs_parcel_free(parcel);
    ljs_key_free(signer);
    ljs_key_free(recipient);
    ljs_buf_free(&all);
    return err;
}

static ljs_device device_of(const ljs_buf *record)
{
    ljs_device device;

    assert_int_equal(ljs_device_read(&device, record->data, record->len), LJS_OK);
    return device;
}

static void test_transfer(void **state)
{
    struct world w;
    ljs_vault *there, *here;
    ljs_buf message, away, record;
    ljs_ed_rekey_out out;
    ljs_device device;
    uint8_t master[32] = { 9 };

    (void)state;
    assert_int_equal(ljs_vault_new(&there, master, sizeof master), LJS_OK);
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_2, LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY, W_NEW);
    w.opts.transfer = 1;
    assert_true(w_begin(&w, &message));
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_TRANSFER_OUT);
    assert_int_equal(send(&away, there, w.vault, &w.record), LJS_OK);
    device = device_of(&away);
    assert_true(device.exposed);
    assert_int_equal(device.join_eui, W_NEW);
    assert_int_equal(device.join_euis, 1);
    assert_int_equal(device.next_join_nonce, w_rekey(&w).join_nonce_end);
    /* the device has not heard of it, and joins here; then it has, and goes back and forth until somebody answers */
    assert_true(w_join(&w, false));
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(w_answer(&w, &out), LJS_OK);
    assert_false(w_join(&w, false));
    w_find_each_other(&w);
    /* by now the other server answers */
    here = w.vault;
    record = w.record;
    w.vault = there;
    w.record = away;
    w_find_each_other(&w);
    assert_int_equal(device_of(&w.record).sessions, 1);
    assert_true(w_rekey(&w).floor == 1);
    /* which may rekey it again, above the epoch that it came with */
    ljs_buf_free(&message);
    w.opts.transfer = 0;
    w.opts.join_eui = 0;
    assert_true(w_begin(&w, &message));
    assert_int_equal(w_rekey(&w).epoch, 2);
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    assert_true(w_join(&w, false));
    assert_false(device_of(&w.record).exposed); /* suite 2, and every key is another */
    away = w.record;
    /* here it is let go: keys are gone, and what must not be repeated is not */
    w.vault = here;
    w.record = record;
    assert_int_equal(ljs_rekey_step(&record, here, LJS_REKEY_ACT_RELEASE, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    assert_int_equal(device_of(&w.record).state, LJS_STATE_REMOVED);
    assert_int_equal(w_rekey(&w).state, LJS_REKEY_STABLE);
    assert_int_equal(w_rekey(&w).floor, 1);
    ljs_buf_free(&away);
    ljs_buf_free(&message);
    ljs_vault_free(there);
    w_end_world(&w);
}

/* Under another rekey a device does not leave; with a fresh one it does, and takes its epoch along. */
static void test_parcel_of_a_rekey(void **state)
{
    struct world w;
    ljs_vault *there;
    ljs_buf message, away;
    ljs_rekey rekey;
    uint8_t master[32] = { 9 };

    (void)state;
    assert_int_equal(ljs_vault_new(&there, master, sizeof master), LJS_OK);
    w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0);
    assert_true(w_begin(&w, &message));
    assert_int_equal(send(&away, there, w.vault, &w.record), LJS_E_STATE);
    assert_null(away.data);
    {
        ljs_ed_rekey_out out;

        assert_true(w_tell(&w, &out, &message));
    }
    assert_true(w_join(&w, false));
    assert_true(w_join(&w, false));
    assert_int_equal(send(&away, there, w.vault, &w.record), LJS_OK);
    assert_int_equal(ljs_rekey_read(&rekey, away.data, away.len), LJS_OK);
    assert_int_equal(rekey.floor, 1);
    ljs_buf_free(&away);
    ljs_buf_free(&message);
    ljs_vault_free(there);
    w_end_world(&w);
}

/* The 4097th JoinNonce of a device that is on its way is the other server's. */
static void test_nonces_of_a_transfer(void **state)
{
    struct world w;
    ljs_buf message, record;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, W_NEW);
    w.opts.transfer = 1;
    assert_true(w_begin(&w, &message));
    assert_int_equal(ljs_device_raise(&record, w.vault, 4095, w.record.data, w.record.len), LJS_OK);
    w_take(&w.record, &record);
    assert_true(w_join(&w, false));
    assert_false(w_join(&w, false));
    assert_int_equal(device_of(&w.record).next_join_nonce, w_rekey(&w).join_nonce_end);
    ljs_buf_free(&message);
    w_end_world(&w);
}

/* ---- what a device refuses ------------------------------------------------------ */

/* A message of the same rekey with one thing changed, and signed again. */
static ljs_buf changed(const ljs_buf *message, void (*change)(ljs_rekey_message *m), const ljs_key *rekey)
{
    const ljs_derivation what = { .name = LJS_KEY_REKEY_INT, .dev_eui = W_DEV };
    ljs_rekey_message m;
    ljs_key *key;
    ljs_buf out;

    assert_int_equal(ljs_rekey_parse(&m, message->data, message->len), LJS_OK);
    change(&m);
    assert_int_equal(ljs_rekey_build(&out, &m), LJS_OK);
    assert_int_equal(ljs_derive(&key, &what, rekey), LJS_OK);
    assert_int_equal(ljs_rekey_mic(out.data + out.len - 4, key, W_DEV, out.data, out.len), LJS_OK);
    ljs_key_free(key);
    return out;
}

static void other_kcv(ljs_rekey_message *m)
{
    m->kcv[2] ^= 1;
}

static void suite_3(ljs_rekey_message *m)
{
    m->suite = LJS_REKEY_SUITE_3;
    m->data_len = 33;
}

static void suite_9(ljs_rekey_message *m)
{
    m->suite = 9;
}

static void suite_4(ljs_rekey_message *m)
{
    m->suite = LJS_REKEY_SUITE_4;
    m->data_len = 32;
}

static void next_epoch(ljs_rekey_message *m)
{
    m->epoch++;
}

static void epoch_0(ljs_rekey_message *m)
{
    m->epoch = 0;
}

static void test_what_a_device_refuses(void **state)
{
    static const struct {
        void (*change)(ljs_rekey_message *m);
        ljs_rekey_status status;
    } rows[] = { { other_kcv, LJS_REKEY_KCV },
                 { suite_3, LJS_REKEY_NO_SUITE },
                 { suite_9, LJS_REKEY_NO_SUITE },
                 { suite_4, LJS_REKEY_NO_SUITE },
                 { epoch_0, LJS_REKEY_TOO_OLD } };
    ljs_key *rekey;
    uint8_t octets[16];
    struct world w;
    ljs_buf message, other;
    ljs_ed_rekey_out out;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0);
    for (unsigned i = 0; i < 16; i++)
        octets[i] = (uint8_t)(i * i * 11 + 2);
    assert_int_equal(ljs_key_import(&rekey, octets, 16), LJS_OK);
    ljs_se_free(w.inner); /* the same device, with a rekey key that we know */
    {
        ljs_key *app, *nwk;
        uint8_t both[32];
        ljs_buf made;
        ljs_device device = { .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = w.mac };

        for (size_t i = 0; i < sizeof both; i++)
            both[i] = (uint8_t)(i * i * 7 + 5);
        assert_int_equal(ljs_key_import(&app, both, 16), LJS_OK);
        assert_int_equal(ljs_key_import(&nwk, both + 16, 16), LJS_OK);
        assert_int_equal(ljs_se_software_rekey(&w.inner, nwk, app, NULL, rekey, NULL), LJS_OK);
        assert_int_equal(ljs_device_make(&made, w.vault, &device,
                                         &(ljs_root_keys){ .nwk = nwk, .app = app, .rekey = rekey },
                                         LJS_MAKE_REPLACE_KEYS, -1, NULL, 0, w.record.data, w.record.len),
                         LJS_OK);
        w_take(&w.record, &made);
        ljs_key_free(app);
        ljs_key_free(nwk);
    }
    assert_true(w_begin(&w, &message));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        other = changed(&message, rows[i].change, rekey);
        assert_true(w_tell(&w, &out, &other));
        assert_int_equal(out.status, rows[i].status);
        assert_int_equal(out.phase, LJS_ED_REKEY_SETTLED);
        if (rows[i].status != LJS_REKEY_TOO_OLD) {
            assert_int_equal(w_answer(&w, &out), LJS_OK);
            assert_int_equal(w_rekey(&w).answer, rows[i].status);
            assert_int_equal(w_rekey(&w).state, LJS_REKEY_PENDING);
        }
        ljs_buf_free(&other);
    }
    assert_true(w_tell(&w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    w_join(&w, true); /* tried, and lost */
    other = changed(&message, next_epoch, rekey);
    assert_true(w_tell(&w, &out, &other));
    assert_int_equal(out.status, LJS_REKEY_UNSETTLED);
    ljs_buf_free(&other);
    w_find_each_other(&w);
    other = changed(&message, next_epoch, rekey); /* settled: what is wrong now is the KCV alone */
    assert_true(w_tell(&w, &out, &other));
    assert_int_equal(out.status, LJS_REKEY_KCV);
    ljs_buf_free(&other);
    ljs_buf_free(&message);
    ljs_key_free(rekey);
    w_end_world(&w);
}

/* ---- over a store ----------------------------------------------------------------- */

static void test_over_a_store(void **state)
{
    struct world w;
    ljs_store *store;
    ljs_server *server;
    ljs_server_opts opts = { .struct_size = sizeof opts, .audit = LJS_AUDIT_ON };
    ljs_device device = { .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = LJS_MAC_1_0_4 };
    ljs_key *nwk, *rekey;
    ljs_buf message, again, record;
    ljs_rekey_message m;
    ljs_rekey status;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0);
    assert_int_equal(ljs_key_generate(&nwk, 16), LJS_OK);
    assert_int_equal(ljs_key_generate(&rekey, 16), LJS_OK);
    assert_int_equal(ljs_store_memory(&store), LJS_OK);
    assert_int_equal(ljs_server_new(&server, w.vault, store, &opts), LJS_OK);
    assert_int_equal(
        ljs_server_make_device(server, &device, &(ljs_root_keys){ .nwk = nwk, .rekey = rekey }, 0, -1, NULL, 0),
        LJS_OK);
    assert_int_equal(ljs_server_rekey_begin(&message, server, W_DEV, &w.opts), LJS_E_INVAL); /* it is off */
    assert_null(message.data);
    ljs_server_free(server);
    opts.experimental = 1;
    assert_int_equal(ljs_server_new(&server, w.vault, store, &opts), LJS_OK);
    assert_int_equal(ljs_server_rekey_begin(&message, server, W_DEV + 1, &w.opts), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_rekey_begin(&message, server, W_DEV, &w.opts), LJS_OK);
    assert_int_equal(ljs_server_rekey_begin(&again, server, W_DEV, &w.opts), LJS_OK);
    assert_int_equal(again.len, message.len);
    assert_memory_equal(again.data, message.data, message.len);
    ljs_buf_free(&again);
    assert_int_equal(ljs_server_rekey_answer(&m, server, W_DEV, message.data, message.len), LJS_E_FRAME);
    assert_int_equal(ljs_server_rekey_step(server, W_DEV, LJS_REKEY_ACT_REOPEN), LJS_E_STATE);
    assert_int_equal(ljs_server_rekey_abort(&again, server, W_DEV, 1), LJS_OK);
    assert_int_equal(again.len, 8);
    assert_int_equal(ljs_server_get_device(&record, server, W_DEV), LJS_OK);
    assert_int_equal(ljs_rekey_read(&status, record.data, record.len), LJS_OK);
    assert_int_equal(status.state, LJS_REKEY_STABLE);
    assert_int_equal(status.floor, 1);
    ljs_buf_free(&record);
    ljs_buf_free(&again);
    ljs_buf_free(&message);
    ljs_server_free(server);
    ljs_store_free(store);
    ljs_key_free(nwk);
    ljs_key_free(rekey);
    w_end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_parcel_of_a_rekey),
        cmocka_unit_test(test_nonces_of_a_transfer),
        cmocka_unit_test(test_what_a_device_refuses),
        cmocka_unit_test(test_over_a_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
