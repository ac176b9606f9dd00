/* Devices as JSON: what a line may say, what is wrong with it, that its keys stay in
 * their handles, and what a record shows. */
#include <lorajs/import.h>
#include <lorajs/join.h>
#include <lorajs/message.h>

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define KEY_A  "5FD2C8A17E3904B6D1F08C4B92A7E35D"
#define KEY_B  "8d3c1f6a5b7e90214fd2a6c3b8e17095"
#define PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define OTAA_10                                                                                                        \
    "{\"dev_eui\":\"70B3D57ED0000101\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.3\","               \
    "\"app_key\":\"" KEY_A "\"}"
#define OTAA_11                                                                                                        \
    "{\"dev_eui\":\"70B3D57ED0000110\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.1\","                 \
    "\"nwk_key\":\"" KEY_A "\",\"app_key\":\"" KEY_B "\"}"

/* ---- helpers ---------------------------------------------------------------- */

static ljs_err parse(ljs_import *out, const char *text)
{
    size_t len = strlen(text);
    uint8_t *copy = malloc(len ? len : 1); /* exactly its size: a read past it is seen */
    ljs_err err;

    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(out, 0xa5, sizeof *out);
    err = ljs_import_parse(out, copy, len);
    free(copy);
    return err;
}

static void is_empty(const ljs_import *import)
{
    static const ljs_device none;
    ljs_device device = import->device;

    device.struct_size = 0;
    assert_memory_equal(&device, &none, sizeof none);
    for (size_t i = 0; i < LJS_JOIN_EUIS_MAX; i++)
        assert_true(import->join_eui[i] == 0);
    assert_null(import->nwk);
    assert_null(import->app);
    assert_null(import->gen_app);
    assert_null(import->rekey);
    assert_int_equal(import->dev_nonce, -1);
    assert_null(import->dev_nonces.data);
    assert_int_equal(import->dev_nonces.len, 0);
}

static void takes(ljs_import *out, const char *text)
{
    if (parse(out, text))
        fail_msg("%s: %s", out->fault, text);
    assert_string_equal(out->fault, "");
}

static void takes_it(const char *text)
{
    ljs_import import;

    takes(&import, text);
    ljs_import_clear(&import);
    is_empty(&import);
}

static void refuses(const char *text, const char *fault)
{
    ljs_import import;

    assert_int_equal(parse(&import, text), LJS_E_INVAL);
    is_empty(&import);
    if (strcmp(import.fault, fault))
        fail_msg("%s: \"%s\" instead of \"%s\"", text, import.fault, fault);
    ljs_import_clear(&import);
    assert_string_equal(import.fault, "");
}

/* `base` with one member set, NULL: taken away. */
static char *changed(const char *base, const char *member, const char *value)
{
    json_t *json = json_loads(base, 0, NULL);
    char *text;

    assert_non_null(json);
    if (!value)
        json_object_del(json, member);
    else
        json_object_set_new(json, member, json_loads(value, JSON_DECODE_ANY, NULL));
    text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(json);
    return text;
}

static void good(const char *base, const char *member, const char *value)
{
    char *text = changed(base, member, value);

    takes_it(text);
    free(text);
}

static void bad(const char *base, const char *member, const char *value, const char *what)
{
    char fault[256], *text = changed(base, member, value);

    snprintf(fault, sizeof fault, "%s: %s", member, what);
    refuses(text, fault);
    free(text);
}

static void key_is(const ljs_key *key, const char *hex)
{
    ljs_buf octets;

    assert_non_null(key);
    assert_int_equal(ljs_key_export(&octets, key), LJS_OK);
    assert_int_equal(octets.len, 16);
    for (size_t i = 0; i < 16; i++) {
        unsigned want;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &want), 1);
        assert_int_equal(octets.data[i], want);
    }
    ljs_buf_free(&octets);
}

/* ---- lines ------------------------------------------------------------------ */

static void test_all_members(void **state)
{
    ljs_import i;

    (void)state;
    takes(&i, "{\"dev_eui\":\"0x70B3D57ED0000110\",\"join_euis\":[\"70b3d57ed0000000\",\"0x70b3d57ed0000001\"],"
              "\"lorawan_version\":\"1.1.0\",\"nwk_key\":\"" KEY_A "\",\"app_key\":\"0x" KEY_B "\","
              "\"gen_app_key\":\"000102030405060708090a0b0c0d0e0f\","
              "\"rekey_key\":\"\\u0030\\u0030112233445566778899aabbccddeeff\",\"next_join_nonce\":16777216,"
              "\"last_dev_nonce\":65535,\"ns_kek_label\":\"ns:42ffff\",\"as_kek_label\":\"as \xc3\xa4\","
              "\"as_id\":\"as.example.org\",\"home_net_id\":\"42FFFF\",\"home_ns_id\":\"70b3d57ed0000a01\","
              "\"require_1_1\":true,\"x25519_public_key\":\"" PUBLIC "\"}\r\n");
    assert_int_equal(i.device.struct_size, sizeof i.device);
    assert_true(i.device.dev_eui == 0x70b3d57ed0000110);
    assert_true(i.device.join_eui == 0x70b3d57ed0000000);
    assert_int_equal(i.device.join_euis, 2);
    assert_true(i.join_eui[0] == 0x70b3d57ed0000000);
    assert_true(i.join_eui[1] == 0x70b3d57ed0000001);
    assert_int_equal(i.device.mac, LJS_MAC_1_1);
    key_is(i.nwk, KEY_A);
    key_is(i.app, KEY_B);
    key_is(i.gen_app, "000102030405060708090a0b0c0d0e0f");
    key_is(i.rekey, "00112233445566778899aabbccddeeff");
    assert_int_equal(i.device.next_join_nonce, 0x1000000);
    assert_int_equal(i.dev_nonce, 65535);
    assert_int_equal(i.dev_nonces.len, 0);
    assert_string_equal(i.device.ns_kek_label, "ns:42ffff");
    assert_string_equal(i.device.as_kek_label, "as \xc3\xa4");
    assert_string_equal(i.device.as_id, "as.example.org");
    assert_true(i.device.has_home_net_id && i.device.home_net_id == 0x42ffff);
    assert_true(i.device.has_home_ns_id && i.device.home_ns_id == 0x70b3d57ed0000a01);
    assert_true(i.device.require_1_1);
    assert_true(i.device.has_x25519);
    assert_int_equal(i.device.x25519_public_key[0], 0x85);
    assert_int_equal(i.device.x25519_public_key[31], 0x6a);
    ljs_import_clear(&i);
    is_empty(&i);
    ljs_import_clear(&i);
    ljs_import_clear(NULL);
}

static void test_few_members(void **state)
{
    ljs_import i;

    (void)state;
    takes(&i, OTAA_10);
    assert_int_equal(i.device.join_euis, 1);
    assert_true(i.join_eui[0] == i.device.join_eui);
    assert_int_equal(i.device.next_join_nonce, 0);
    assert_int_equal(i.dev_nonce, -1);
    assert_null(i.nwk);
    assert_false(i.device.has_home_net_id || i.device.has_home_ns_id || i.device.has_x25519 || i.device.require_1_1);
    key_is(i.app, KEY_A);
    ljs_import_clear(&i);

    takes(&i, "{\"dev_eui\":\"70B3D57ED0000101\",\"join_eui\":\"0000000000000000\",\"lorawan_version\":\"1.0.2\","
              "\"nwk_key\":\"" KEY_A "\",\"used_dev_nonces\":[7,0,65535,7]}");
    key_is(i.nwk, KEY_A);
    assert_null(i.app);
    assert_int_equal(i.dev_nonces.len, 8);
    assert_memory_equal(i.dev_nonces.data, "\x07\x00\x00\x00\xff\xff\x07\x00", 8);
    ljs_import_clear(&i);
}

static void test_mandatory(void **state)
{
    (void)state;
    refuses("", "not a JSON object");
    refuses("\n", "not a JSON object");
    refuses("dev_eui,join_eui", "not a JSON object");
    refuses("{\"dev_eui\":\"70B3D57ED0000101\"", "not a JSON object");
    refuses("{\"dev_eui\":\"70B3D57ED0000101\",}", "not JSON");
    refuses("{}", "dev_eui: is missing");
    bad(OTAA_10, "dev_eui", NULL, "is missing");
    bad(OTAA_10, "join_eui", NULL, "is missing");
    bad(OTAA_10, "lorawan_version", NULL, "is missing");
    bad(OTAA_10, "app_key", NULL, "is missing");
    bad(OTAA_11, "app_key", NULL, "is missing: LoRaWAN 1.1 needs nwk_key and app_key");
    bad(OTAA_11, "nwk_key", NULL, "is missing: LoRaWAN 1.1 needs nwk_key and app_key");
    refuses("{\"dev_eui\":\"70B3D57ED0000101\",\"dev_eui\":\"70B3D57ED0000101\"}",
            "a name that stands twice in one object");
}

static void test_values(void **state)
{
    static const char *const keys[] = { "nwk_key", "app_key", "gen_app_key", "rekey_key" };
    static const char *const labels[] = { "ns_kek_label", "as_kek_label", "as_id" };
    static const char *const euis[] = { "dev_eui", "join_eui", "home_ns_id" };
    static const char *const no_text[] = { "null", "1", "1.5", "true", "[]", "{}", "\"\"" };
    char long_label[200];

    (void)state;
    for (size_t k = 0; k < sizeof no_text / sizeof *no_text; k++) {
        for (size_t i = 0; i < 4; i++)
            bad(OTAA_11, keys[i], no_text[k], "must be 32 hexadecimal digits");
        for (size_t i = 0; i < 3; i++)
            bad(OTAA_11, labels[i], no_text[k], "must be a text of 1 to 127 octets without control characters");
        for (size_t i = 0; i < 3; i++)
            bad(OTAA_11, euis[i], no_text[k], "must be 16 hexadecimal digits");
        bad(OTAA_11, "home_net_id", no_text[k], "must be 6 hexadecimal digits");
        bad(OTAA_11, "x25519_public_key", no_text[k], "must be 64 hexadecimal digits");
        bad(OTAA_11, "lorawan_version", no_text[k], "must be one of \"1.0.0\" to \"1.0.4\" and \"1.1\", as text");
        if (strcmp(no_text[k], "true"))
            bad(OTAA_11, "require_1_1", no_text[k], "must be true or false");
        if (strcmp(no_text[k], "1")) {
            bad(OTAA_11, "next_join_nonce", no_text[k], "must be a number from 1 to 16777216");
            bad(OTAA_11, "last_dev_nonce", no_text[k], "must be a number from 0 to 65535");
        }
        if (strcmp(no_text[k], "[]"))
            bad(OTAA_10, "used_dev_nonces", no_text[k], "must be at most 65536 numbers from 0 to 65535, in brackets");
    }
    for (size_t i = 0; i < 4; i++) {
        bad(OTAA_11, keys[i], "\"5FD2C8A17E3904B6D1F08C4B92A7E35\"", "must be 32 hexadecimal digits");
        bad(OTAA_11, keys[i], "\"5FD2C8A17E3904B6D1F08C4B92A7E35D00\"", "must be 32 hexadecimal digits");
        bad(OTAA_11, keys[i], "\"5FD2C8A17E3904B6D1F08C4B92A7E35G\"", "must be 32 hexadecimal digits");
        bad(OTAA_11, keys[i], "\"5F D2 C8 A1 7E 39 04 B6\"", "must be 32 hexadecimal digits");
    }
    for (size_t i = 0; i < 3; i++) {
        memset(long_label, 'x', sizeof long_label);
        long_label[0] = long_label[128] = '"';
        long_label[129] = 0;
        good(OTAA_11, labels[i], long_label);
        long_label[128] = 'x';
        long_label[129] = '"';
        long_label[130] = 0;
        bad(OTAA_11, labels[i], long_label, "must be a text of 1 to 127 octets without control characters");
        bad(OTAA_11, labels[i], "\"a\\nb\"", "must be a text of 1 to 127 octets without control characters");
    }
    good(OTAA_11, "lorawan_version", "\"1.1.0\"");
    good(OTAA_10, "lorawan_version", "\"1.0\"");
    bad(OTAA_10, "lorawan_version", "\"1.0.5\"", "must be one of \"1.0.0\" to \"1.0.4\" and \"1.1\", as text");
    bad(OTAA_10, "lorawan_version", "\"LoRaWAN 1.0.3\"", "must be one of \"1.0.0\" to \"1.0.4\" and \"1.1\", as text");
    good(OTAA_11, "next_join_nonce", "1");
    bad(OTAA_11, "next_join_nonce", "0", "must be a number from 1 to 16777216");
    bad(OTAA_11, "next_join_nonce", "-1", "must be a number from 1 to 16777216");
    bad(OTAA_11, "next_join_nonce", "16777217", "must be a number from 1 to 16777216");
    bad(OTAA_11, "last_dev_nonce", "-1", "must be a number from 0 to 65535");
    bad(OTAA_11, "last_dev_nonce", "65536", "must be a number from 0 to 65535");
    good(OTAA_11, "require_1_1", "false");
    good(OTAA_11, "require_1_1", "true");
}

static void test_versions(void **state)
{
    static const char *const old[] = { "\"1.0.0\"", "\"1.0.1\"", "\"1.0.2\"", "\"1.0.3\"" };

    (void)state;
    /* A nonce that stands at the wrong version would be lost, and could be used again. */
    for (size_t i = 0; i < 4; i++) {
        char *text = changed(OTAA_10, "lorawan_version", old[i]);

        good(text, "used_dev_nonces", "[1,2,3]");
        bad(text, "last_dev_nonce", "5", "is for LoRaWAN 1.0.4 and later; give used_dev_nonces instead");
        free(text);
    }
    {
        char *text = changed(OTAA_10, "lorawan_version", "\"1.0.4\"");

        good(text, "last_dev_nonce", "5");
        bad(text, "used_dev_nonces", "[5]",
            "is for LoRaWAN before 1.0.4; give last_dev_nonce, the highest of them, instead");
        bad(text, "require_1_1", "true", "is for devices of LoRaWAN 1.1 only");
        good(text, "require_1_1", "false");
        free(text);
    }
    bad(OTAA_11, "used_dev_nonces", "[]",
        "is for LoRaWAN before 1.0.4; give last_dev_nonce, the highest of them, instead");
}

static void test_arrays(void **state)
{
    static const char what[] = "must be one to four different texts of 16 hexadecimal digits, in brackets";
    static const char nonces[] = "must be at most 65536 numbers from 0 to 65535, in brackets";
    char *base = changed(OTAA_10, "join_eui", NULL);
    ljs_import import;

    (void)state;
    bad(OTAA_10, "join_euis", "[\"70b3d57ed0000000\"]", "stands beside join_eui; one of them is enough");
    good(base, "join_euis", "[\"70b3d57ed0000000\"]");
    good(base, "join_euis", "[\"0000000000000001\",\"0000000000000002\",\"0000000000000003\",\"0000000000000004\"]");
    bad(base, "join_euis", "[]", what);
    bad(base, "join_euis",
        "[\"0000000000000001\",\"0000000000000002\",\"0000000000000003\",\"0000000000000004\",\"0000000000000005\"]",
        what);
    bad(base, "join_euis", "[\"70b3d57ed0000000\",\"70B3D57ED0000000\"]", what);
    bad(base, "join_euis", "[\"70b3d57ed000000\"]", what);
    bad(base, "join_euis", "[1]", what);
    bad(base, "join_euis", "[[\"70b3d57ed0000000\"]]", what);
    bad(base, "join_euis", "\"70b3d57ed0000000\"", what);
    free(base);

    good(OTAA_10, "used_dev_nonces", "[]");
    bad(OTAA_10, "used_dev_nonces", "[1,-1]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[1,65536]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[1,2.0]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[\"1\"]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[null]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[[1]]", nonces);
    bad(OTAA_10, "used_dev_nonces", "[{\"a\":1}]", nonces);

    /* every nonce there is, and one more */
    for (unsigned n = 65536; n <= 65537; n++) {
        char *text = malloc(n * 6 + 512), *at = text;

        assert_non_null(text);
        at += sprintf(at, "%.*s,\"used_dev_nonces\":[0", (int)strlen(OTAA_10) - 1, OTAA_10);
        for (unsigned i = 1; i < n; i++)
            at += sprintf(at, ",%u", i % 65536);
        strcpy(at, "]}");
        if (n == 65536) {
            takes(&import, text);
            assert_int_equal(import.dev_nonces.len, 2 * 65536);
            ljs_import_clear(&import);
        } else
            refuses(text, "used_dev_nonces: must be at most 65536 numbers from 0 to 65535, in brackets");
        free(text);
    }
}

static void test_unknown_members(void **state)
{
    (void)state;
    bad(OTAA_10, "app_keys", "1", "is none of our members");
    bad(OTAA_10, "AppKey", "\"" KEY_A "\"", "is none of our members");
    bad(OTAA_10, "DEV_EUI", "null", "is none of our members");
    /* what could be a key, or no name at all, is not repeated */
    {
        static const char *const names[] = {
            KEY_A, KEY_B, "", "k5FD2C8A1", "a b", "x\x1b[31m", "0123456789abcdef", "a_name_that_is_too_long_to_be_one"
        };

        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            json_t *json = json_loads(OTAA_10, 0, NULL);
            char *text;

            json_object_set_new(json, names[i], json_integer(1));
            text = json_dumps(json, 0);
            refuses(text, "there is a member that is none of ours");
            free(text);
            json_decref(json);
        }
    }
}

static void test_example(void **state)
{
    static const ljs_mac want[] = { LJS_MAC_1_0_0, LJS_MAC_1_0_1, LJS_MAC_1_0_2,
                                    LJS_MAC_1_0_3, LJS_MAC_1_0_4, LJS_MAC_1_1 };
    const char *at = ljs_import_example();
    size_t n = 0;

    (void)state;
    for (; *at; n++) {
        size_t len = strcspn(at, "\n");
        ljs_import import;

        assert_int_equal(at[len], '\n');
        assert_int_equal(ljs_import_parse(&import, (const uint8_t *)at, len + 1), LJS_OK);
        assert_true(n < 6);
        assert_int_equal(import.device.mac, want[n]);
        assert_int_equal(ljs_key_check(import.app), LJS_E_WEAK); /* nobody's device gets these */
        ljs_import_clear(&import);
        at += len + 1;
    }
    assert_int_equal(n, 6);
}

/* ---- keys stay in their handles --------------------------------------------- */

enum job { AS_LINE, AS_MESSAGE, AS_LEAK };

static struct {
    uint8_t line[1024];
    size_t len;
    ljs_import import;
    ljs_message message;
    ljs_err err;
    enum job what;
} job;

static void *work(void *arg)
{
    volatile uint8_t copy[sizeof job.line];

    (void)arg;
    switch (job.what) {
    case AS_LINE:
        job.err = ljs_import_parse(&job.import, job.line, job.len);
        break;
    case AS_MESSAGE:
        job.err = ljs_message_parse(&job.message, job.line, job.len);
        break;
    case AS_LEAK: /* the control */
        for (size_t i = 0; i < sizeof copy; i++)
            copy[i] = job.line[i];
        break;
    }
    return NULL;
}

/* Does the stack of a thread that reads the line hold `what` afterwards? */
static bool stack_holds(const void *what, size_t what_len, enum job how)
{
    enum { STACK = 1 << 20 };
    pthread_attr_t attr;
    pthread_t thread;
    bool found;
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *copy = malloc(STACK);
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(stack != MAP_FAILED);
    job.what = how;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, work, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* By way of the kernel: valgrind rightly objects to reading a dead stack. */
    assert_non_null(copy);
    assert_true(mem >= 0);
    assert_int_equal(pread(mem, copy, STACK, (off_t)(uintptr_t)stack), STACK);
    found = memmem(copy, STACK, what, what_len) != NULL;
    close(mem);
    free(copy);
    pthread_attr_destroy(&attr);
    munmap(stack, STACK);
    return found;
}

static void test_wiped(void **state)
{
    static const uint8_t octets[] = { 0x5f, 0xd2, 0xc8, 0xa1, 0x7e, 0x39, 0x04, 0xb6 };
    static const char *const lines[] = {
        /* unescaped in yajl's buffer: the whole text goes through it */
        "{\"dev_eui\":\"70B3D57ED0000101\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.3\","
        "\"app_key\":\"\\u0035FD2C8A17E3904B6D1F08C4B92A7E35D\"}",
        OTAA_10,
        /* refused when the key has been read */
        "{\"app_key\":\"\\u0035FD2C8A17E3904B6D1F08C4B92A7E35D\",\"what\":1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        job.len = strlen(lines[i]);
        /* Octet by octet: memcpy() would leave the line in registers, which a new thread
         * inherits and the dynamic linker saves on its stack. */
        for (size_t k = 0; k < job.len; k++)
            ((volatile uint8_t *)job.line)[k] = (uint8_t)lines[i][k];
        assert_false(stack_holds("D2C8A17E3904B6", 14, AS_LINE));
        assert_int_equal(job.err, i == 2 ? LJS_E_INVAL : LJS_OK);
        ljs_import_clear(&job.import);
        assert_false(stack_holds(octets, sizeof octets, AS_LINE));
        ljs_import_clear(&job.import);
        assert_false(stack_holds("D2C8A17E3904B6", 14, AS_MESSAGE)); /* as a key of an envelope would be */
        assert_true(stack_holds("D2C8A17E3904B6", 14, AS_LEAK));     /* one would be found */
    }
}

/* ---- a record shown --------------------------------------------------------- */

static void make(ljs_buf *record, ljs_vault *vault, const char *line)
{
    ljs_import i;
    ljs_root_keys keys;
    ljs_buf more;

    takes(&i, line);
    keys = (ljs_root_keys){ i.nwk, i.app, i.gen_app, i.rekey };
    assert_int_equal(
        ljs_device_make(record, vault, &i.device, &keys, 0, i.dev_nonce, i.dev_nonces.data, i.dev_nonces.len, NULL, 0),
        LJS_OK);
    for (unsigned k = 1; k < i.device.join_euis; k++) {
        assert_int_equal(ljs_device_add_join_eui(&more, vault, i.join_eui[k], record->data, record->len), LJS_OK);
        ljs_buf_free(record);
        *record = more;
    }
    ljs_import_clear(&i);
}

static void shows(const ljs_buf *record, const char *want)
{
    ljs_buf text;
    char *copy;

    assert_int_equal(ljs_device_json(&text, record->data, record->len), LJS_OK);
    copy = strndup((char *)text.data, text.len);
    assert_string_equal(copy, want);
    free(copy);
    ljs_buf_free(&text);
}

static void test_show(void **state)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    ljs_buf record, text;
    ljs_vault *vault;

    (void)state;
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    make(&record, vault, OTAA_10);
    shows(&record, "{\"dev_eui\":\"70b3d57ed0000101\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.0.3\","
                   "\"state\":\"fresh\",\"epoch\":0,\"keys\":[\"app_key\"],\"next_join_nonce\":1,"
                   "\"used_dev_nonces\":[],\"sessions\":[]}");
    ljs_buf_free(&record);

    make(&record, vault,
         "{\"dev_eui\":\"70b3d57ed0000104\",\"join_euis\":[\"70b3d57ed0000000\",\"70b3d57ed0000001\"],"
         "\"lorawan_version\":\"1.0.1\",\"app_key\":\"" KEY_A "\",\"next_join_nonce\":5,"
         "\"used_dev_nonces\":[65535,3,3],\"ns_kek_label\":\"a \\\"label\\\"\",\"home_net_id\":\"000013\"}");
    shows(&record,
          "{\"dev_eui\":\"70b3d57ed0000104\",\"join_euis\":[\"70b3d57ed0000000\",\"70b3d57ed0000001\"],"
          "\"lorawan_version\":\"1.0.1\",\"state\":\"fresh\",\"epoch\":0,\"keys\":[\"app_key\"],\"next_join_nonce\":5,"
          "\"nonces\":[{\"join_eui\":\"70b3d57ed0000000\",\"used_dev_nonces\":[3,65535]},"
          "{\"join_eui\":\"70b3d57ed0000001\",\"used_dev_nonces\":[]}],"
          "\"ns_kek_label\":\"a \\\"label\\\"\",\"home_net_id\":\"000013\",\"sessions\":[]}");
    ljs_buf_free(&record);

    make(&record, vault,
         "{\"dev_eui\":\"70b3d57ed0000110\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.1\","
         "\"nwk_key\":\"" KEY_A "\",\"app_key\":\"" KEY_B "\",\"rekey_key\":\"c47a02e6913bd85f6e20a9f4175cbd38\","
         "\"last_dev_nonce\":9,\"as_kek_label\":\"k\",\"as_id\":\"as\",\"home_ns_id\":\"00000000000000aa\","
         "\"require_1_1\":true,\"x25519_public_key\":\"" PUBLIC "\"}");
    shows(&record,
          "{\"dev_eui\":\"70b3d57ed0000110\",\"join_eui\":\"70b3d57ed0000000\",\"lorawan_version\":\"1.1\","
          "\"state\":\"fresh\",\"epoch\":0,\"keys\":[\"nwk_key\",\"app_key\",\"rekey_key\"],\"next_join_nonce\":1,"
          "\"last_dev_nonce\":9,\"as_kek_label\":\"k\",\"as_id\":\"as\",\"home_ns_id\":\"00000000000000aa\","
          "\"require_1_1\":true,\"x25519_public_key\":\"" PUBLIC "\",\"sessions\":[]}");
    /* a record is believed only whole */
    assert_int_equal(ljs_device_json(&text, record.data, record.len / 2), LJS_E_SEAL);
    assert_null(text.data);
    assert_int_equal(ljs_device_json(&text, (const uint8_t *)"", 0), LJS_E_SEAL);
    ljs_buf_free(&record);
    ljs_vault_free(vault);
}

static void test_show_session(void **state)
{
    static const uint8_t master[32] = { 1, 2, 3 };
    ljs_frame frame = {
        .kind = LJS_FRAME_JOIN, .join_eui = 0x70b3d57ed0000000, .dev_eui = 0x70b3d57ed0000101, .nonce = 0x1234
    };
    ljs_buf record, next, phy, text;
    ljs_join_ans ans;
    ljs_join_req req;
    ljs_import import;
    ljs_vault *vault;
    json_t *shown, *session;

    (void)state;
    assert_int_equal(ljs_vault_new(&vault, master, sizeof master), LJS_OK);
    make(&record, vault, OTAA_10);
    takes(&import, OTAA_10);
    assert_int_equal(ljs_frame_sign(&phy, &frame, import.app), LJS_OK);
    assert_int_equal(ljs_join_req_init(&req), LJS_OK);
    memcpy(req.phy, phy.data, phy.len);
    req.phy_len = phy.len;
    req.rx_delay = 5;
    req.dl_settings = 0x12;
    req.mac = LJS_MAC_1_0_3;
    req.net_id = 0x13;
    req.dev_addr = 0x260b4f3a;
    req.cf_list_len = 16;
    req.cf_list[0] = 0x18;
    req.clear = LJS_CLEAR_NS | LJS_CLEAR_AS;
    req.now = 1700000000;
    assert_int_equal(ljs_join(&ans, &next, vault, &req, NULL, "", NULL, "", record.data, record.len), LJS_OK);

    assert_int_equal(ljs_device_json(&text, next.data, next.len), LJS_OK);
    shown = json_loadb((char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(shown, "state")), "joined");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(shown, "used_dev_nonces"), 0)), 0x1234);
    assert_int_equal(json_integer_value(json_object_get(shown, "next_join_nonce")), 2);
    assert_int_equal(json_array_size(json_object_get(shown, "sessions")), 1);
    session = json_array_get(json_object_get(shown, "sessions"), 0);
    assert_int_equal(strlen(json_string_value(json_object_get(session, "session_key_id"))), 32);
    json_object_del(session, "session_key_id");
    {
        json_t *want = json_loads("{\"kind\":\"join\",\"lorawan_version\":\"1.0.3\",\"join_eui\":\"70b3d57ed0000000\","
                                  "\"join_nonce\":1,\"dev_nonce\":4660,\"epoch\":0,\"net_id\":\"000013\","
                                  "\"dev_addr\":\"260b4f3a\",\"dl_settings\":\"12\",\"rx_delay\":5,"
                                  "\"cf_list\":\"18000000000000000000000000000000\",\"proven\":false,"
                                  "\"time\":1700000000}",
                                  0, NULL);
        char *have = json_dumps(session, JSON_COMPACT);

        if (!json_equal(session, want))
            fail_msg("%s", have);
        free(have);
        json_decref(want);
    }
    json_decref(shown);
    ljs_buf_free(&text);
    ljs_buf_free(&phy);
    ljs_buf_free(&record);
    ljs_buf_free(&next);
    ljs_import_clear(&import);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members),     cmocka_unit_test(test_few_members),
        cmocka_unit_test(test_mandatory),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_versions),        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_unknown_members), cmocka_unit_test(test_example),
        cmocka_unit_test(test_wiped),           cmocka_unit_test(test_show),
        cmocka_unit_test(test_show_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
