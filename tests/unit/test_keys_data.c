/* MIC and encryption of data frames: the known answers, through the public functions and
 * through a ring, and what of a frame each of them covers. */
#include "keys/data.h"

#include "air/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"
#include "vectors.h"

static ljs_key *key_of(json_t *v, const char *path)
{
    uint8_t octets[32];
    ljs_key *key = NULL;

    if (vector_has(v, path))
        assert_int_equal(ljs_key_import(&key, octets, vector_hex(octets, sizeof octets, v, path)), LJS_OK);
    return key;
}

static ljs_key *key_of_octet(uint8_t octet)
{
    uint8_t octets[16];
    ljs_key *key;

    memset(octets, octet, sizeof octets);
    assert_int_equal(ljs_key_import(&key, octets, sizeof octets), LJS_OK);
    return key;
}

/* The keys of a frame's vector; those that it does not name stay NULL. */
struct keys {
    ljs_key *f, *s, *enc, *frm;
};

static struct keys keys_of(json_t *v)
{
    bool v10 = vector_has(v, "inputs.nwk_s_key");

    return (struct keys){ .f = key_of(v, v10 ? "inputs.nwk_s_key" : "inputs.f_nwk_s_int_key"),
                          .s = key_of(v, "inputs.s_nwk_s_int_key"),
                          .enc = key_of(v, "inputs.nwk_s_enc_key"),
                          .frm = key_of(v, "inputs.frm_key") };
}

static void keys_free(struct keys *k)
{
    ljs_key_free(k->f);
    ljs_key_free(k->s);
    ljs_key_free(k->enc);
    ljs_key_free(k->frm);
}

static void load(struct ring *ring, enum key_id id, const ljs_key *key)
{
    if (key)
        assert_int_equal(ljs__ring_load(ring, id, key), LJS_OK);
}

static uint64_t number_or_0(json_t *v, const char *path)
{
    return vector_has(v, path) ? vector_number(v, path) : 0;
}

static ljs_data_of of_vector(json_t *v)
{
    return (ljs_data_of){ .scheme = vector_has(v, "inputs.nwk_s_key") ? LJS_SCHEME_1_0 : LJS_SCHEME_1_1,
                          .fcnt = (uint32_t)vector_number(v, "inputs.fcnt"),
                          .conf_fcnt = (uint16_t)number_or_0(v, "inputs.conf_fcnt"),
                          .tx_dr = (uint8_t)number_or_0(v, "inputs.tx_dr"),
                          .tx_ch = (uint8_t)number_or_0(v, "inputs.tx_ch") };
}

static void check_crypt(json_t *v, const char *path, ljs_stream stream, const ljs_data *d, uint32_t fcnt,
                        const ljs_key *key, const uint8_t *in, size_t in_len)
{
    uint8_t want[LJS_DATA_MAX];
    ljs_buf out, back;

    if (!vector_has(v, path))
        return;
    assert_non_null(key);
    assert_int_equal(vector_hex(want, sizeof want, v, path), in_len);
    assert_int_equal(ljs_data_crypt(&out, stream, d->direction, d->dev_addr, fcnt, key, in, in_len), LJS_OK);
    assert_int_equal(out.len, in_len);
    assert_memory_equal(out.data, want, in_len);
    assert_int_equal(ljs_data_crypt(&back, stream, d->direction, d->dev_addr, fcnt, key, out.data, out.len), LJS_OK);
    assert_memory_equal(back.data, in, in_len);
    ljs_buf_free(&out);
    ljs_buf_free(&back);
}

static void check_ring(const struct keys *k, const ljs_data_of *of, uint8_t *frame, size_t len)
{
    uint8_t mic[4], signed_frame[LJS_DATA_MAX];
    struct ring *ring;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    load(ring, KEY_F_NWK_S_INT, k->f ? k->f : k->s); /* for the bit that makes an uplink of a downlink */
    load(ring, KEY_S_NWK_S_INT, k->s);
    assert_int_equal(ljs__data_mic(ring, mic, of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, frame, len), LJS_OK);
    assert_memory_equal(mic, frame + len - 4, 4);
    assert_int_equal(ljs__data_check(ring, of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, frame, len), LJS_OK);
    memcpy(signed_frame, frame, len);
    memset(signed_frame + len - 4, 0x5a, 4);
    assert_int_equal(ljs__data_sign(ring, of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, signed_frame, len), LJS_OK);
    assert_memory_equal(signed_frame, frame, len);

    /* Every bit of it is under the MIC: what still parses fails. */
    for (size_t bit = 0; bit < 8 * len; bit++) {
        ljs_data d;
        ljs_err want;

        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        want = ljs_data_parse(&d, frame, len);
        assert_int_equal(ljs__data_check(ring, of, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, frame, len),
                         want ? want : LJS_E_MIC);
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ljs__ring_give(ring);
}

static void data_frame(json_t *v)
{
    uint8_t frame[LJS_DATA_MAX], mic[4], want[4];
    size_t len = vector_hex(frame, sizeof frame, v, "inputs.frame");
    ljs_data_of of = of_vector(v);
    struct keys k = keys_of(v);
    ljs_data d;

    assert_int_equal(ljs_data_parse(&d, frame, len), LJS_OK);
    assert_int_equal(vector_hex(want, sizeof want, v, "expected.mic"), 4);
    assert_int_equal(ljs_data_mic(mic, &of, k.f, k.s, frame, len), LJS_OK);
    assert_memory_equal(mic, want, 4);
    check_crypt(v, "expected.frm_payload", LJS_STREAM_FRM_PAYLOAD, &d, of.fcnt, k.frm, d.frm_payload,
                d.frm_payload_len);
    /* [errata of 1.1]  a downlink with FPort > 0 is counted by AFCntDown */
    check_crypt(v, "expected.fopts",
                d.direction == LJS_DOWN && d.has_fport && d.fport ? LJS_STREAM_FOPTS_A : LJS_STREAM_FOPTS, &d, of.fcnt,
                k.enc, d.fopts, d.fopts_len);
    check_ring(&k, &of, frame, len);
    keys_free(&k);
}

static void payload_crypto(json_t *v)
{
    ljs_data d = { .direction = !strcmp(vector_text(v, "inputs.direction"), "up") ? LJS_UP : LJS_DOWN,
                   .dev_addr = (ljs_devaddr)vector_number(v, "inputs.dev_addr") };
    ljs_stream stream = LJS_STREAM_FRM_PAYLOAD;
    uint8_t text[64];
    size_t len = vector_hex(text, sizeof text, v, "inputs.plaintext");
    ljs_key *key = key_of(v, "inputs.key");

    if (vector_has(v, "inputs.frame_type_constant")) {
        assert_int_equal(vector_number(v, "inputs.frame_type_constant"), 1);
        stream = LJS_STREAM_FOPTS;
    }
    assert_true(vector_has(v, "expected.ciphertext"));
    check_crypt(v, "expected.ciphertext", stream, &d, (uint32_t)vector_number(v, "inputs.fcnt"), key, text, len);
    ljs_key_free(key);
}

/* Its message has the MHDR of an uplink and goes through the routine for downlinks, as its
 * note says.  Our functions take the direction from the frame, so that this one is for the
 * function below them; and 1.0 and 1.1 agree on it, there being no ACK. */
static void data_mic_down(json_t *v)
{
    static const ljs_scheme schemes[] = { LJS_SCHEME_1_0, LJS_SCHEME_1_1 };
    struct mic_head head = { .direction = LJS_DOWN,
                             .dev_addr = (ljs_devaddr)vector_number(v, "inputs.dev_addr"),
                             .ack = vector_number(v, "inputs.conf_fcnt") != 0 };
    uint8_t msg[64], mic[4], want[4];
    size_t len = vector_hex(msg, sizeof msg, v, "inputs.message");
    ljs_key *key = key_of(v, "inputs.key");
    struct ring *ring;

    assert_int_equal(vector_hex(want, sizeof want, v, "expected.mic"), 4);
    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    load(ring, KEY_F_NWK_S_INT, key);
    load(ring, KEY_S_NWK_S_INT, key);
    for (size_t i = 0; i < 2; i++) {
        ljs_data_of of = { .scheme = schemes[i], .fcnt = (uint32_t)vector_number(v, "inputs.fcnt") };

        assert_int_equal(ljs__data_mic_under(ring, mic, &of, &head, KEY_F_NWK_S_INT, KEY_S_NWK_S_INT, msg, len),
                         LJS_OK);
        assert_memory_equal(mic, want, 4);
    }
    ljs__ring_give(ring);
    ljs_key_free(key);
}

static void vectors(void **state)
{
    (void)state;
    vectors_each("data_frame", 22, data_frame);
    vectors_each("payload_crypto", 4, payload_crypto);
    vectors_each("data_mic_down", 1, data_mic_down);
}

static void build(uint8_t frame[LJS_DATA_MAX], size_t *len, ljs_direction direction, uint8_t ack)
{
    ljs_data d = { .direction = direction,
                   .ack = ack,
                   .dev_addr = 0x01020304,
                   .fcnt = 7,
                   .has_fport = 1,
                   .fport = 1,
                   .frm_payload = { 1, 2, 3 },
                   .frm_payload_len = 3 };

    assert_int_equal(ljs__data_write(frame, len, &d), LJS_OK);
}

/* What of ljs_data_of, and which key, each MIC depends on: f s fcnt conf dr ch. */
static void what_is_covered(void **state)
{
    static const struct {
        ljs_scheme scheme;
        ljs_direction direction;
        uint8_t ack;
        const char *want;
    } rows[] = {
        { LJS_SCHEME_1_0, LJS_UP, 0, "f.n..." },   { LJS_SCHEME_1_0, LJS_UP, 1, "f.n..." },
        { LJS_SCHEME_1_0, LJS_DOWN, 0, "f.n..." }, { LJS_SCHEME_1_0, LJS_DOWN, 1, "f.n..." },
        { LJS_SCHEME_1_1, LJS_UP, 0, "fsn.dc" },   { LJS_SCHEME_1_1, LJS_UP, 1, "fsnadc" },
        { LJS_SCHEME_1_1, LJS_DOWN, 0, ".sn..." }, { LJS_SCHEME_1_1, LJS_DOWN, 1, ".sna.." },
    };
    ljs_key *f = key_of_octet(0x11), *s = key_of_octet(0x22), *other = key_of_octet(0x33);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ljs_data_of of = { rows[i].scheme, 0x10007, 5, 2, 3 }, changed;
        uint8_t frame[LJS_DATA_MAX], mic[4], again[4];
        char got[] = "......";
        size_t len;

        build(frame, &len, rows[i].direction, rows[i].ack);
        assert_int_equal(ljs_data_mic(mic, &of, f, s, frame, len), LJS_OK);
        for (size_t j = 0; j < 6; j++) {
            changed = of;
            changed.fcnt += j == 2 ? 0x10000 : 0; /* what the frame does not carry */
            changed.conf_fcnt = (uint16_t)(of.conf_fcnt + (j == 3));
            changed.tx_dr = (uint8_t)(of.tx_dr + (j == 4));
            changed.tx_ch = (uint8_t)(of.tx_ch + (j == 5));
            assert_int_equal(ljs_data_mic(again, &changed, j == 0 ? other : f, j == 1 ? other : s, frame, len), LJS_OK);
            if (memcmp(mic, again, 4))
                got[j] = "fsnadc"[j];
        }
        assert_string_equal(got, rows[i].want);
    }
    ljs_key_free(f);
    ljs_key_free(s);
    ljs_key_free(other);
}

/* [L2 1.1 §4.4]  the first half of an uplink's MIC is SNwkSIntKey's, the second FNwkSIntKey's */
static void halves_of_an_uplink(void **state)
{
    ljs_key *f = key_of_octet(0x11), *s = key_of_octet(0x22), *other = key_of_octet(0x33);
    ljs_data_of of = { .scheme = LJS_SCHEME_1_1, .fcnt = 7, .tx_dr = 2, .tx_ch = 3 };
    ljs_data_of of_10 = { .scheme = LJS_SCHEME_1_0, .fcnt = 7 };
    uint8_t frame[LJS_DATA_MAX], mic[4], with_f[4], with_s[4], in_10[4];
    size_t len;

    (void)state;
    build(frame, &len, LJS_UP, 0);
    assert_int_equal(ljs_data_mic(mic, &of, f, s, frame, len), LJS_OK);
    assert_int_equal(ljs_data_mic(with_f, &of, other, s, frame, len), LJS_OK);
    assert_int_equal(ljs_data_mic(with_s, &of, f, other, frame, len), LJS_OK);
    assert_int_equal(ljs_data_mic(in_10, &of_10, f, NULL, frame, len), LJS_OK);
    assert_memory_equal(mic, with_f, 2);
    assert_memory_not_equal(mic + 2, with_f + 2, 2);
    assert_memory_equal(mic + 2, with_s + 2, 2);
    assert_memory_not_equal(mic, with_s, 2);
    assert_memory_equal(mic + 2, in_10, 2);
    ljs_key_free(f);
    ljs_key_free(s);
    ljs_key_free(other);
}

static void mic_refuses(void **state)
{
    static const uint8_t none[4];
    uint8_t long_octets[32] = { 1, 2, 3 }, frame[LJS_DATA_MAX], mic[4] = { 1, 1, 1, 1 };
    ljs_key *key = key_of_octet(0x11), *too_long;
    ljs_data_of of = { .scheme = LJS_SCHEME_1_1 };
    size_t len;

    (void)state;
    assert_int_equal(ljs_key_import(&too_long, long_octets, sizeof long_octets), LJS_OK);
    build(frame, &len, LJS_UP, 0);
    assert_int_equal(ljs_data_mic(mic, &of, NULL, key, frame, len), LJS_E_NOKEY);
    assert_int_equal(ljs_data_mic(mic, &of, key, NULL, frame, len), LJS_E_NOKEY);
    assert_int_equal(ljs_data_mic(mic, &of, key, too_long, frame, len), LJS_E_INVAL);
    assert_memory_equal(mic, none, 4);
    assert_int_equal(ljs_data_mic(mic, &of, key, key, frame, 11), LJS_E_SIZE);
    assert_int_equal(ljs_data_mic(mic, &of, key, key, frame, 256), LJS_E_SIZE);
    assert_int_equal(ljs_data_mic(mic, &of, key, key, NULL, 0), LJS_E_SIZE);
    frame[0] = 0xe0; /* proprietary */
    assert_int_equal(ljs_data_mic(mic, &of, key, key, frame, len), LJS_E_FRAME);
    frame[0] = 0x40;
    of.scheme = (ljs_scheme)0;
    assert_int_equal(ljs_data_mic(mic, &of, key, key, frame, len), LJS_E_INVAL);
    assert_memory_equal(mic, none, 4);

    build(frame, &len, LJS_DOWN, 0);
    of.scheme = LJS_SCHEME_1_1;
    assert_int_equal(ljs_data_mic(mic, &of, NULL, key, frame, len), LJS_OK);
    of.scheme = LJS_SCHEME_1_0;
    assert_int_equal(ljs_data_mic(mic, &of, key, NULL, frame, len), LJS_OK);
    assert_int_equal(ljs_data_mic(mic, &of, NULL, key, frame, len), LJS_E_NOKEY);
    ljs_key_free(key);
    ljs_key_free(too_long);
}

/* Each stream by the block cipher alone, one block after the other. */
static void every_stream_and_length(void **state)
{
    static const uint8_t constant[] = {
        [LJS_STREAM_FRM_PAYLOAD] = 0, [LJS_STREAM_FOPTS] = 1, [LJS_STREAM_FOPTS_A] = 2
    };
    ljs_key *key = key_of_octet(0x44);
    uint8_t in[260];
    uint64_t random = 3;

    (void)state;
    random_fill(&random, in, sizeof in);
    for (int stream = LJS_STREAM_FRM_PAYLOAD; stream <= LJS_STREAM_FOPTS_A; stream++)
        for (int direction = LJS_UP; direction <= LJS_DOWN; direction++)
            for (size_t len = 0; len < sizeof in; len++) {
                bool fits = len <= (stream == LJS_STREAM_FRM_PAYLOAD ? 242 : 15) &&
                            !(stream == LJS_STREAM_FOPTS_A && direction == LJS_UP);
                ljs_buf out = { (uint8_t *)1, 1 };

                assert_int_equal(ljs_data_crypt(&out, (ljs_stream)stream, (ljs_direction)direction, 0x01020304,
                                                0xa1b2c3d4, key, in, len),
                                 fits ? LJS_OK : LJS_E_INVAL);
                assert_int_equal(out.len, fits ? len : 0);
                for (size_t i = 0; i < out.len; i += 16) {
                    const uint8_t a[16] = {
                        1,    0,    0,    0, constant[stream],     (uint8_t)direction, 4, 3, 2, 1, 0xd4,
                        0xc3, 0xb2, 0xa1, 0, (uint8_t)(i / 16 + 1)
                    };
                    uint8_t s[16];

                    assert_int_equal(ljs_aes_encrypt(s, key, a, sizeof a), LJS_OK);
                    for (size_t j = i; j < len && j < i + 16; j++)
                        assert_int_equal(out.data[j], in[j] ^ s[j - i]);
                }
                ljs_buf_free(&out);
            }
    ljs_key_free(key);
}

static void crypt_refuses(void **state)
{
    static const uint8_t in[4] = { 1, 2, 3, 4 };
    ljs_key *key = key_of_octet(0x44);
    struct ring *ring;
    uint8_t at[4] = { 1, 2, 3, 4 };
    ljs_buf out;

    (void)state;
    assert_int_equal(ljs_data_crypt(&out, (ljs_stream)3, LJS_UP, 1, 1, key, in, 4), LJS_E_INVAL);
    assert_int_equal(ljs_data_crypt(&out, LJS_STREAM_FOPTS, (ljs_direction)2, 1, 1, key, in, 4), LJS_E_INVAL);
    assert_int_equal(ljs_data_crypt(&out, LJS_STREAM_FOPTS, LJS_UP, 1, 1, NULL, in, 4), LJS_E_NOKEY);
    assert_null(out.data);

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__data_crypt(ring, KEY_APP_S, at, LJS_STREAM_FRM_PAYLOAD, LJS_UP, 1, 1, at, 4), LJS_E_NOKEY);
    assert_memory_equal(at, in, 4);
    load(ring, KEY_APP_S, key);
    assert_int_equal(ljs__data_crypt(ring, KEY_APP_S, at, LJS_STREAM_FRM_PAYLOAD, LJS_UP, 1, 1, at, 4), LJS_OK);
    assert_memory_not_equal(at, in, 4); /* in place */
    assert_int_equal(ljs_data_crypt(&out, LJS_STREAM_FRM_PAYLOAD, LJS_UP, 1, 1, key, in, 4), LJS_OK);
    assert_memory_equal(at, out.data, 4);
    ljs_buf_free(&out);
    ljs__ring_give(ring);
    ljs_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),     cmocka_unit_test(what_is_covered),         cmocka_unit_test(halves_of_an_uplink),
        cmocka_unit_test(mic_refuses), cmocka_unit_test(every_stream_and_length), cmocka_unit_test(crypt_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
