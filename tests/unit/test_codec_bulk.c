/* The formats of others: what each says of a device, what is refused and why, that octets may come in any pieces,
 * and that what is written is read back. */
#include "device_world.h"

#include <lorajs/bulk.h>

#include <stdio.h>

#define KEY_A "5FD2C8A17E3904B6D1F08C4B92A7E35D"
#define KEY_B "8D3C1F6A5B7E90214FD2A6C3B8E17095"
#define KEY_C "C47A02E6913BD85F6E20A9F4175CBD38"
#define ZEROS "00000000000000000000000000000000"
#define FEW   "does not say which JoinNonce comes next, and the device may have joined"

/* ---- helpers ---------------------------------------------------------------- */

struct told {
    char text[8192];
    size_t len;
};

static void tell(struct told *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct told *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->text + t->len, sizeof t->text - t->len, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof t->text - t->len);
    t->len += (size_t)n;
}

static void tell_key(struct told *t, const char *name, const ljs_key *key)
{
    ljs_buf octets;

    if (!key)
        return;
    assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
    tell(t, " %s=%02X%02X", name, octets.data[0], octets.data[1]);
    ljs_buf_free(&octets);
}

/* A line for each row: all that it says. */
static void tell_row(struct told *t, const ljs_bulk_row *row)
{
    const ljs_import *e = &row->entry;

    tell(t, "%llu:%llu ", (unsigned long long)row->number, (unsigned long long)row->line);
    if (row->err) {
        tell(t, "%s %llx %s\n", ljs_errname(row->err), (unsigned long long)e->device.dev_eui, e->fault);
        assert_true(!e->nwk && !e->app && !e->gen_app && !e->rekey && !e->dev_nonces.data && !*row->name);
        return;
    }
    tell(t, "%llx %llx %s", (unsigned long long)e->device.dev_eui, (unsigned long long)e->join_eui[0],
         ljs_mac_text(e->device.mac));
    tell_key(t, "nwk", e->nwk);
    tell_key(t, "app", e->app);
    tell_key(t, "gen", e->gen_app);
    tell(t, " next=%u%s dev=%d used=", e->device.next_join_nonce, row->has_join_nonce ? "" : "?", e->dev_nonce);
    for (size_t i = 0; i + 2 <= e->dev_nonces.len; i += 2)
        tell(t, "%s%d", i ? "," : "", e->dev_nonces.data[i] | e->dev_nonces.data[i + 1] << 8);
    tell(t, "%s [%s]\n", row->exposed ? " exposed" : "", row->name);
    assert_true(e->device.join_euis >= 1 && e->device.join_eui == e->join_eui[0]);
}

static ljs_err feed(struct told *t, ljs_bulk *bulk, const uint8_t *in, size_t in_len)
{
    ljs_bulk_row row;
    size_t at = 0;
    ljs_err err;

    while (!(err = ljs_bulk_next(&row, &at, bulk, in, in_len))) {
        tell_row(t, &row);
        ljs_bulk_row_clear(&row);
        assert_true(row.number == 0 && !row.entry.nwk && !row.entry.app);
    }
    return err;
}

static ljs_err read_in(struct told *t, const ljs_bulk_opts *opts, const char *text, size_t text_len, size_t piece)
{
    ljs_bulk *bulk;
    ljs_err err = LJS_E_NOTFOUND;

    t->len = 0;
    t->text[0] = '\0';
    assert_int_equal(ljs_bulk_new(&bulk, opts), LJS_OK);
    for (size_t at = 0; err == LJS_E_NOTFOUND && at < text_len; at += piece) {
        size_t n = text_len - at < piece ? text_len - at : piece;
        uint8_t *copy = malloc(n); /* exactly its size: a read past it is seen */

        assert_non_null(copy);
        memcpy(copy, text + at, n);
        err = feed(t, bulk, copy, n);
        free(copy);
    }
    if (err == LJS_E_NOTFOUND)
        err = feed(t, bulk, NULL, 0);
    if (err != LJS_E_NOTFOUND)
        tell(t, "%s\n", ljs_errname(err));
    ljs_bulk_free(bulk);
    return err;
}

/* Whole and in pieces of any length the same. */
static void reads(const ljs_bulk_opts *opts, const char *text, const char *want)
{
    static const size_t pieces[] = { 1, 3, 64, 1 << 20 };
    struct told t;

    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        read_in(&t, opts, text, strlen(text), pieces[i]);
        assert_string_equal(t.text, want);
    }
}

static ljs_bulk_opts opts_of(ljs_bulk_format format)
{
    return (ljs_bulk_opts){ .struct_size = sizeof(ljs_bulk_opts), .format = format };
}

static ljs_bulk_opts fresh(ljs_bulk_format format)
{
    ljs_bulk_opts opts = opts_of(format);

    opts.next_join_nonce = 1;
    return opts;
}

/* ---- what each format says ---------------------------------------------------- */

static void tts_csv(void **state)
{
    static const char text[] = "\xef\xbb\xbfid;dev_eui;join_eui;name;lorawan_version;app_key;nwk_key;new_column\r\n"
                               "a;70B3D57ED0000101;70B3D57ED0000000;\"a \"\"b\"\";\nc\";MAC_V1_0_3;" KEY_A ";;x\r\n"
                               "\r\n"
                               "b;70B3D57ED0000102;70B3D57ED0000000;'=1+1;MAC_V1_1;" KEY_B ";" KEY_C "\r\n"
                               ";;;;;;;\n"
                               "c;70B3D57ED0000103;;;1.0.4;" KEY_A ";;";
    ljs_bulk_opts opts = fresh(LJS_BULK_TTS_CSV), none = opts_of(LJS_BULK_TTS_CSV);

    (void)state;
    reads(&opts, text,
          "1:2 INVAL 70b3d57ed0000101 name: must be a text of UTF-8 without control characters\n"
          "2:5 70b3d57ed0000102 70b3d57ed0000000 1.1 nwk=C47A app=8D3C next=1? dev=-1 used= [=1+1]\n"
          "3:7 INVAL 70b3d57ed0000103 join_eui: is missing\n");
    opts.has_join_eui = 1;
    opts.join_eui = 0x1122334455667788;
    reads(&opts, "dev_eui,app_key,lorawan_version,name\n70B3D57ED0000103," KEY_A ",MAC_V1_0_4,\"a,\"\"b;\"\n",
          "1:2 70b3d57ed0000103 1122334455667788 1.0.4 app=5FD2 next=1? dev=-1 used= [a,\"b;]\n");
    none.has_join_eui = 1;
    none.mac = LJS_MAC_1_0_2;
    reads(&none, "dev_eui;app_key\n70B3D57ED0000103;" KEY_A "\n", "1:2 INVAL 70b3d57ed0000103 " FEW "\n");
    reads(&none, "name;app_key\n70B3D57ED0000103;" KEY_A "\n", "INVAL\n");
    reads(&none, "", "INVAL\n");
    none.next_join_nonce = 70000;
    reads(&none, "app_key;dev_eui\n" KEY_A ";70B3D57ED0000103\n",
          "1:2 70b3d57ed0000103 0 1.0.2 app=5FD2 next=70000? dev=-1 used= []\n");
}

static void tts_json(void **state)
{
    static const char text[] =
        "{\"ids\":{\"device_id\":\"a\",\"dev_eui\":\"70B3D57ED0000101\",\"join_eui\":\"70B3D57ED0000000\"},"
        "\"name\":\"} [\\\"\",\"lorawan_version\":\"MAC_V1_0_3\",\"frequency_plan_id\":\"EU_863_870\","
        "\"root_keys\":{\"app_key\":{\"key\":\"" KEY_A "\"}},\"last_join_nonce\":4,\"used_dev_nonces\":[1,300,65535],"
        "\"mac_settings\":{\"x\":[{\"dev_eui\":1.5}]}}\n"
        "{\"ids\":{\"dev_eui\":\"70B3D57ED0000102\",\"join_eui\":\"70B3D57ED0000000\"},\"lorawan_version\":\"MAC_V1_"
        "1\","
        "\"root_keys\":{\"app_key\":{\"key\":\"" KEY_B "\"},\"nwk_key\":{\"key\":\"" KEY_C "\"}},"
        "\"last_join_nonce\":9,\"last_dev_nonce\":11} {\"ids\":{\"dev_eui\":\"70B3D57ED0000103\","
        "\"join_eui\":\"70B3D57ED0000000\"},\"lorawan_version\":\"MAC_V1_0_4\",\"last_join_nonce\":9,"
        "\"root_keys\":{\"app_key\":{\"encrypted_key\":\"AAAA\",\"kek_label\":\"k\"}}}\n";
    ljs_bulk_opts opts = opts_of(LJS_BULK_TTS_JSON);

    (void)state;
    reads(&opts, text,
          "1:1 70b3d57ed0000101 70b3d57ed0000000 1.0.3 app=5FD2 next=5 dev=-1 used=1,300,65535 [} [\"]\n"
          "2:2 70b3d57ed0000102 70b3d57ed0000000 1.1 nwk=C47A app=8D3C next=10 dev=11 used= []\n"
          "3:2 INVAL 70b3d57ed0000103 root_keys.app_key.encrypted_key: the key is under another key; have it exported "
          "in clear\n");
    /* a zero is left out: it joined, so that DevNonce 0 may have been used */
    reads(&opts,
          "[{\"ids\":{\"dev_eui\":\"0000000000000001\",\"join_eui\":\"0000000000000002\"},\"lorawan_version\":"
          "\"MAC_V1_0_4\",\"last_join_nonce\":1,\"root_keys\":{\"app_key\":{\"key\":\"" KEY_A "\"}}},\n"
          "{\"ids\":{\"dev_eui\":\"0000000000000001\",\"dev_eui\":\"0000000000000002\"}},\n]\nnonsense \"{\n{\"ids\":{",
          "1:1 1 2 1.0.4 app=5FD2 next=2 dev=0 used= []\n"
          "2:2 INVAL 1 a name that stands twice in one object\n"
          "3:4 INVAL 0 not a JSON object\n"
          "4:5 INVAL 0 is cut short\n");
    reads(&opts,
          "{\"ids\":{\"dev_eui\":\"0000000000000001\",\"join_eui\":\"0000000000000002\"},\"last_join_nonce\":true}",
          "1:1 INVAL 1 last_join_nonce: must be a whole number\n");
    reads(&opts, "{\"last_join_nonce\":16777216}\n{\"used_dev_nonces\":[65536]}\n{\"last_dev_nonce\":\"12x\"}",
          "1:1 INVAL 0 last_join_nonce: must be a number from 0 to 16777215\n"
          "2:2 INVAL 0 used_dev_nonces: must be numbers from 0 to 65535\n"
          "3:3 INVAL 0 last_dev_nonce: must be a number\n");
}

static void ttjs(void **state)
{
    ljs_bulk_opts opts = opts_of(LJS_BULK_TTJS);

    (void)state;
    opts.has_join_eui = 1;
    opts.join_eui = 0x70b3d57ed0000000;
    opts.mac = LJS_MAC_1_0_2;
    reads(&opts,
          "{\n  devEUI: '0004A310001AAED6',\n  ownerToken: 'C0\\'5EA29C',\n  rootKeysExposed: true,\n"
          "  nonces: { nextJoinNonce: 2, usedDevNonces: [1836, 10331] },\n  rootKeys: {\n    appKey: '" KEY_A "',\n"
          "    nwkKey: '" KEY_B "'\n  }\n}\n"
          "{\"devEUI\":\"0004A310001AAED7\",\"rootKeys\":{\"appKey\":\"" KEY_C "\"}}",
          "1:1 4a310001aaed6 70b3d57ed0000000 1.0.2 nwk=8D3C app=5FD2 next=2 dev=-1 used=1836,10331 exposed []\n"
          "2:11 INVAL 4a310001aaed7 " FEW "\n");
    opts.mac = LJS_MAC_1_1;
    reads(
        &opts,
        "{ devEUI: '0004A310001AAED6', nonces: { nextJoinNonce: 2, usedDevNonces: [7, 5] }, rootKeys: { appKey: '" KEY_A
        "', nwkKey: '" KEY_B "' } }",
        "1:1 4a310001aaed6 70b3d57ed0000000 1.1 nwk=8D3C app=5FD2 next=2 dev=7 used= []\n");
    opts.next_join_nonce = 1; /* who never joined has used no DevNonce */
    reads(&opts,
          "{devEUI:'0004A310001AAED6',nonces:{usedDevNonces:[7]},rootKeys:{appKey:'" KEY_A "',nwkKey:'" KEY_B "'}}",
          "1:1 INVAL 4a310001aaed6 has used DevNonces, so that it joined, and no JoinNonce to go on from\n");
    reads(&opts, "{ devEUI: '0004A310001AAED6', more: [ ... 5 more items ] }", "1:1 INVAL 4a310001aaed6 not JSON\n");
}

static void chirpstack(void **state)
{
    ljs_bulk_opts opts = fresh(LJS_BULK_CHIRPSTACK);

    (void)state;
    /* the root key of LoRaWAN 1.0.x is nwk_key there, and zeros are none */
    reads(&opts,
          "{\"device\":{\"dev_eui\":\"70b3d57ed0000101\",\"join_eui\":\"70b3d57ed0000000\",\"name\":\"@x\"},"
          "\"device_keys\":{\"dev_eui\":\"70b3d57ed0000101\",\"nwk_key\":\"" KEY_A "\",\"app_key\":\"" ZEROS
          "\",\"gen_app_key\":\"" KEY_B "\"},\"device_profile\":{\"mac_version\":\"LORAWAN_1_0_3\"}}\n"
          "{\"device\":{\"devEui\":\"70b3d57ed0000102\",\"joinEui\":\"70b3d57ed0000000\"},\"deviceKeys\":"
          "{\"nwkKey\":\"" KEY_C "\",\"appKey\":\"" ZEROS "\"},\"deviceProfile\":{\"macVersion\":\"LORAWAN_1_1_0\"}}\n"
          "{\"device\":{\"devEui\":\"70b3d57ed0000103\",\"joinEui\":\"70b3d57ed0000000\"},\"deviceKeys\":{\"devEui\":"
          "\"70b3d57ed0000104\",\"nwkKey\":\"" KEY_C "\"},\"deviceProfile\":{\"macVersion\":\"LORAWAN_1_0_4\"}}\n"
          "{\"device\":{\"devEui\":\"70b3d57ed0000105\",\"joinEui\":\"70b3d57ed0000000\"},\"deviceKeys\":{"
          "\"appKey\":\"" KEY_C "\"},\"deviceProfile\":{\"macVersion\":\"LORAWAN_1_0_4\"}}\n"
          "{\"device\":{\"devEui\":\"70b3d57ed0000106\",\"joinEui\":\"70b3d57ed0000000\"},\"deviceKeys\":{"
          "\"nwkKey\":\"" ZEROS "\"},\"deviceProfile\":{\"macVersion\":\"LORAWAN_1_0_4\"}}\n",
          "1:1 70b3d57ed0000101 70b3d57ed0000000 1.0.3 app=5FD2 gen=8D3C next=1? dev=-1 used= [@x]\n"
          "2:2 INVAL 70b3d57ed0000102 app_key: is missing: LoRaWAN 1.1 needs two root keys\n"
          "3:3 INVAL 70b3d57ed0000103 dev_eui: is another with the keys than with the device\n"
          "4:4 INVAL 70b3d57ed0000105 nwk_key: is missing: this format has the root key of LoRaWAN 1.0.x there\n"
          "5:5 WEAK 70b3d57ed0000106 app_key: so regular that it is no secret\n");
}

/* The published example of a label [TR005], without its checksum. */
#define TAG "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR"

static void thingpark(void **state)
{
    ljs_bulk_opts opts = fresh(LJS_BULK_THINGPARK);

    (void)state;
    opts.mac = LJS_MAC_1_0_3;
    reads(&opts,
          "# a comment, \"with a quote\n"
          "CREATE_OTAA,70B3D57ED0000101,,model,70B3D57ED0000000," KEY_A ",,plan,name,1,2\r\n"
          "UPDATE_OTAA,70B3D57ED0000102,,model,70B3D57ED0000000,,,plan\r\n"
          "CREATE_ABP,70B3D57ED0000103,,model,70B3D57ED0000000\r\n"
          "CREATE_OTAA," TAG ":CAF2C,,model,1122334455667788," KEY_B ",,plan\r\n"
          "CREATE_OTAA," TAG ",,model,," KEY_C ",,plan\r\n"
          "CREATE_OTAA," TAG ":CAF2D,,model,1122334455667788," KEY_B ",,plan\r\n"
          "CREATE_OTAA," TAG ",,model,70B3D57ED0000000," KEY_B ",,plan\r\n"
          "CREATE_OTAA,LW:D0:nothing,,model,70B3D57ED0000000," KEY_B ",,plan\r\n"
          "CREATE_OTAA,\"70B3D57ED0000104\"x,,model,70B3D57ED0000000\r\n"
          "CREATE_OTAA,70B3\"D57ED0000104,,model,70B3D57ED0000000\r\n"
          "CREATE_OTAA,\"70B3D57ED0000105",
          "1:2 70b3d57ed0000101 70b3d57ed0000000 1.0.3 app=5FD2 next=1? dev=-1 used= []\n"
          "2:3 INVAL 70b3d57ed0000102 app_key: is missing: there is no root key in it\n"
          "3:4 INVAL 0 A: must be CREATE_OTAA or UPDATE_OTAA\n"
          "4:5 aabbccddeeff0011 1122334455667788 1.0.3 app=8D3C next=1? dev=-1 used= []\n"
          "5:6 aabbccddeeff0011 1122334455667788 1.0.3 app=C47A next=1? dev=-1 used= []\n"
          "6:7 INVAL 0 B: must be 16 hexadecimal digits, or the text of a label with its checksum\n"
          "7:8 INVAL aabbccddeeff0011 join_eui: is another than on the label\n"
          "8:9 INVAL 0 B: must be 16 hexadecimal digits, or the text of a label with its checksum\n"
          "9:10 INVAL 0 something stands behind a quote\n"
          "10:11 INVAL 0 a quote inside of a cell that has none around it\n"
          "11:12 INVAL 0 a quote that does not end; rows that it has swallowed are not read\n");
}

static void wanesy(void **state)
{
    ljs_bulk_opts opts = fresh(LJS_BULK_WANESY);

    (void)state;
    reads(&opts,
          "devEui,clusterId,name,macVersion,activation,appEui,appKey,fcntUp,devNonceCounter\n"
          "70B3D57ED0000101,0001,Test,1.0.2,OTAA,70B3D57ED0000000," KEY_A ",20,False\n"
          "70B3D57ED0000102,0001,Test,1.0.2,ABP,70B3D57ED0000000,NULL,20,False\n"
          "70B3D57ED0000103,0001,NULL,1.1.0,OTAA,70B3D57ED0000000," KEY_B ",20,True\n"
          "70B3D57ED0000104,0001,NULL,1.0.2,OTAA,70B3D57ED0000000," KEY_C ",20,True,more\n",
          "1:2 70b3d57ed0000101 70b3d57ed0000000 1.0.2 app=5FD2 next=1? dev=-1 used= [Test]\n"
          "2:3 INVAL 70b3d57ed0000102 activation: is not OTAA: the device does not join, and has no root key\n"
          "3:4 INVAL 70b3d57ed0000103 nwk_key: is missing: LoRaWAN 1.1 needs two root keys\n"
          "4:5 INVAL 0 has more cells than the header\n");
}

static void own(void **state)
{
    ljs_bulk_opts opts = opts_of(LJS_BULK_LORAJS);

    (void)state;
    reads(&opts,
          "\n{\"dev_eui\":\"70b3d57ed0000101\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.4\","
          "\"app_key\":\"" KEY_A "\",\"next_join_nonce\":5,\"last_dev_nonce\":41}\r\n \t\n"
          "{\"dev_eui\":\"70b3d57ed0000102\"\n",
          "1:2 70b3d57ed0000101 70b3d57ed0000000 1.0.4 app=5FD2 next=5 dev=41 used= []\n"
          "2:4 INVAL 0 not a JSON object\n");
}

/* ---- keys that are no secret ---------------------------------------------------- */

#define ROW(eui, key) "{\"device\":{\"dev_eui\":\"" eui "\"},\"device_keys\":{\"nwk_key\":\"" key "\"}}\n"

static void weak_and_twice(void **state)
{
    static const char text[] =
        ROW("0102030405060701", ZEROS) ROW("0102030405060702", "2B7E151628AED2A6ABF7158809CF4F3C")
            ROW("0102030405060703", "000102030405060708090A0B0C0D0E0F")
                ROW("0102030405060704", "01020304050607040102030405060704") ROW("0102030405060705", "1122334455667788"
                                                                                                    "0102030405060705")
                    ROW("0102030405060706", "0607060504030201"
                                            "8877665544332211") ROW("0102030405060707", KEY_A)
                        ROW("0102030405060708", KEY_B) ROW("0102030405060709", KEY_A) ROW("0102030405060708", KEY_B);
    static const char weak[] = "app_key: so regular that it is no secret";
    ljs_bulk_opts opts = fresh(LJS_BULK_CHIRPSTACK);
    char want[2048];

    (void)state;
    opts.mac = LJS_MAC_1_0_3;
    opts.has_join_eui = 1;
    opts.join_eui = 0x1122334455667788;
    snprintf(want, sizeof want,
             "1:1 WEAK 102030405060701 %s\n2:2 WEAK 102030405060702 %s\n3:3 WEAK 102030405060703 %s\n"
             "4:4 WEAK 102030405060704 %s\n5:5 WEAK 102030405060705 %s\n6:6 WEAK 102030405060706 %s\n"
             "7:7 102030405060707 1122334455667788 1.0.3 app=5FD2 next=1? dev=-1 used= []\n"
             "8:8 102030405060708 1122334455667788 1.0.3 app=8D3C next=1? dev=-1 used= []\n"
             "9:9 EXISTS 102030405060709 app_key: a row before this one has the same key\n"
             "10:10 EXISTS 102030405060708 app_key: a row before this one has the same key\n",
             weak, weak, weak, weak, weak, weak);
    reads(&opts, text, want);
    opts.allow_weak = 1; /* but never twice */
    reads(&opts, ROW("0102030405060701", ZEROS) ROW("0102030405060702", ZEROS),
          "1:1 102030405060701 1122334455667788 1.0.3 app=0000 next=1? dev=-1 used= []\n"
          "2:2 EXISTS 102030405060702 app_key: a row before this one has the same key\n");
}

static void too_long(void **state)
{
    ljs_bulk_opts opts = opts_of(LJS_BULK_LORAJS);
    size_t len = 2 * LJS_BULK_ROW_MAX;
    char *text = malloc(len + 4);
    struct told t;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text + len, "\n{}\n", 4);
    assert_int_equal(read_in(&t, &opts, text, len + 4, 4096), LJS_E_NOTFOUND);
    assert_string_equal(t.text, "1:1 INVAL 0 is longer than 524288 octets\n2:2 INVAL 0 dev_eui: is missing\n");
    free(text);
}

/* ---- writing -------------------------------------------------------------------- */

static ljs_buf made(ljs_mac mac, uint32_t next, int32_t dev_nonce, const char *used)
{
    const ljs_device device = {
        .struct_size = sizeof device, .dev_eui = DEV, .join_eui = EUI, .mac = mac, .next_join_nonce = next
    };
    const ljs_root_keys keys = { mac < LJS_MAC_1_1 ? NULL : nwk, app, NULL, NULL };
    ljs_buf record;

    assert_int_equal(ljs_device_make(&record, vault, &device, &keys, 0, dev_nonce, (const uint8_t *)used,
                                     used ? strlen(used) : 0, NULL, 0),
                     LJS_OK);
    return record;
}

static void put_all(struct told *t, ljs_bulk_format format, ljs_vault *opener, const char *title, const char *name,
                    const char *value, const ljs_buf *record)
{
    ljs_bulk_writer *writer;
    ljs_buf out;

    t->len = 0;
    assert_int_equal(ljs_bulk_writer_new(&writer, format), LJS_OK);
    if (name)
        assert_int_equal(ljs_bulk_set(writer, name, value), LJS_OK);
    assert_int_equal(ljs_bulk_put(&out, writer, opener, title, record->data, record->len), LJS_E_STATE);
    assert_int_equal(ljs_bulk_head(&out, writer), LJS_OK);
    tell(t, "%.*s", (int)out.len, out.data ? (char *)out.data : "");
    ljs_buf_free(&out);
    assert_int_equal(ljs_bulk_head(&out, writer), LJS_E_STATE);
    assert_int_equal(ljs_bulk_put(&out, writer, opener, title, record->data, record->len), LJS_OK);
    tell(t, "%.*s", (int)out.len, (char *)out.data);
    ljs_buf_free(&out);
    ljs_bulk_writer_free(writer);
}

/* What is written is read back, but for what the format has no place for, which it says. */
static void written_is_read(void **state)
{
    static const ljs_mac macs[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_1, LJS_MAC_1_0_2,
                                    LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    struct told file, told, want;

    (void)state;
    for (unsigned f = LJS_BULK_LORAJS; f <= LJS_BULK_WANESY; f++)
        for (size_t i = 0; i < COUNT_OF(macs); i++) {
            bool counts = macs[i] >= LJS_MAC_1_0_4, two = macs[i] >= LJS_MAC_1_1;
            ljs_buf record = made(macs[i], 7, counts ? 41 : -1, counts ? NULL : "\1\2\3\4");
            ljs_bulk_opts opts = opts_of((ljs_bulk_format)f);
            uint32_t loses;

            assert_int_equal(ljs_bulk_loses(&loses, opts.format, record.data, record.len), LJS_OK);
            opts.has_join_eui = 1;
            opts.join_eui = EUI;
            opts.mac = loses & LJS_BULK_LOSES_VERSION ? (uint16_t)macs[i] : 0;
            opts.next_join_nonce = loses & LJS_BULK_LOSES_NONCES ? 9 : 0;
            if (loses & LJS_BULK_LOSES_ROOT_KEY) {
                assert_true(two && (f == LJS_BULK_THINGPARK || f == LJS_BULK_WANESY));
                ljs_buf_free(&record);
                continue;
            }
            put_all(&file, opts.format, vault, NULL, NULL, NULL, &record);
            read_in(&told, &opts, file.text, file.len, 5);
            want.len = 0;
            assert_non_null(strchr(told.text, ' '));
            tell(&want, "70b3d5499f0a1c27 70b3d57ed00019e4 %s%s app=C47A next=%s dev=%d used=%s%s [",
                 ljs_mac_text(macs[i]), two ? " nwk=8D3C" : "", loses & LJS_BULK_LOSES_NONCES ? "9?" : "7",
                 counts && !(loses & LJS_BULK_LOSES_NONCES) ? 41 : -1,
                 counts || loses & LJS_BULK_LOSES_NONCES ? "" : "513,1027", f == LJS_BULK_TTJS ? " exposed" : "");
            assert_memory_equal(strchr(told.text, ' ') + 1, want.text, want.len);
            ljs_buf_free(&record);
        }
}

/* No key is written but where a vault is given, and none is opened. */
static void without_keys(void **state)
{
    ljs_buf record = made(LJS_MAC_1_1, 7, 41, NULL);
    struct told file;

    (void)state;
    for (unsigned f = LJS_BULK_LORAJS; f <= LJS_BULK_WANESY; f++) {
        put_all(&file, (ljs_bulk_format)f, NULL, NULL, NULL, NULL, &record);
        assert_null(strstr(file.text, "C47A02E6"));
        assert_null(strstr(file.text, "8D3C1F6A"));
        assert_non_null(strcasestr(file.text, "70B3D5499F0A1C27"));
    }
    ljs_buf_free(&record);
}

/* A spreadsheet sees no formula, and we what was meant. */
static void formulas(void **state)
{
    static const char *const titles[] = { "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'=1", "''@", "'a", "a=1",
                                          "a;b,\"c\"" };
    ljs_buf record = made(LJS_MAC_1_0_3, 1, -1, NULL);
    ljs_bulk_opts opts = fresh(LJS_BULK_TTS_CSV);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(titles); i++)
        for (unsigned f = LJS_BULK_TTS_CSV; f <= LJS_BULK_WANESY; f++) {
            struct told file, told;
            char want[64];

            if (f == LJS_BULK_TTJS || f == LJS_BULK_THINGPARK) /* have no name */
                continue;
            opts.format = (ljs_bulk_format)f;
            put_all(&file, opts.format, vault, titles[i], NULL, NULL, &record);
            read_in(&told, &opts, file.text, file.len, 1 << 20);
            snprintf(want, sizeof want, " [%s]\n", titles[i]);
            assert_non_null(strstr(told.text, want));
            for (const char *at = file.text; f == LJS_BULK_TTS_CSV && *at; at++)
                assert_false((*at == ';' || (*at == '"' && at[-1] == ';')) && strchr("=+-@", at[1]) && at[1]);
        }
    for (size_t i = 0; i < 2; i++) {
        struct told file;

        put_all(&file, LJS_BULK_THINGPARK, vault, NULL, "model_id", titles[i], &record);
        assert_null(strstr(file.text, ",=cmd"));
        assert_null(strstr(file.text, ",+"));
    }
    ljs_buf_free(&record);
}

static void losses(void **state)
{
    ljs_device device = { .struct_size = sizeof device, .dev_eui = DEV, .join_eui = EUI, .mac = LJS_MAC_1_0_3 };
    const ljs_root_keys keys = { nwk, app, other_app, NULL };
    static const struct {
        ljs_bulk_format format;
        uint32_t fresh, joined;
    } rows[] = {
        { LJS_BULK_LORAJS, 0, 0 },
        { LJS_BULK_TTS_CSV, LJS_BULK_LOSES_KEYS, LJS_BULK_LOSES_NONCES },
        { LJS_BULK_TTS_JSON, LJS_BULK_LOSES_KEYS, 0 },
        { LJS_BULK_TTJS, LJS_BULK_LOSES_KEYS | LJS_BULK_LOSES_VERSION, LJS_BULK_LOSES_VERSION },
        { LJS_BULK_CHIRPSTACK, LJS_BULK_LOSES_KEYS, LJS_BULK_LOSES_NONCES },
        { LJS_BULK_THINGPARK, LJS_BULK_LOSES_KEYS | LJS_BULK_LOSES_VERSION,
          LJS_BULK_LOSES_VERSION | LJS_BULK_LOSES_NONCES },
        { LJS_BULK_WANESY, LJS_BULK_LOSES_KEYS, LJS_BULK_LOSES_NONCES },
    };
    ljs_buf plain, more, joined = made(LJS_MAC_1_0_3, 2, -1, NULL);
    uint32_t loses;

    (void)state;
    strcpy(device.as_id, "as");
    assert_int_equal(ljs_device_make(&plain, vault, &device, &keys, 0, -1, NULL, 0, NULL, 0), LJS_OK);
    assert_int_equal(ljs_device_add_join_eui(&more, vault, EUI2, plain.data, plain.len), LJS_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint32_t settings = i ? LJS_BULK_LOSES_SETTINGS : 0;

        assert_int_equal(ljs_bulk_loses(&loses, rows[i].format, plain.data, plain.len), LJS_OK);
        assert_int_equal(loses, rows[i].fresh | settings);
        assert_int_equal(ljs_bulk_loses(&loses, rows[i].format, more.data, more.len), LJS_OK);
        assert_int_equal(loses, rows[i].fresh | settings | (i ? LJS_BULK_LOSES_JOIN_EUIS : 0));
        assert_int_equal(ljs_bulk_loses(&loses, rows[i].format, joined.data, joined.len), LJS_OK);
        assert_int_equal(loses, rows[i].joined);
    }
    ljs_buf_free(&plain);
    ljs_buf_free(&more);
    ljs_buf_free(&joined);
}

static void refusals_of_the_writer(void **state)
{
    ljs_buf record = made(LJS_MAC_1_1, 7, 41, NULL), gone, out;
    ljs_bulk_writer *writer;

    (void)state;
    assert_int_equal(ljs_bulk_writer_new(&writer, (ljs_bulk_format)8), LJS_E_INVAL);
    assert_int_equal(ljs_bulk_writer_new(&writer, LJS_BULK_WANESY), LJS_OK);
    assert_int_equal(ljs_bulk_set(writer, "cluster", "1"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_bulk_set(writer, "", "1"), LJS_E_NOTFOUND);
    assert_int_equal(ljs_bulk_set(writer, "clusterId", ""), LJS_E_INVAL);
    assert_int_equal(ljs_bulk_set(writer, "rfRegion", "a\nb"), LJS_E_INVAL);
    assert_int_equal(ljs_bulk_set(writer, "rfRegion", "EU868"), LJS_OK);
    assert_string_equal(ljs_bulk_names(LJS_BULK_WANESY), "clusterId rfRegion");
    assert_string_equal(ljs_bulk_names(LJS_BULK_TTJS), "");
    assert_int_equal(ljs_bulk_head(&out, writer), LJS_OK);
    ljs_buf_free(&out);
    assert_int_equal(ljs_bulk_set(writer, "rfRegion", "EU868"), LJS_E_STATE);
    assert_int_equal(ljs_bulk_put(&out, writer, vault, NULL, record.data, record.len), LJS_E_NOKEY);
    assert_int_equal(ljs_bulk_put(&out, writer, NULL, "a\tb", record.data, record.len), LJS_E_INVAL);
    assert_int_equal(ljs_bulk_put(&out, writer, NULL, "", record.data, record.len), LJS_E_INVAL);
    assert_int_equal(ljs_device_step(&gone, vault, LJS_DEVICE_REMOVE, record.data, record.len), LJS_OK);
    assert_int_equal(ljs_bulk_put(&out, writer, NULL, NULL, gone.data, gone.len), LJS_E_STATE);
    ljs_buf_free(&gone);
    ljs_bulk_writer_free(writer);
    assert_int_equal(ljs_bulk_writer_new(&writer, LJS_BULK_LORAJS), LJS_OK);
    assert_int_equal(ljs_bulk_head(&out, writer), LJS_OK);
    record.data[record.len - 1] ^= 1; /* what was tampered with gives no key */
    assert_int_equal(ljs_bulk_put(&out, writer, vault, NULL, record.data, record.len), LJS_E_SEAL);
    ljs_bulk_writer_free(writer);
    ljs_buf_free(&record);
}

/* ---- which it is ------------------------------------------------------------------ */

static void guesses(void **state)
{
    static const struct {
        const char *text;
        unsigned formats;
    } rows[] = {
        { "", 0 },
        { " \n", 0 },
        { "\xef\xbb\xbfid;dev_eui;x\n", 1u << LJS_BULK_TTS_CSV },
        { "\"dev_eui\",\"app_key\"\r\nx", 1u << LJS_BULK_TTS_CSV },
        { "a,devEui\n", 1u << LJS_BULK_WANESY },
        { "dev_eui,devEui\n", 1u << LJS_BULK_WANESY | 1u << LJS_BULK_TTS_CSV },
        { "dev_eui_x\n", 0 },
        { "# dev_eui\nCREATE_OTAA,", 1u << LJS_BULK_THINGPARK },
        { "{\"dev_eui\":\"\"}", 1u << LJS_BULK_LORAJS },
        { "\n[ {\"ids\":{\"dev_eui\":\"}\"}}", 1u << LJS_BULK_TTS_JSON },
        { "{ devEUI: 'x' }", 1u << LJS_BULK_TTJS },
        { "{\"device\":{},\"device_keys\":{}}", 1u << LJS_BULK_CHIRPSTACK },
        { "{\"device\":{},\"ids\":{}}", 1u << LJS_BULK_CHIRPSTACK | 1u << LJS_BULK_TTS_JSON },
        { "{\"ids\":{", 0 },
        { "{\"x\":{\"ids\":1}}", 0 },
        { "[[{\"ids\":1}]]", 0 },
    };
    ljs_bulk_format format;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint32_t formats;

        assert_int_equal(ljs_bulk_guess(&formats, (const uint8_t *)rows[i].text, strlen(rows[i].text)), LJS_OK);
        if (formats != rows[i].formats)
            fail_msg("%s: %x", rows[i].text, formats);
    }
    for (unsigned f = LJS_BULK_LORAJS; f <= LJS_BULK_WANESY; f++) {
        assert_int_equal(ljs_bulk_format_parse(&format, ljs_bulk_format_text((ljs_bulk_format)f)), LJS_OK);
        assert_int_equal(format, f);
    }
    assert_int_equal(ljs_bulk_format_parse(&format, "csv"), LJS_E_INVAL);
    assert_string_equal(ljs_bulk_format_text((ljs_bulk_format)0), "?");
    assert_string_equal(ljs_bulk_format_text((ljs_bulk_format)8), "?");
}

static void options(void **state)
{
    ljs_bulk_opts opts = opts_of(LJS_BULK_TTJS);
    ljs_bulk *bulk;

    (void)state;
    opts.mac = 0x0105;
    assert_int_equal(ljs_bulk_new(&bulk, &opts), LJS_E_INVAL);
    opts.mac = 0;
    opts.next_join_nonce = 0x1000001;
    assert_int_equal(ljs_bulk_new(&bulk, &opts), LJS_E_INVAL);
    opts.next_join_nonce = 0;
    opts.format = (ljs_bulk_format)0;
    assert_int_equal(ljs_bulk_new(&bulk, &opts), LJS_E_INVAL);
    assert_null(bulk);
    opts.format = LJS_BULK_TTJS;
    opts.struct_size--;
    assert_int_equal(ljs_bulk_new(&bulk, &opts), LJS_E_INVAL);
    ljs_bulk_free(NULL);
    ljs_bulk_writer_free(NULL);
    ljs_bulk_row_clear(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tts_csv),      cmocka_unit_test(tts_json),
        cmocka_unit_test(ttjs),         cmocka_unit_test(chirpstack),
        cmocka_unit_test(thingpark),    cmocka_unit_test(wanesy),
        cmocka_unit_test(own),          cmocka_unit_test(weak_and_twice),
        cmocka_unit_test(too_long),     cmocka_unit_test(written_is_read),
        cmocka_unit_test(without_keys), cmocka_unit_test(formulas),
        cmocka_unit_test(losses),       cmocka_unit_test(refusals_of_the_writer),
        cmocka_unit_test(guesses),      cmocka_unit_test(options),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
