/* Devices of manifests: registered and what is not, in either order with their keys, alone and many together, and whose
 * they become. */
#include "chip_world.h"

#include "contract/faulty.h"
#include "server/internal.h"

static struct faulty *faulty;

static void test_manifest_first(void **state)
{
    ljs_manifest_entry e = entry_of(0);
    ljs_register_opts opts = opts_of("acme");
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct say say = { .sender = "000013" };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_chip chip;

    (void)state;
    begin();
    assert_string_equal(registered(&opts, &e), "MKA");
    assert_string_equal(registered(&opts, &e), "A"); /* what is done is done */
    assert_int_equal(device_in(&w, DEV).keys, 0);
    assert_int_equal(device_in(&w, DEV).mac, LJS_MAC_1_0_4);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_CLAIMED);
    assert_string_equal(claim_of(0).account, "acme");
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_OK);
    assert_string_equal(chip.unique_id, e.unique_id);
    assert_memory_equal(chip.public_key, e.public_key, sizeof chip.public_key);
    assert_string_equal(chip.group_id, e.group_id);
    assert_int_equal(chip.at, NOW);
    assert_int_equal(chip.required, 0);

    asked(&w, NULL, join_text(&say, &req), "JoinReqFailed");
    assert_int_equal(w.last.err, LJS_E_NOKEY);
    added(&w, &d); /* without a flag: the first */
    asked(&w, NULL, join_text(&say, &req), "Success");
    assert_string_equal(registered(&opts, &e), "A");
    assert_int_equal(device_in(&w, DEV).state, LJS_STATE_JOINED);
    assert_string_equal(claim_of(0).account, "acme");
    end();
}

static void test_keys_first(void **state)
{
    ljs_manifest_entry e = entry_of(0);
    ljs_register_opts opts = opts_of("");
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    struct say say = { .sender = "000013" };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    struct told before_told, told;
    ljs_buf before, after;

    (void)state;
    begin();
    added(&w, &d);
    asked(&w, NULL, join_text(&say, &req), "Success");
    before = record_of(&w, DEV);
    assert_string_equal(registered(&opts, &e), "K");
    after = record_of(&w, DEV);
    assert_int_equal(before.len, after.len); /* the record is as it was */
    assert_memory_equal(before.data, after.data, before.len);
    ljs_buf_free(&before);
    ljs_buf_free(&after);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_PROVISIONED);
    opts = opts_of("acme");
    before_told = log_of(w.server);
    assert_string_equal(registered(&opts, &e), "A");
    told = log_of(w.server);
    assert_int_equal(told.entries, before_told.entries + 1); /* it is said once that it was assigned */
    end();
}

static void test_what_is_not_registered(void **state)
{
    ljs_register_opts opts = opts_of("acme"), other = opts_of("globex");
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_manifest_entry e = entry_of(0);
    ljs_registered what;
    ljs_chip chip;

    (void)state;
    begin();
    e.verdict = LJS_MANIFEST_SIGNATURE;
    assert_string_equal(registered(&opts, &e), "refused");
    e = entry_of(0);
    e.has_key = 0;
    assert_string_equal(registered(&opts, &e), "no-key");
    e = entry_of(0);
    e.has_dev_eui = 0;
    assert_string_equal(registered(&opts, &e), "no-dev-eui");
    e = entry_of(0);
    e.has_join_eui = 0;
    assert_string_equal(registered(&opts, &e), "no-join-eui");
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_E_NOTFOUND);

    e = entry_of(0);
    assert_string_equal(registered(&opts, &e), "MKA");
    e.public_key[0] ^= 1;
    assert_string_equal(registered(&opts, &e), "other-chip");
    e = entry_of(0);
    e.unique_id[5] ^= 1;
    assert_string_equal(registered(&opts, &e), "other-chip");
    e = entry_of(0);
    assert_string_equal(registered(&other, &e), "owned");
    assert_string_equal(claim_of(0).account, "acme");
    assert_int_equal(taken(0, "acme", LJS_CLAIM_SUSPEND, NULL), LJS_OK);
    assert_string_equal(registered(&opts, &e), "owned"); /* his own, and suspended */

    d.dev_eui = DEV + 1;
    added(&w, &d);
    assert_int_equal(ljs_server_step_device(w.server, DEV + 1, LJS_DEVICE_REMOVE), LJS_OK);
    e = entry_of(1);
    assert_string_equal(registered(&opts, &e), "removed");

    e = entry_of(2);
    opts = opts_of("nobody");
    assert_int_equal(ljs_server_register(&what, w.server, &opts, believed(&e)), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_suspend_account(w.server, "globex", 1), LJS_OK);
    assert_int_equal(ljs_server_register(&what, w.server, &other, believed(&e)), LJS_E_BLOCKED);
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV + 2), LJS_E_NOTFOUND); /* not before that is known */
    opts = opts_of("");
    opts.mac = (ljs_mac)0x0105;
    assert_int_equal(ljs_server_register(&what, w.server, &opts, believed(&e)), LJS_E_INVAL);
    opts = opts_of("");
    opts.chip = (ljs_chip_policy)3;
    assert_int_equal(ljs_server_register(&what, w.server, &opts, believed(&e)), LJS_E_INVAL);
    end();
}

/* Who goes on with an entry has it from a manifest that was verified, and as it was. */
static void test_an_entry_is_as_it_was_believed(void **state)
{
    ljs_register_opts opts = opts_of("");
    ljs_manifest_entry e = entry_of(0), entries[3];
    ljs_registered what[3];
    ljs_chip chip;

    (void)state;
    begin();
    assert_int_equal(ljs_server_register(what, w.server, &opts, &e), LJS_E_SEAL);
    e = *believed(&e);
    e.index = e.offset = 7; /* which nobody goes by */
    for (size_t i = 0; i < 3; i++)
        entries[i] = e;
    entries[1].dev_eui++;
    entries[2].public_key[63] ^= 1;
    assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, 3), LJS_OK);
    assert_int_equal(what[0].err, LJS_OK);
    assert_true(what[0].made && what[0].kept);
    assert_int_equal(what[1].err, LJS_E_SEAL);
    assert_int_equal(what[2].err, LJS_E_SEAL);
    assert_false(what[1].made || what[2].made);
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV + 1), LJS_E_NOTFOUND);
    entries[0].verdict = LJS_MANIFEST_SIGNATURE; /* nor can it be made worse and better again */
    assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, 1), LJS_OK);
    assert_int_equal(what[0].why, LJS_REGISTER_REFUSED);
    end();
}

/* No octet of what is gone by can be another. */
static void test_every_octet_of_an_entry_is_stamped(void **state)
{
    ljs_register_opts opts = opts_of("");
    ljs_manifest_entry e = entry_of(0);
    const struct {
        void *at;
        size_t len;
    } parts[] = { { &e.version, sizeof e.version },
                  { &e.has_dev_eui, sizeof e.has_dev_eui },
                  { &e.has_join_eui, sizeof e.has_join_eui },
                  { &e.has_key, sizeof e.has_key },
                  { &e.suffix, sizeof e.suffix },
                  { &e.dev_eui, sizeof e.dev_eui },
                  { &e.join_eui, sizeof e.join_eui },
                  { e.public_key, sizeof e.public_key },
                  { e.unique_id, sizeof e.unique_id },
                  { e.model, sizeof e.model },
                  { e.part_number, sizeof e.part_number },
                  { e.timestamp, sizeof e.timestamp },
                  { e.group_id, sizeof e.group_id },
                  { e.signer, sizeof e.signer },
                  { e.stamp, sizeof e.stamp } };
    ljs_registered what;

    (void)state;
    begin();
    opts.dry = 1;
    e = *believed(&e);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (size_t k = 0; k < parts[i].len; k++) {
            ((uint8_t *)parts[i].at)[k] ^= 2;
            if (ljs_server_register(&what, w.server, &opts, &e) != LJS_E_SEAL)
                fail_msg("part %zu, octet %zu", i, k);
            ((uint8_t *)parts[i].at)[k] ^= 2;
        }
    assert_int_equal(ljs_server_register(&what, w.server, &opts, &e), LJS_OK);
    end();
}

enum { MANY = 50 };

static void many(ljs_manifest_entry entries[MANY])
{
    for (unsigned n = 0; n < MANY; n++) {
        entries[n] = entry_of(n);
        entries[n] = *believed(&entries[n]);
    }
}

/* Device, chip and owner of up to 21 are one transaction with one link of the log. */
static void test_many_together(void **state)
{
    static ljs_manifest_entry entries[MANY];
    static ljs_registered what[MANY];
    ljs_register_opts opts = opts_of("acme");
    struct told told;
    unsigned links;

    (void)state;
    begin();
    many(entries);
    entries[3] = entry_of(3);
    entries[3].has_dev_eui = 0;
    entries[3] = *believed(&entries[3]);
    entries[12] = entries[10]; /* the same again: the one before it is done first */
    links = log_of(w.server).links;
    assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, MANY), LJS_OK);
    for (unsigned n = 0; n < MANY; n++) {
        assert_int_equal(what[n].err, LJS_OK);
        assert_int_equal(what[n].why, n == 3 ? LJS_REGISTER_NO_DEV_EUI : LJS_REGISTER_DONE);
        assert_int_equal(what[n].made, n != 3 && n != 12);
        assert_int_equal(what[n].assigned, n != 3);
        if (what[n].made)
            assert_string_equal(claim_of(n).account, "acme");
    }
    told = log_of(w.server);
    assert_int_equal(told.links, links + 3); /* 11 up to who is there twice, 21, and the rest */
    for (unsigned kind = 0; kind < 2; kind++) {
        unsigned count = 0;

        for (unsigned i = 0; i < told.entries; i++)
            count += told.entry[i].kind == (kind ? LJS_AUDIT_ASSIGN : LJS_AUDIT_CHIP);
        assert_int_equal(count, MANY - 2);
    }
    end();
}

/* Whichever commit fails, before it is done or behind it: of each device there is all or nothing, what is told as done
 * is there, and asked again all is done. */
static void test_the_store_fails(void **state)
{
    static const enum fault faults[] = { FAULT_BEFORE, FAULT_AFTER };
    static ljs_manifest_entry entries[MANY];
    static ljs_registered what[MANY];
    ljs_register_opts opts = opts_of("acme");
    unsigned failed = 0;

    (void)state;
    many(entries);
    for (size_t f = 0; f < COUNT_OF(faults); f++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            ljs_store *memory, *store;

            assert_int_equal(ljs_store_memory(&memory), LJS_OK);
            assert_int_equal(faulty_new(&store, &faulty, memory), LJS_OK);
            begin_over(store);
            faulty_arm(faulty, FAULTY_COMMIT, nth, faults[f], 0);
            assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, MANY), LJS_OK);
            faulty_arm(faulty, FAULTY_COMMIT, 1, FAULT_NONE, 0);
            for (unsigned n = 0; n < MANY; n++) {
                ljs_buf record = { NULL, 0 };
                ljs_chip chip;
                bool there = !ljs_server_get_device(&record, w.server, DEV + n);

                ljs_buf_free(&record);
                assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV + n), there ? LJS_OK : LJS_E_NOTFOUND);
                if (there)
                    assert_string_equal(claim_of(n).account, "acme");
                assert_true(there || what[n].err);
                failed += what[n].err != LJS_OK;
            }
            assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, MANY), LJS_OK);
            for (unsigned n = 0; n < MANY; n++)
                assert_true(!what[n].err && !what[n].why && what[n].assigned);
            end();
        }
    assert_true(failed >= 2 * (MANY - 42));
}

/* A value that was tampered with is that device's fault alone. */
static void test_one_that_does_not_open(void **state)
{
    static ljs_manifest_entry entries[MANY];
    static ljs_registered what[MANY];
    ljs_register_opts opts = opts_of("acme");
    const struct key key = ljs__key_eui(SPACE_CHIP, DEV + 5);
    uint8_t octets[] = { 1, 2, 3 };
    ljs_change change = { .key = key.at, .key_len = key.len, .in = octets, .in_len = sizeof octets };

    (void)state;
    begin();
    many(entries);
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, MANY), LJS_OK);
    for (unsigned n = 0; n < MANY; n++) {
        assert_int_equal(what[n].err, n == 5 ? LJS_E_SEAL : LJS_OK);
        assert_int_equal(what[n].assigned, n != 5);
    }
    end();
}

/* With the device its chip goes; another may be in it when it comes again. */
static void test_a_removed_device(void **state)
{
    ljs_register_opts opts = opts_of("acme");
    ljs_manifest_entry e = entry_of(0);
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_chip chip;

    (void)state;
    begin();
    opts.chip = LJS_CHIP_REQUIRED;
    assert_string_equal(registered(&opts, &e), "MKA");
    assert_int_equal(ljs_server_step_device(w.server, DEV, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_E_NOTFOUND);
    added(&w, &d);
    assert_int_equal(claim_of(0).state, LJS_CLAIM_IS_PROVISIONED);
    e.public_key[0] ^= 1;
    opts = opts_of("");
    assert_string_equal(registered(&opts, &e), "K");
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_OK);
    assert_int_equal(chip.required, 0);
    end();
}

static void test_dry(void **state)
{
    ljs_manifest_entry e = entry_of(0);
    ljs_register_opts opts = opts_of("acme"), other = opts_of("globex");
    ljs_buf record;
    ljs_chip chip;

    (void)state;
    begin();
    opts.dry = other.dry = 1;
    assert_string_equal(registered(&opts, &e), "MKA");
    assert_int_equal(ljs_server_get_device(&record, w.server, DEV), LJS_E_NOTFOUND);
    assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_E_NOTFOUND);
    opts.dry = 0;
    assert_string_equal(registered(&opts, &e), "MKA");
    assert_string_equal(registered(&other, &e), "owned");
    end();
}

static void test_policy(void **state)
{
    static const struct {
        ljs_chip_policy say;
        const char *want;
        uint8_t required;
    } rows[] = { { LJS_CHIP_AS_IT_IS, "MK", 0 },
                 { LJS_CHIP_REQUIRED, "K", 1 },
                 { LJS_CHIP_AS_IT_IS, "", 1 },
                 { LJS_CHIP_REQUIRED, "", 1 },
                 { LJS_CHIP_ACCEPTED, "K", 0 } };
    ljs_manifest_entry e = entry_of(0);
    ljs_chip chip;

    (void)state;
    begin();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ljs_register_opts opts = opts_of("");

        opts.chip = rows[i].say;
        opts.now = NOW + (int64_t)i;
        assert_string_equal(registered(&opts, &e), rows[i].want);
        assert_int_equal(ljs_server_get_chip(&chip, w.server, DEV), LJS_OK);
        assert_int_equal(chip.required, rows[i].required);
        assert_int_equal(chip.at, NOW);
    }
    end();
}

static void test_words(void **state)
{
    (void)state;
    for (int why = 0; why <= LJS_REGISTER_OWNED; why++) {
        assert_string_not_equal(ljs_register_why_name((ljs_register_why)why), "?");
        assert_string_not_equal(ljs_register_why_text((ljs_register_why)why), "?");
    }
    assert_string_equal(ljs_register_why_name((ljs_register_why)(LJS_REGISTER_OWNED + 1)), "?");
    assert_string_equal(ljs_register_why_text((ljs_register_why)-1), "?");
}

/* ---- a million ---------------------------------------------------------------------------- */

/* Entries as if they were verified, 63 at a time, as the program has them; over SQLite in the folder that is named,
 * else in memory. */
static const char *folder;

static void test_a_million(void **state)
{
    enum { MILLION = 1000000, BATCH = 63 };
    static ljs_manifest_entry entries[BATCH];
    static ljs_registered what[BATCH];
    ljs_register_opts opts = opts_of("acme");
    ljs_store *store = NULL;
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s/chips.db", folder ? folder : "");
    if (folder)
        assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    begin_over(store);
    for (unsigned done = 0; done < MILLION; done += BATCH) {
        unsigned most = MILLION - done < BATCH ? MILLION - done : BATCH;

        for (unsigned n = 0; n < most; n++) {
            entries[n] = entry_of(done + n);
            entries[n] = *believed(&entries[n]);
        }
        assert_int_equal(ljs_server_register_all(what, w.server, &opts, entries, most), LJS_OK);
        for (unsigned n = 0; n < most; n++)
            assert_true(!what[n].err && what[n].made && what[n].assigned);
    }
    assert_string_equal(claim_of(MILLION - 1).account, "acme");
    ljs_server_free(w.server);
    ljs_store_free(w.store);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest campaign[] = { cmocka_unit_test(test_a_million) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest_first),
        cmocka_unit_test(test_keys_first),
        cmocka_unit_test(test_what_is_not_registered),
        cmocka_unit_test(test_an_entry_is_as_it_was_believed),
        cmocka_unit_test(test_every_octet_of_an_entry_is_stamped),
        cmocka_unit_test(test_many_together),
        cmocka_unit_test(test_the_store_fails),
        cmocka_unit_test(test_one_that_does_not_open),
        cmocka_unit_test(test_a_removed_device),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_words),
    };

    folder = argc > 2 ? argv[2] : NULL;
    if (argc > 1 && strcmp(argv[1], "long") == 0)
        return cmocka_run_group_tests(campaign, world_begin, world_end);
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
