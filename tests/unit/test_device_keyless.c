/* A device that is known before its root keys are: what asks for them is refused by name, and the first that come make
 * of it what it would have been without that. */
#include "unit/device_world.h"

static ljs_buf keyless(ljs_mac mac)
{
    ljs_buf record;

    assert_int_equal(ljs_device_make_keyless(&record, vault, DEV, EUI, mac), LJS_OK);
    return record;
}

static void test_what_it_is(void **state)
{
    ljs_buf record = keyless(LJS_MAC_1_0_4), other;
    ljs_device d = read_device(&record);

    (void)state;
    assert_int_equal(d.dev_eui, DEV);
    assert_int_equal(d.join_eui, EUI);
    assert_int_equal(d.join_euis, 1);
    assert_int_equal(d.mac, LJS_MAC_1_0_4);
    assert_int_equal(d.state, LJS_STATE_FRESH);
    assert_int_equal(d.keys, 0);
    assert_int_equal(d.next_join_nonce, 1);
    assert_int_equal(read_join_eui(&record, 0).dev_nonce, NO_NONCE);
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
    record.data[record.len / 2] ^= 1;
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_E_SEAL);
    assert_int_equal(ljs_device_make_keyless(&other, vault, DEV, EUI, (ljs_mac)0x0105), LJS_E_INVAL);
    assert_null(other.data);
    ljs_buf_free(&record);
}

/* Whatever versions the device is taken for and the network speaks. */
static void test_joins_are_refused_by_name(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_4, LJS_MAC_1_1 };

    (void)state;
    for (size_t m = 0; m < COUNT_OF(macs); m++) {
        ljs_buf record = keyless(macs[m]);
        ljs_session s = { .net_id = NET, .mac = LJS_MAC_1_1, .scheme = LJS_SCHEME_1_1, .join_eui = EUI };

        for (size_t n = 0; n < COUNT_OF(macs); n++) {
            ljs_join_req req = join_req(macs[n], 1);

            refused_on(LJS_E_NOKEY, &record, &req);
        }
        {
            ljs_join_req one = rejoin1_req(EUI, 0), zero = rejoin02_req(LJS_FRAME_REJOIN0, &s, 0, nwk);

            refused_on(LJS_E_NOKEY, &record, &one);
            refused_on(LJS_E_NOKEY, &record, &zero);
        }
        ljs_buf_free(&record);
    }
}

static void test_acts(void **state)
{
    ljs_buf record = keyless(LJS_MAC_1_0_3), next;
    ljs_routing routing = {
        .struct_size = sizeof routing, .set = LJS_ROUTE_HOME_NET_ID, .has_home_net_id = 1, .home_net_id = NET
    };

    (void)state;
    assert_int_equal(act_on(&record, LJS_DEVICE_EXPOSE), LJS_E_NOKEY);
    assert_int_equal(act_on(&record, LJS_DEVICE_BLOCK), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_UNBLOCK), LJS_OK);
    assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
    assert_int_equal(ljs_device_route(&next, vault, &routing, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
    assert_int_equal(ljs_device_rewrap(&record, vault, next.data, next.len), LJS_OK);
    assert_null(record.data); /* nothing to do */
    assert_int_equal(read_device(&next).home_net_id, NET);
    assert_int_equal(ljs_device_add_join_eui(&record, vault, EUI2, next.data, next.len), LJS_OK);
    ljs_buf_free(&next);
    assert_int_equal(read_device(&record).join_euis, 2);
    ljs_buf_free(&record);
}

/* The first keys take no flag and begin no epoch: the record is the one that was made with them, to the field. */
static void test_keys_come(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_buf record = keyless(LJS_MAC_1_0_4), direct = make(&d);
    ljs_device a, b = read_device(&direct);
    ljs_join_req req = join_req(LJS_MAC_1_1, 7);
    ljs_join_ans ans;

    (void)state;
    assert_int_equal(make_on(&record, &d, nwk, app, 0), LJS_OK);
    a = read_device(&record);
    assert_memory_equal(&a, &b, sizeof a);
    ans = joined_on(&record, &req);
    assert_int_equal(ans.join_nonce, 1);
    {
        ljs_session s = read_session(&record, 0);

        device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
    }
    assert_int_equal(make_on(&record, &d, other_nwk, other_app, 0), LJS_E_EXISTS); /* not the first any more */
    ljs_buf_free(&record);
    ljs_buf_free(&direct);
}

/* What was sent here is this server's own to answer for afterwards, blocked or not as it was. */
static void test_keys_come_to_one_that_is_blocked(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_buf record = keyless(LJS_MAC_1_0_4);

    (void)state;
    assert_int_equal(act_on(&record, LJS_DEVICE_BLOCK), LJS_OK);
    assert_int_equal(make_on(&record, &d, NULL, app, 0), LJS_OK);
    assert_int_equal(read_device(&record).state, LJS_STATE_BLOCKED);
    assert_int_equal(read_device(&record).keys, LJS_HAS_APP_KEY);
    ljs_buf_free(&record);
}

/* Whoever brings keys need not know what was set, nor be told when it is changed meanwhile. */
static void test_settings_stay(void **state)
{
    const ljs_routing routing = { .struct_size = sizeof routing,
                                  .set = LJS_ROUTE_HOME_NET_ID | LJS_ROUTE_AS_ID | LJS_ROUTE_NS_KEK_LABEL,
                                  .has_home_net_id = 1,
                                  .home_net_id = NET,
                                  .as_id = "as.example",
                                  .ns_kek_label = "ns" };
    ljs_device d = { .struct_size = sizeof d, .dev_eui = DEV, .join_eui = EUI2, .next_join_nonce = 70 }, is, *older;
    ljs_buf record = keyless(LJS_MAC_1_0_3), next;
    volatile size_t older_size = sizeof d - 8; /* the compiler would say what the test is about */

    (void)state;
    assert_int_equal(ljs_device_route(&next, vault, &routing, record.data, record.len), LJS_OK);
    ljs_buf_free(&record);
    assert_int_equal(make_on(&next, &d, NULL, app, LJS_MAKE_KEEP), LJS_OK);
    is = read_device(&next);
    assert_int_equal(is.keys, LJS_HAS_APP_KEY);
    assert_int_equal(is.mac, LJS_MAC_1_0_3);
    assert_int_equal(is.join_eui, EUI);
    assert_int_equal(is.join_euis, 1);
    assert_int_equal(is.home_net_id, NET);
    assert_string_equal(is.as_id, "as.example");
    assert_string_equal(is.ns_kek_label, "ns");
    assert_int_equal(is.next_join_nonce, 70);

    d.mac = LJS_MAC_1_1; /* that was said */
    assert_int_equal(make_on(&next, &d, nwk, app, LJS_MAKE_KEEP), LJS_E_EXISTS);
    assert_int_equal(make_on(&next, &d, nwk, app, LJS_MAKE_KEEP | LJS_MAKE_REPLACE_KEYS), LJS_OK);
    is = read_device(&next);
    assert_int_equal(is.mac, LJS_MAC_1_1);
    assert_string_equal(is.as_id, "as.example");
    assert_non_null(older = malloc(older_size)); /* which is not read past its end */
    memcpy(older, &d, older_size);
    older->struct_size = older_size;
    assert_int_equal(make_on(&next, older, nwk, app, LJS_MAKE_KEEP), LJS_E_INVAL);
    free(older);
    next.data[next.len / 2] ^= 1;
    assert_int_equal(make_on(&next, &d, nwk, app, LJS_MAKE_KEEP), LJS_E_SEAL);
    ljs_buf_free(&next);
}

/* Of one that is not there, or not any more, what is said counts; only the version may be left out. */
static void test_nothing_to_keep(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3), is;
    ljs_buf record = { NULL, 0 };

    (void)state;
    strcpy(d.as_id, "as.example");
    d.mac = (ljs_mac)0;
    assert_int_equal(make_on(&record, &d, NULL, app, 0), LJS_E_INVAL);
    assert_int_equal(make_on(&record, &d, NULL, app, LJS_MAKE_KEEP), LJS_OK);
    is = read_device(&record);
    assert_int_equal(is.mac, LJS_MAC_1_0_4);
    assert_string_equal(is.as_id, "as.example");
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    strcpy(d.as_id, "another");
    assert_int_equal(make_on(&record, &d, NULL, app, LJS_MAKE_KEEP), LJS_OK);
    is = read_device(&record);
    assert_int_equal(is.mac, LJS_MAC_1_0_4);
    assert_string_equal(is.as_id, "another");
    ljs_buf_free(&record);
}

/* Removed without keys, it has no keys to know again; removed with them, it is keyless no more. */
static void test_removed(void **state)
{
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_join_req req = join_req(LJS_MAC_1_0_3, 1);
    ljs_buf record = keyless(LJS_MAC_1_0_3);

    (void)state;
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(read_device(&record).state, LJS_STATE_REMOVED);
    refused_on(LJS_E_DEVICE, &record, &req);
    assert_int_equal(make_on(&record, &d, nwk, NULL, 0), LJS_OK);
    joined_on(&record, &req);
    assert_int_equal(act_on(&record, LJS_DEVICE_REMOVE), LJS_OK);
    assert_int_equal(make_on(&record, &d, nwk, NULL, 0), LJS_OK);
    refused_on(LJS_E_REPLAY, &record, &req); /* its nonces are known */
    ljs_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_is),
        cmocka_unit_test(test_joins_are_refused_by_name),
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_keys_come),
        cmocka_unit_test(test_keys_come_to_one_that_is_blocked),
        cmocka_unit_test(test_settings_stay),
        cmocka_unit_test(test_nothing_to_keep),
        cmocka_unit_test(test_removed),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
