/* inspect.c -- `lorajs inspect HEX`: a join frame, field by field, and with keys whether
 * its MIC is right and what a join-accept says.
 *
 * The library tells the fields (explain.h); here keys are tried, and all is printed as a table or as JSON. */
#include "tool.h"

#include <lorajs/explain.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct inspect_opts {
    const char *keys, *join_eui, *dev_eui, *request;
    int64_t dev_nonce, join_nonce;
    bool json;
};

#define AT(member) offsetof(struct inspect_opts, member)
static const struct flag flags[] = {
    { "keys", "FILE", "check and decrypt with these: lines \"NwkKey HEX\", \"AppKey HEX\"; - is standard input",
      FLAG_TEXT, AT(keys), 0, 0 },
    { "request", "join|rejoin0|rejoin1|rejoin2", "what a join-accept answers (default join)", FLAG_TEXT, AT(request), 0,
      0 },
    { "dev-nonce", "N", "of that request: DevNonce or RJcount; for a join-accept of LoRaWAN 1.1", FLAG_NUMBER,
      AT(dev_nonce), 0, 0xffff },
    { "join-eui", "EUI", "of the device; for a join-accept of LoRaWAN 1.1", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "dev-eui", "EUI", "of the device; for a join-accept of LoRaWAN 1.1", FLAG_TEXT, AT(dev_eui), 0, 0 },
    { "join-nonce", "N",
      "of the session that a rejoin 0 or 2 is under, whose DevNonce --dev-nonce then is, to derive SNwkSIntKey",
      FLAG_NUMBER, AT(join_nonce), 0, 0xffffff },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage inspect_usage = {
    "inspect",
    "HEX|-",
    "Explains a PHYPayload of joining: join-request, rejoin-request 0, 1 or 2, join-accept. - reads the digits from "
    "standard input.\n"
    "A join-accept is encrypted; with the device's root keys its MIC is checked and it is explained in clear. Of "
    "what is derived only the names are told. JSIntKey, JSEncKey and SNwkSIntKey may be given instead of what they "
    "are derived from. The exit code is 3 for what is no such frame, and for a MIC that does not match.",
    flags,
    1,
    1,
};

/* ---- rows ------------------------------------------------------------------- */

enum { ROWS_MAX = 16, FRAME_ROOM = 256, ACCEPT_LEN = 17 };

struct report {
    ljs_explained explained;
    const char *frame; /* "join-request"; NULL for what is none */
    const uint8_t *octets;
    size_t octets_len;
    ljs_field rows[ROWS_MAX];
    unsigned rows_len;
    const char *mic;     /* "not checked", "good", "wrong" */
    const char *key;     /* that verified it */
    const char *version; /* by whose rules */
    char note[400];      /* what else is to be said */
    const char *keys[5]; /* that follow from the accept */
};

static void note(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct report *r, const char *format, ...)
{
    size_t n = strlen(r->note);
    va_list args;

    if (n && n + 1 < sizeof r->note)
        r->note[n++] = ' ';
    va_start(args, format);
    vsnprintf(r->note + n, sizeof r->note - n, format, args);
    va_end(args);
}

static void print_hex(const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < in_len; i++)
        printf("%02x", in[i]);
}

static void print_table(const struct report *r)
{
    if (r->frame)
        printf("%s, %zu octets\n\n", r->frame, r->octets_len);
    printf("%-7s  %-16s  %-12s  %-18s  %s\n", "octets", "as sent", "field", "value", "meaning");
    for (unsigned i = 0; i < r->rows_len; i++) {
        const ljs_field *row = &r->rows[i];
        char octets[16];

        if (row->len == 1)
            snprintf(octets, sizeof octets, "%u", row->first);
        else
            snprintf(octets, sizeof octets, "%u-%u", row->first, row->first + row->len - 1);
        printf("%-7s  ", octets);
        for (unsigned at = 0; at < row->len && at < 8; at++)
            printf("%02x", r->octets[row->first + at]);
        printf("%*s  %-12s  %-18s  %s\n", row->len < 8 ? (int)(16 - 2 * row->len) : 0, "", row->name, row->value,
               row->meaning);
        for (unsigned at = 8; at < row->len; at += 8) { /* the rest of long fields below */
            printf("%9s", "");
            print_hex(r->octets + row->first + at, row->len - at < 8 ? row->len - at : 8);
            putchar('\n');
        }
    }
    putchar('\n');
    if (!r->frame)
        printf("%s\n", r->explained.text);
    if (r->mic)
        printf("MIC: %s%s%s%s%s%s\n", r->mic, r->key ? ", by " : "", r->key ? r->key : "", r->version ? " (" : "",
               r->version ? r->version : "", r->version ? ")" : "");
    if (r->keys[0]) {
        printf("Keys that follow from it:");
        for (unsigned i = 0; i < 5 && r->keys[i]; i++)
            printf("%s %s", i ? "," : "", r->keys[i]);
        putchar('\n');
    }
    if (*r->note)
        printf("%s\n", r->note);
}

static void print_json(const struct report *r)
{
    printf("{\"frame\":");
    print_json_text(stdout, r->frame);
    printf(",\"length\":%zu,\"fields\":[", r->octets_len);
    for (unsigned i = 0; i < r->rows_len; i++) {
        const ljs_field *row = &r->rows[i];

        printf("%s{\"first\":%u,\"last\":%u,\"octets\":\"", i ? "," : "", row->first, row->first + row->len - 1);
        print_hex(r->octets + row->first, row->len);
        printf("\",\"name\":\"%s\",\"value\":", row->name);
        print_json_text(stdout, row->value);
        printf(",\"meaning\":");
        print_json_text(stdout, row->meaning);
        putchar('}');
    }
    printf("],\"fault\":");
    print_json_text(stdout, r->frame ? NULL : r->explained.text);
    printf(",\"mic\":");
    print_json_text(stdout, r->mic);
    printf(",\"key\":");
    print_json_text(stdout, r->key);
    printf(",\"rules\":");
    print_json_text(stdout, r->version);
    printf(",\"keys_derived\":[");
    for (unsigned i = 0; i < 5 && r->keys[i]; i++)
        printf("%s\"%s\"", i ? "," : "", r->keys[i]);
    printf("],\"note\":");
    print_json_text(stdout, *r->note ? r->note : NULL);
    puts("}");
}

/* ---- fields ------------------------------------------------------------------- */

static void add_fields(struct report *r)
{
    for (r->rows_len = 0; r->rows_len < ROWS_MAX; r->rows_len++)
        if (ljs_explain_field(&r->rows[r->rows_len], r->rows_len, r->octets, r->octets_len))
            return;
}

static void add_accept(struct report *r)
{
    for (r->rows_len = 0; r->rows_len < ROWS_MAX; r->rows_len++)
        if (ljs_explain_accept(&r->rows[r->rows_len], r->rows_len, r->octets, r->octets_len))
            return;
}

/* ---- keys ------------------------------------------------------------------- */

enum { NWK, APP, JS_INT, JS_ENC, S_NWK_S_INT, GEN_APP, REKEY, KEYS };

static const struct named_key no_keys[KEYS] = {
    [NWK] = { "NwkKey", NULL },
    [APP] = { "AppKey", NULL },
    [JS_INT] = { "JSIntKey", NULL },
    [JS_ENC] = { "JSEncKey", NULL },
    [S_NWK_S_INT] = { "SNwkSIntKey", NULL }, /* and those of no use here, that the same file may have: */
    [GEN_APP] = { "GenAppKey", NULL },
    [REKEY] = { "RekeyKey", NULL },
};

/* What is known of the device and the request, from the frame or the flags. */
struct known {
    bool has_dev_eui, has_join_eui, has_nonce, has_join_nonce;
    ljs_eui dev_eui, join_eui;
    uint16_t nonce;
    uint32_t join_nonce;
    ljs_frame_kind request;
};

static ljs_err derive_one(struct named_key *keys, int which, const ljs_derivation *what)
{
    return keys[which].key ? LJS_OK : ljs_derive(&keys[which].key, what, keys[NWK].key);
}

/* The keys that follow from those given, where they were not given themselves. */
static ljs_err derive_keys(struct named_key *keys, const struct known *k)
{
    ljs_derivation what = { .scheme = LJS_SCHEME_1_1, .dev_eui = k->dev_eui, .join_eui = k->join_eui };
    ljs_err err = LJS_OK;

    if (!keys[NWK].key)
        return LJS_OK;
    if (k->has_dev_eui) {
        what.name = LJS_KEY_JS_INT;
        err = derive_one(keys, JS_INT, &what);
        what.name = LJS_KEY_JS_ENC;
        if (!err)
            err = derive_one(keys, JS_ENC, &what);
    }
    if (!err && k->has_join_eui && k->has_nonce && k->has_join_nonce) {
        what.name = LJS_KEY_S_NWK_S_INT;
        what.nonce = k->nonce;
        what.join_nonce = k->join_nonce;
        err = derive_one(keys, S_NWK_S_INT, &what);
    }
    return err;
}

/* ---- requests --------------------------------------------------------------- */

/* Which keys may verify which request, [L2 1.1 §6.2.5]. */
static const struct verifier {
    ljs_frame_kind kind;
    int key;
    const char *rules, *need;
} verifiers[] = {
    { LJS_FRAME_JOIN, NWK, NULL, "NwkKey, or AppKey of a 1.0.x device" },
    { LJS_FRAME_JOIN, APP, "LoRaWAN 1.0.x", NULL },
    { LJS_FRAME_REJOIN1, JS_INT, "LoRaWAN 1.1", "NwkKey, or JSIntKey" },
    { LJS_FRAME_REJOIN0, S_NWK_S_INT, "LoRaWAN 1.1",
      "SNwkSIntKey, or NwkKey with --join-eui, --join-nonce and --dev-nonce of the session" },
    { LJS_FRAME_REJOIN2, S_NWK_S_INT, "LoRaWAN 1.1",
      "SNwkSIntKey, or NwkKey with --join-eui, --join-nonce and --dev-nonce of the session" },
};

static int check_request(struct report *r, struct named_key *keys, struct known *k, const ljs_frame *f)
{
    const char *need = NULL;
    bool tried = false;
    ljs_err err;

    k->dev_eui = f->dev_eui;
    k->has_dev_eui = true;
    if ((err = derive_keys(keys, k)))
        return complain_err(err, "deriving keys");
    for (size_t i = 0; i < sizeof verifiers / sizeof *verifiers; i++) {
        const struct verifier *v = &verifiers[i];

        if (v->kind != f->kind)
            continue;
        need = need ? need : v->need;
        if (!keys[v->key].key)
            continue;
        tried = true;
        err = ljs_frame_verify(keys[v->key].key, r->octets, r->octets_len);
        if (!err) {
            r->mic = "good";
            r->key = keys[v->key].name;
            r->version = v->rules;
            return DONE;
        }
        if (err != LJS_E_MIC)
            return complain_err(err, "verifying");
    }
    r->mic = tried ? "wrong" : "not checked";
    note(r, tried ? "Another key, or a frame that was changed. It takes %s." : "To check it takes %s.", need);
    return REFUSED;
}

/* ---- join-accept ------------------------------------------------------------- */

/* Which pair of keys may be under which join-accept; what does not match is passed over. */
static const struct opener {
    bool rejoin;
    ljs_scheme scheme;
    int mic, enc;
    const char *key, *rules, *note;
} openers[] = {
    /* [L2 1.1 §6.2.3]  OptNeg set: MIC by JSIntKey over JoinReqType | JoinEUI | DevNonce | accept */
    { false, LJS_SCHEME_1_1, JS_INT, NWK, "JSIntKey, decrypted by NwkKey", "LoRaWAN 1.1", NULL },
    { false, LJS_SCHEME_1_0, NWK, NWK, "NwkKey", "LoRaWAN 1.0", NULL },
    { false, LJS_SCHEME_1_0, APP, APP, "AppKey", "LoRaWAN 1.0", NULL },
    { true, LJS_SCHEME_1_1, JS_INT, JS_ENC, "JSIntKey, decrypted by JSEncKey", "LoRaWAN 1.1", NULL },
    { true, LJS_SCHEME_1_0, JS_INT, JS_ENC, "JSIntKey, decrypted by JSEncKey", "none that LoRaWAN knows",
      "The MIC is that of an accept with OptNeg clear, which no text of LoRaWAN has for a rejoin: devices refuse it." },
};

/* The accept in clear with its MIC, into octets[33]. */
static ljs_err clear_text(uint8_t *octets, size_t *len, const ljs_accept *accept, const ljs_accept_of *of,
                          const ljs_key *mic_key)
{
    ljs_buf clear;
    ljs_err err = ljs_accept_build(&clear, accept);

    if (!err && clear.len + 4 <= LJS_ACCEPT_MAX) {
        memcpy(octets, clear.data, clear.len);
        *len = clear.len + 4;
        err = ljs_accept_mic(octets + clear.len, accept, of, mic_key);
    }
    ljs_buf_free(&clear);
    return err;
}

static void name_keys(struct report *r, const struct opener *by, const ljs_accept *accept)
{
    static const char *const keys_10[] = { "NwkSKey", "AppSKey" };
    static const char *const keys_11[] = { "FNwkSIntKey", "SNwkSIntKey", "NwkSEncKey", "AppSKey" };
    bool v11 = by->scheme == LJS_SCHEME_1_1;

    memcpy(r->keys, v11 ? keys_11 : keys_10, v11 ? sizeof keys_11 : sizeof keys_10);
    if (by->note)
        note(r, "%s", by->note);
    else if (v11)
        note(r, "AppSKey is derived from AppKey, the others from NwkKey.");
    else
        note(r, "Both are derived from %s%s.", by->key,
             accept->dl_settings & 0x80 ? "; OptNeg is set, yet the MIC is that of 1.0, where that bit is RFU" : "");
}

/* Decrypts into `clear`, which becomes the report's octets. */
static int check_accept(struct report *r, struct named_key *keys, const struct known *k, uint8_t *clear)
{
    ljs_accept_of of = { .kind = k->request, .join_eui = k->join_eui, .nonce = k->nonce };
    bool known_11 = k->has_join_eui && k->has_nonce, tried = false, left_out = false;
    ljs_accept accept;
    ljs_err err = derive_keys(keys, k);

    if (err)
        return complain_err(err, "deriving keys");
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        const struct opener *by = &openers[i];

        if (by->rejoin != (k->request != LJS_FRAME_JOIN))
            continue;
        if (!keys[by->mic].key || !keys[by->enc].key || (by->scheme == LJS_SCHEME_1_1 && !known_11)) {
            left_out = left_out || by->scheme == LJS_SCHEME_1_1;
            continue;
        }
        of.scheme = by->scheme;
        tried = true;
        err = ljs_accept_open(&accept, &of, keys[by->mic].key, keys[by->enc].key, r->octets, r->octets_len);
        if (!err)
            err = clear_text(clear, &r->octets_len, &accept, &of, keys[by->mic].key);
        if (!err) {
            r->octets = clear;
            r->frame = "join-accept, decrypted";
            r->mic = "good";
            r->key = by->key;
            r->version = by->rules;
            add_accept(r);
            name_keys(r, by, &accept);
            return DONE;
        }
        if (err != LJS_E_MIC && err != LJS_E_FRAME)
            return complain_err(err, "opening the join-accept");
    }
    r->mic = tried ? "wrong" : "not checked";
    if (tried)
        note(r, "Other keys, an answer to another request (--request, --dev-nonce), or a frame that was changed.");
    if (left_out)
        note(r, "A join-accept of LoRaWAN 1.1 takes NwkKey, --dev-eui, --join-eui and --dev-nonce.");
    else if (!tried)
        note(r, "It takes NwkKey, or AppKey of a 1.0.x device.");
    return REFUSED;
}

/* ---- the command ------------------------------------------------------------- */

static int inspect(struct report *r, struct named_key *keys, struct known *k, bool with_keys, uint8_t *clear)
{
    ljs_frame f;

    ljs_explain(&r->explained, r->octets, r->octets_len);
    add_fields(r);
    if (!r->explained.is_frame)
        return REFUSED;
    r->frame = r->explained.text;
    if (!ljs_frame_parse(&f, r->octets, r->octets_len)) {
        r->mic = "not checked";
        return with_keys ? check_request(r, keys, k, &f) : DONE;
    }
    if (r->octets_len != ACCEPT_LEN && r->octets_len != LJS_ACCEPT_MAX) /* in clear, without MIC */
        return DONE;
    r->mic = "not checked";
    if (!with_keys)
        note(r, "With the device's root keys (--keys FILE) it is decrypted and its MIC checked.");
    return with_keys ? check_accept(r, keys, k, clear) : DONE;
}

static int read_frame(uint8_t octets[FRAME_ROOM], size_t *len, const char *word)
{
    char text[2 * FRAME_ROOM + 1];
    ljs_buf in = { NULL, 0 };
    size_t n = 0;
    ssize_t got;
    int code = DONE;

    if (!strcmp(word, "-") && (code = read_all(&in, "-", 4096)))
        return code;
    for (size_t i = 0, end = in.data ? in.len : strlen(word); i < end && n < sizeof text; i++) {
        char c = in.data ? (char)in.data[i] : word[i];

        if (!strchr(" \t\r\n", c) || !c)
            text[n++] = c;
    }
    got = from_hex(octets, FRAME_ROOM, text, n);
    if (got < 0) {
        complain("inspect: a frame is an even number of hexadecimal digits, at most %d", 2 * FRAME_ROOM);
        code = REFUSED;
    }
    *len = got < 0 ? 0 : (size_t)got;
    ljs_buf_free(&in);
    return code;
}

static int read_known(struct known *out, const struct inspect_opts *opts)
{
    int code = DONE;

    *out = (struct known){ .has_dev_eui = opts->dev_eui != NULL,
                           .has_join_eui = opts->join_eui != NULL,
                           .has_nonce = opts->dev_nonce >= 0,
                           .has_join_nonce = opts->join_nonce >= 0,
                           .nonce = (uint16_t)opts->dev_nonce,
                           .join_nonce = (uint32_t)opts->join_nonce,
                           .request = LJS_FRAME_JOIN };
    if (opts->dev_eui)
        code = read_eui(&out->dev_eui, opts->dev_eui, "--dev-eui");
    if (!code && opts->join_eui)
        code = read_eui(&out->join_eui, opts->join_eui, "--join-eui");
    if (strcmp(opts->request, "join")) /* "rejoin0": the number is that of the kind */
        out->request = (ljs_frame_kind)(opts->request[strlen("rejoin")] - '0');
    return code;
}

int cmd_inspect(int argc, char **argv)
{
    struct inspect_opts opts = { .request = "join", .dev_nonce = -1, .join_nonce = -1 };
    struct named_key keys[KEYS];
    struct known known;
    uint8_t octets[FRAME_ROOM], clear[LJS_ACCEPT_MAX];
    struct report r = { .octets = octets };
    int code = read_flags(&inspect_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    memcpy(keys, no_keys, sizeof keys);
    if (opts.keys && !strcmp(opts.keys, "-") && !strcmp(argv[0], "-")) {
        complain("inspect: frame and keys cannot both come from standard input");
        return USAGE;
    }
    if ((code = read_known(&known, &opts)) || (code = read_frame(octets, &r.octets_len, argv[0])) ||
        (opts.keys && (code = read_named_keys(keys, KEYS, opts.keys))))
        return code;
    code = inspect(&r, keys, &known, opts.keys != NULL, clear);
    if (code != FAILED)
        (opts.json ? print_json : print_table)(&r);
    free_named_keys(keys, KEYS);
    return code;
}
