/* A record that an earlier build wrote, octet for octet: its tag, how its keys are sealed and for whom, and how its
 * fields lie are for ever, since databases are full of them. */
#include "device_world.h"

static const char schema_1[] =
    "8c000101cf70b3d5499f0a1c2702cd01100300040205000691930003c44f01010021b0e95c8e25aae479912d9f90481a"
    "51b3a20b0300792078f923f01739f9b1a086e41ddf63a0f0d9addb3d886ffa111770d91b84bcc1b0bd528c94060930e7"
    "80cf2e745bebd443a84b6bf42d079194cf70b3d57ed00019e4cd012cffc40008a26e730b130e919ec410111111111111"
    "1111111111111111111107cd01100001cd012c0013ce260b4f3acc8001c400ffce6553f1000fc410ab895834ddbbe95b"
    "4a8c2ec68d0b6d554cd32d225e45447797f9957258887994";

/* The same once the device has moved. */
static const char schema_2[] =
    "8c000201cf70b3d5499f0a1c2702cd01100311040205000691930003c44f01010021b0e95c8e25aae479912d9f90481a"
    "51b3a20b0300792078f923f01739f9b1a086e41ddf63a0f0d9addb3d886ffa111770d91b84bcc1b0bd528c94060930e7"
    "80cf2e745bebd443a84b6bf42d079194cf70b3d57ed00019e4cd012cffc40008a26e730b130e919ec410111111111111"
    "1111111111111111111107cd01100001cd012c0013ce260b4f3acc8001c400ffce6553f1000fc410ab895834ddbbe95b"
    "4a8c2ec68d0b6d5597a12debf40c3246b7fce7eb3cfd7c87";

static const char schema_3[] =
    "8c000301cf70b3d5499f0a1c2702cd01100300040305000691930003c44f01010021b0e95c8e25aae479912d9f90481a"
    "51b3a20b0300792078f923f01739f9b1a086e41ddf63a0f0d9addb3d886ffa111770d91b84bcc1b0bd528c94060930e7"
    "80cf2e745bebd443a84b6bf42d079194cf70b3d57ed00019e4cd012dffc40008a26e730b130e929ec410111111111111"
    "1111111111111111111107cd01100002cd012d0013ce260b4f3acc8001c400ffce6553f1009ec4101111111111111111"
    "111111111111111107cd01100001cd012c0013ce260b4f3acc8001c400ffce6553f10013c40f238194c7014d00000000"
    "0000006e73bf6ebe3cc697afec160ddc271bca0360";

static ljs_buf record_of(const char *hex)
{
    uint8_t octets[512];
    size_t len = strlen(hex) / 2;
    ljs_buf record;

    assert_true(len <= sizeof octets);
    for (size_t i = 0; i < len; i++) {
        const char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        octets[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    assert_int_equal(ljs_buf_copy(&record, octets, len), LJS_OK);
    return record;
}

/* It was asked for its newest session by this. */
static ljs_join_req asked(const char *hex, uint16_t nonce)
{
    ljs_join_req req = join_req(LJS_MAC_1_1, nonce);

    if (hex == schema_3) {
        req.has_ns_id = 1;
        req.ns_id = 77;
    }
    return req;
}

static void it_joins(const char *hex, unsigned schema, uint16_t nonce)
{
    ljs_buf record = record_of(hex);
    ljs_join_req req = asked(hex, nonce);
    ljs_join_ans ans;
    ljs_session s;

    assert_int_equal(record.data[2], schema);
    assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
    assert_int_equal(read_device(&record).home_net_id, NET);
    assert_string_equal(read_device(&record).ns_kek_label, "ns");
    s = read_session(&record, 0);
    assert_true(s.nonce == nonce && s.at == 1700000000);
    assert_int_equal(s.session_key_id[0], 0x11);

    for (unsigned routed = 0; routed < 2; routed++) { /* also once it is written by this build */
        ljs_routing same = { .struct_size = sizeof same };
        ljs_buf next;

        assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
        assert_int_equal(ans.repeat, 1); /* what tells it, too */
        device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
        req.dev_addr++;
        refused_on(LJS_E_REPLAY, &record, &req);
        req.dev_addr--;
        assert_int_equal(ljs_device_route(&next, vault, &same, record.data, record.len), LJS_OK);
        ljs_buf_free(&record);
        record = next;
        assert_int_equal(record.data[2], 3);
    }
    req = asked(hex, nonce + 1);
    ans = joined_on(&record, &req);
    s = read_session(&record, 0);
    device_takes(&ans, &req, &s, nwk, app, NULL, NULL);
    assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
    assert_int_equal(ans.repeat, 1);
    ljs_buf_free(&record);
}

static void test_it_joins(void **state)
{
    (void)state;
    it_joins(schema_1, 1, 300);
    it_joins(schema_3, 3, 301);
}

static void test_it_moves_back(void **state)
{
    ljs_buf record = record_of(schema_2);
    ljs_join_req req = asked(schema_2, 300);
    ljs_join_ans ans;

    (void)state;
    assert_int_equal(record.data[2], 2);
    refused_on(LJS_E_MOVED, &record, &req);
    assert_int_equal(act_on(&record, LJS_DEVICE_MOVE_BACK), LJS_OK);
    assert_int_equal(join_on(&ans, &record, &req), LJS_OK);
    assert_int_equal(ans.repeat, 1);
    ljs_buf_free(&record);
}

/* Who begins anew is not answered what was asked before, by whichever of the two it is told. */
static void test_reset_asks_anew(void **state)
{
    const struct {
        const char *hex;
        uint16_t nonce;
    } each[] = { { schema_1, 300 }, { schema_3, 301 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(each); i++) {
        ljs_buf record = record_of(each[i].hex);
        ljs_join_req req = asked(each[i].hex, each[i].nonce);

        assert_int_equal(act_on(&record, LJS_DEVICE_RESET_NONCES), LJS_OK);
        (void)joined_on(&record, &req);
        ljs_buf_free(&record);
    }
}

/* What is altered in it is seen, whatever schema it says it is of: each has a tag of its own. */
static void test_no_octet_is_another(void **state)
{
    const char *const each[] = { schema_1, schema_2, schema_3 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(each); i++) {
        ljs_buf record = record_of(each[i]);

        for (size_t bit = 0; bit < 8 * record.len; bit++) {
            record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_not_equal(ljs_device_check(vault, record.data, record.len), LJS_OK);
            record.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        record.data[2] = (uint8_t)(record.data[2] < 3 ? record.data[2] + 2 : record.data[2] - 2);
        assert_int_equal(ljs_device_check(vault, record.data, record.len), LJS_E_SEAL);
        ljs_buf_free(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_it_joins), cmocka_unit_test(test_it_moves_back),
                                        cmocka_unit_test(test_reset_asks_anew),
                                        cmocka_unit_test(test_no_octet_is_another) };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
