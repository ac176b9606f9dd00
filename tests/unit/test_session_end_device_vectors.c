/* The life of the device of the computed vectors: it sends their requests, octet for octet, takes
 * their answers, and is then under their keys. */
#include "end_device_world.h"

#include "vectors.h"

#include <stdlib.h>

static json_t *found[6];
static const char *const ids[6] = {
    "computed-devA-join",
    "computed-devA-rejoin0",
    "computed-devA-rejoin2-nocflist",
    "computed-devA-rejoin1",
    "computed-devA-join-no-optneg-nocflist",
    "computed-devA-join-no-optneg",
};

static void find(json_t *vector)
{
    for (size_t i = 0; i < 6; i++)
        if (vector_is(vector, ids[i]))
            found[i] = json_incref(vector);
}

static size_t octets_of(uint8_t *out, size_t room, const char *hex)
{
    size_t len = strlen(hex) / 2;

    assert_true(len <= room);
    for (size_t i = 0; i < len; i++) {
        const char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return len;
}

static void sent_as_in(const struct world *w, json_t *v)
{
    json_t *request = json_loads(vector_text(v, "inputs.request"), 0, NULL);
    uint8_t want[32];
    size_t len;

    assert_non_null(request);
    len = octets_of(want, sizeof want, json_string_value(json_object_get(request, "PHYPayload")));
    assert_int_equal(w->out.frame_len, len);
    assert_memory_equal(w->out.frame, want, len);
    json_decref(request);
}

static ljs_key *key_in(json_t *v, const char *name)
{
    char path[64] = "expected.session_keys_clear.";
    uint8_t octets[16];
    ljs_key *key;

    strcat(path, name);
    if (!vector_has(v, path))
        return NULL;
    assert_int_equal(vector_hex(octets, sizeof octets, v, path), 16);
    assert_int_equal(ljs_key_import(&key, octets, 16), LJS_OK);
    return key;
}

static void heard_as_in(struct world *w, json_t *v, ljs_scheme scheme)
{
    uint8_t phy[LJS_ACCEPT_MAX];
    size_t len = octets_of(phy, sizeof phy, vector_text(v, "expected.PHYPayload"));

    assert_int_equal(step_hear(w, phy, len), LJS_OK);
    assert_true(w->out.joined || w->out.rejoined);
    assert_int_equal(w->out.scheme, scheme);
    assert_int_equal(w->out.accept.has_cf_list, len == LJS_ACCEPT_MAX);
    assert_int_equal(w->out.accept.dev_addr, 0x260b4f3a);
    forget_session(w);
    w->f = key_in(v, vector_has(v, "expected.session_keys_clear.NwkSKey") ? "NwkSKey" : "FNwkSIntKey");
    w->s = key_in(v, "SNwkSIntKey");
    w->e = key_in(v, "NwkSEncKey");
    w->a = key_in(v, "AppSKey");
    w->scheme = scheme;
    w->dev_addr = w->out.accept.dev_addr;
    w->n_down = w->a_down = 0;
    /* read_up() opens it with the keys of the vector */
    assert_int_equal(step_send(w, 5, "under the keys of the vector"), LJS_OK);
    assert_memory_equal(read_up(w, 0, 0).frm_payload, "under the keys of the vector", 28);
}

static void force(struct world *w, uint8_t type)
{
    const struct down down = { .mac = { 0x0e, (uint8_t)(type << 4), 0x01 }, .mac_len = 3 }; /* a retry */

    assert_int_equal(step_down(w, &down), LJS_OK);
    (void)wake(w); /* RJcount0 0; the vectors have 1 */
    (void)wake(w);
}

static void test_life(void **unused)
{
    ljs_ed_opts opts;
    uint8_t nwk[16], app[16];
    struct world w;

    (void)unused;
    vectors_each("backend_exchange", 16, find);
    for (size_t i = 0; i < 6; i++)
        assert_non_null(found[i]);
    ljs_ed_opts_init(&opts);
    opts.dev_eui = vector_number(found[0], "inputs.device.dev_eui");
    opts.join_eui = vector_number(found[0], "inputs.device.join_eui");
    assert_int_equal(vector_hex(nwk, 16, found[0], "inputs.device.nwk_key"), 16);
    assert_int_equal(vector_hex(app, 16, found[0], "inputs.device.app_key"), 16);
    opts.dev_nonce = 7;
    opts.rj_count1 = 1;
    opts.rejoin1_period = 1000000;
    world_open_with(&w, &opts, nwk, app);

    assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
    sent_as_in(&w, found[0]);
    heard_as_in(&w, found[0], LJS_SCHEME_1_1);
    force(&w, 0);
    sent_as_in(&w, found[1]);
    heard_as_in(&w, found[1], LJS_SCHEME_1_1);
    assert_true(world_read(&w).session_kind == LJS_FRAME_REJOIN0);
    force(&w, 2);
    sent_as_in(&w, found[2]);
    heard_as_in(&w, found[2], LJS_SCHEME_1_1);
    assert_int_equal(wake(&w), LJS_ED_SENDS_REJOIN1);
    sent_as_in(&w, found[3]);
    heard_as_in(&w, found[3], LJS_SCHEME_1_1);
    for (size_t i = 4; i < 6; i++) {
        assert_int_equal(step_kind(&w, LJS_ED_ON_STOP), LJS_OK);
        w.now += 100000000; /* the join budget allows one more */
        assert_int_equal(step_kind(&w, LJS_ED_ON_START), LJS_OK);
        sent_as_in(&w, found[i]);
        heard_as_in(&w, found[i], LJS_SCHEME_1_0);
    }
    world_close(&w);
    for (size_t i = 0; i < 6; i++)
        json_decref(found[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_life) };

    return cmocka_run_group_tests_name("end device, vectors", tests, NULL, NULL);
}
