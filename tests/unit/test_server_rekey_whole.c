/* A rekey that replaces every key, from end to end and found again after a restore: also with the keys in a token,
 * which gives none of those away that it would have to keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rekey_world.h"

#ifdef main /* compiled for a token: tests/token_hooks.c */
static const ljs_err keeps = LJS_E_INSIDE;
#else
static const ljs_err keeps = LJS_OK;
#endif

enum { ALL = LJS_REKEY_APP_KEYS | LJS_REKEY_REKEY_KEY };

static void to_its_end(struct world *w, unsigned epoch)
{
    ljs_buf message;
    ljs_ed_rekey_out out;

    w->opts.force = 1;
    assert_true(w_begin(w, &message));
    assert_true(w_tell(w, &out, &message));
    assert_int_equal(out.status, LJS_REKEY_OK);
    assert_int_equal(w_answer(w, &out), LJS_OK);
    assert_int_equal(w_rekey(w).state, LJS_REKEY_ACKED);
    assert_true(w_join(w, false));
    assert_int_equal(w_rekey(w).state, LJS_REKEY_COMMITTED);
    assert_true(w_join(w, false));
    assert_int_equal(w_rekey(w).state, LJS_REKEY_STABLE);
    assert_int_equal(w_rekey(w).floor, epoch);
    ljs_buf_free(&message);
}

static void test_all_of_them(void **state)
{
    static const struct {
        ljs_rekey_suite suite;
        ljs_eui join_eui;
    } rows[] = {
        { LJS_REKEY_SUITE_1, 0 }, { LJS_REKEY_SUITE_1, W_NEW }, { LJS_REKEY_SUITE_2, W_NEW }, { LJS_REKEY_SUITE_4, 0 }
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool suite4 = rows[i].suite == LJS_REKEY_SUITE_4;
        struct world w;
        ljs_buf backup = { NULL, 0 }, record;
        ljs_device device;
        ljs_resync_opts o = { .struct_size = sizeof o,
                              .suite = rows[i].suite,
                              .flags = suite4 ? LJS_REKEY_APP_KEYS : ALL,
                              .experimental = 1,
                              .now = 1000,
                              .until = 2000 };

        w_begin_world(&w, LJS_MAC_1_1, rows[i].suite, suite4 ? 0 : ALL, rows[i].join_eui);
        assert_int_equal(ljs_device_step(&record, w.vault, LJS_DEVICE_EXPOSE, w.record.data, w.record.len), LJS_OK);
        w_take(&w.record, &record);
        w_copy(&backup, &w.record);
        to_its_end(&w, 1);
        if (rows[i].suite != LJS_REKEY_SUITE_2) { /* whose keys would be lost */
            assert_int_equal(ljs_device_raise(&record, w.vault, 100, backup.data, backup.len), LJS_OK);
            o.join_eui = rows[i].join_eui;
            o.parent = w.parent;
            memcpy(o.serial, w.serial, sizeof o.serial);
            ljs_buf_free(&backup);
            backup = record;
            assert_int_equal(ljs_rekey_resync(&record, w.vault, &o, backup.data, backup.len), LJS_OK);
            w_take(&w.record, &record);
            w.asked_at = 1500;
            assert_true(w_join(&w, false));
            assert_int_equal(w_rekey(&w).state, LJS_REKEY_COMMITTED);
            assert_true(w_join(&w, false));
        }
        w.opts.join_eui = 0;
        to_its_end(&w, 2);
        assert_int_equal(ljs_device_read(&device, w.record.data, w.record.len), LJS_OK);
        assert_int_equal(device.exposed, rows[i].suite == LJS_REKEY_SUITE_1); /* who had the rekey key has these, too */
        ljs_buf_free(&backup);
        w_end_world(&w);
    }
}

static void test_some_of_them(void **state)
{
    struct world w;
    ljs_buf message, record;

    (void)state;
    w_begin_world(&w, LJS_MAC_1_1, LJS_REKEY_SUITE_1, 0, 0);
    assert_int_equal(ljs_rekey_begin(&message, &record, w.vault, &w.opts, w.record.data, w.record.len), keeps);
    assert_int_equal(record.data != NULL, keeps == LJS_OK);
    assert_int_equal(message.data != NULL, keeps == LJS_OK);
    ljs_buf_free(&message);
    ljs_buf_free(&record);
    w_end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_them),
        cmocka_unit_test(test_some_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
