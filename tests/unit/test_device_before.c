/* A record that an earlier build wrote, octet for octet: its tag, how its keys are sealed and for whom, and how its
 * fields lie are for ever, since databases are full of them. */
#include "device_world.h"

static const char written[] =
    "8c000101cf70b3d5499f0a1c2702cd01100300040205000691930003c44f01010021b0e95c8e25aae479912d9f90481a"
    "51b3a20b0300792078f923f01739f9b1a086e41ddf63a0f0d9addb3d886ffa111770d91b84bcc1b0bd528c94060930e7"
    "80cf2e745bebd443a84b6bf42d079194cf70b3d57ed00019e4cd012cffc40008a26e730b130e919ec410111111111111"
    "1111111111111111111107cd01100001cd012c0013ce260b4f3acc8001c400ffce6553f1000fc410ab895834ddbbe95b"
    "4a8c2ec68d0b6d554cd32d225e45447797f9957258887994";

static ljs_buf record_of(const char *hex)
{
    uint8_t octets[sizeof written / 2];
    ljs_buf record;

    for (size_t i = 0; i < sizeof octets; i++) {
        const char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        octets[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    assert_int_equal(ljs_buf_copy(&record, octets, sizeof octets), LJS_OK);
    return record;
}

static void test_it_joins(void **state)
{
    ljs_buf record = record_of(written);
    ljs_join_req req = join_req(LJS_MAC_1_1, 300);
    ljs_join_ans ans;
    ljs_session s;

    (void)state;
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
    assert_int_equal(read_device(&record).home_net_id, NET);
    assert_string_equal(read_device(&record).ns_kek_label, "ns");
    s = read_session(&record, 0);
    assert_true(s.nonce == 300 && s.at == 1700000000 && s.session_key_id[0] == 0x11);

    assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
    assert_int_equal(ans.repeat, 1); /* its digest, too */
    device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
    req = join_req(LJS_MAC_1_1, 301);
    ans = joined_on(&record, &req);
    s = read_session(&record, 0);
    device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
    ljs_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_it_joins) };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
