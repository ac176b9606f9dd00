/* Both machines of a rekey as tables, written from the protocol's text and not from the code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_side.h"

#include <stdio.h>

enum { COMPROMISED = LJS_REKEY_COMPROMISED };

/* ---- the Join Server ---------------------------------------------------------- */

static const struct row rows[] = {
    /*                              B b o n 0 1 2 3 4 5 6 7 A F R L */
    { "", 0, false, "P P S . . . . . . . . . . . . ." },
    { "B", 0, false, "P . P C K K S P P P . P A S . ." },
    { "B0", 0, false, "K . K C K K S K K K . K A S . ." },
    { "BA", 0, false, ". . A C A A S A A A a A A S . ." },
    { "B0A", 0, false, ". . A C A A S A A A a A A S . ." },
    { "BA6", 0, false, ". . S C a a S a a a a a a S . ." },
    { "Bn", 0, false, ". . . S S S . . . . . . . . P ." },
    { "B0n", 0, false, ". . . S S S . . . . . . . . P ." },
    { "BAn", 0, false, ". . . S S S . . . . . . . . P ." },
    { "BnR", 0, false, "P . P C K K S P P P . P A S . ." },
    { "Bnn", 0, false, "P P . S . . . . . . . . . . . ." },
    { "BF", 0, false, "P P S . . . . . . . . . . . . ." },
    { "B", COMPROMISED, false, "P . P C K K S P P P . P A . . ." },
    { "B0", COMPROMISED, false, "K . . C K K S K K K . K A . . ." },
    { "B0A", COMPROMISED, false, ". . A C A A S A A A a A A . . ." },
    { "B", 0, true, "T . T . T T S T T T . T A S . X" },
    { "B0", 0, true, "T . T . T T S T T T . T A S . X" },
    { "BA", 0, true, ". . A . A A S A A A a A A S . ." },
    { "BA6", 0, true, ". . S . a a S a a a a a a S . ." },
};

static void test_join_server(void **state)
{
    static const char columns[] = "Bbon01234567AFRL";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t k = 0; columns[k]; k++) {
            struct side s;
            ljs_buf record;
            char want = rows[i].to[2 * k], from, is;
            ljs_err err;

            go(&s, &rows[i]);
            from = state_of(&s.record);
            if (columns[k] == 'B' && (from == 'S' || want == '.'))
                ljs_buf_free(&s.command); /* another rekey than that */
            err = happen(&record, &s, columns[k]);
            is = err ? '.' : state_of(record.data ? &record : &s.record);
            if (is != want || (err && record.data))
                fail_msg("after \"%s\" with flags %u%s, %c: %c, not %c (%s)", rows[i].way, rows[i].flags,
                         rows[i].transfer ? " to another server" : "", columns[k], is, want, ljs_strerror(err));
            ljs_buf_free(&record);
            end_side(&s);
        }
}

/* ---- the device ---------------------------------------------------------------- */

/* 1, 2: RekeyReq of that epoch; x, y: RekeyAbort of it; t: a join-request that is lost; j: a join, which the Join
 * Server of that epoch answers. */
static const struct device_row {
    const char *way;
    const char *to[4]; /* under 1 2 x y: status, phase (s settled, r ready, t tried), epoch of the answer */
} device_rows[] = {
    { "", { "0r1", "0r2", "6s1", "6s2" } },  /* nothing yet */
    { "1", { "1r1", "0r2", "6s1", "6r2" } }, /* ready, and a newer command takes the place of what nobody used */
    { "1t", { "1t1", "7t1", "1t1", "6t2" } },
    { "1x", { "2s1", "0r2", "6s1", "6s2" } }, /* burnt */
    { "x", { "2s1", "0r2", "6s1", "6s2" } },  /* an abort that came before its command */
    { "12", { "2r2", "1r2", "6r1", "6s2" } },
    { "1tttttttt", { "1t1", "7t1", "1t1", "6t2" } }, /* back under the old keys for a while: not settled */
    { "1j", { "1s1", "0r2", "1s1", "6s2" } },
    { "1j2", { "2r2", "1r2", "2r2", "6s2" } },
};

static ljs_buf command(const ljs_key *rekey, unsigned kind, unsigned epoch)
{
    const ljs_derivation for_int = { .name = LJS_KEY_REKEY_INT, .dev_eui = W_DEV };
    const ljs_derivation for_join = { .name = LJS_KEY_REKEY_JOIN, .dev_eui = W_DEV, .join_eui = W_EUI };
    const ljs_derivation for_nwk = { .name = LJS_KEY_NEXT_NWK, .epoch = (uint16_t)epoch };
    ljs_rekey_message m = { .kind = (ljs_rekey_kind)kind, .epoch = (uint16_t)epoch };
    ljs_key *rekey_int, *join_key, *nwk;
    ljs_buf out;

    assert_int_equal(ljs_derive(&rekey_int, &for_int, rekey), LJS_OK);
    assert_int_equal(ljs_derive(&join_key, &for_join, rekey), LJS_OK);
    assert_int_equal(ljs_derive(&nwk, &for_nwk, join_key), LJS_OK);
    if (kind == LJS_REKEY_REQ) {
        m.suite = LJS_REKEY_SUITE_1;
        assert_int_equal(ljs_rekey_kcv(m.kcv, nwk), LJS_OK);
    }
    assert_int_equal(ljs_rekey_build(&out, &m), LJS_OK);
    assert_int_equal(ljs_rekey_mic(out.data + out.len - 4, rekey_int, W_DEV, out.data, out.len), LJS_OK);
    ljs_key_free(rekey_int);
    ljs_key_free(join_key);
    ljs_key_free(nwk);
    return out;
}

/* The world's device with a rekey key that the test knows, and the record of epoch 1 at the Join Server. */
static ljs_key *know(struct world *w)
{
    ljs_device device = {
        .struct_size = sizeof device, .dev_eui = W_DEV, .join_eui = W_EUI, .mac = w->mac, .next_join_nonce = 100
    };
    ljs_key *rekey, *app, *nwk;
    uint8_t both[32];
    ljs_buf made;

    assert_int_equal(ljs_key_generate(&rekey, 16), LJS_OK);
    for (size_t i = 0; i < sizeof both; i++)
        both[i] = (uint8_t)(i * i * 7 + 5);
    assert_int_equal(ljs_key_import(&app, both, 16), LJS_OK);
    assert_int_equal(ljs_key_import(&nwk, both + 16, 16), LJS_OK);
    ljs_se_free(w->inner);
    assert_int_equal(ljs_se_software_rekey(&w->inner, nwk, app, NULL, rekey, NULL), LJS_OK);
    assert_int_equal(ljs_device_make(&made, w->vault, &device,
                                     &(ljs_root_keys){ .nwk = nwk, .app = app, .rekey = rekey }, 0, -1, NULL, 0, NULL,
                                     0),
                     LJS_OK);
    w_take(&w->record, &made);
    ljs_key_free(app);
    ljs_key_free(nwk);
    return rekey;
}

static bool device_event(struct world *w, ljs_ed_rekey_out *out, const ljs_key *rekey, char event)
{
    bool abort = event == 'x' || event == 'y';
    ljs_buf message;
    bool said;

    if (event == 't')
        return w_join(w, true) || true;
    if (event == 'j') {
        if (w_rekey(w).state == LJS_REKEY_STABLE) {
            assert_true(w_begin(w, &message));
            ljs_buf_free(&message);
        }
        return w_join(w, false);
    }
    message = command(rekey, abort ? LJS_REKEY_ABORT : LJS_REKEY_REQ, event == '1' || event == 'x' ? 1 : 2);
    said = w_tell(w, out, &message);
    ljs_buf_free(&message);
    return said;
}

static void test_device(void **state)
{
    static const char columns[] = "12xy";

    (void)state;
    for (size_t i = 0; i < sizeof device_rows / sizeof *device_rows; i++)
        for (size_t k = 0; k < 4; k++) {
            struct world w;
            ljs_ed_rekey_out out;
            ljs_rekey_message m;
            ljs_key *rekey;
            char is[16];

            w_begin_world(&w, LJS_MAC_1_0_4, LJS_REKEY_SUITE_1, 0, 0);
            rekey = know(&w);
            for (const char *at = device_rows[i].way; *at; at++)
                assert_true(device_event(&w, &out, rekey, *at));
            assert_true(device_event(&w, &out, rekey, columns[k]));
            assert_int_equal(ljs_rekey_parse(&m, out.answer, out.answer_len), LJS_OK);
            snprintf(is, sizeof is, "%u%c%u", m.status, "srti"[out.phase], m.epoch);
            if (strcmp(is, device_rows[i].to[k]) != 0)
                fail_msg("after \"%s\", %c: %s, not %s", device_rows[i].way, columns[k], is, device_rows[i].to[k]);
            ljs_key_free(rekey);
            w_end_world(&w);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_server),
        cmocka_unit_test(test_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
