/* device.c -- `lorajs device ...`: the devices of a data directory.
 *
 * Everything here works beside a running daemon: both write through the same store, and
 * whoever loses a race loads again. */
#include "import.h"

#include <inttypes.h>
#include <string.h>

const char *device_state_text(ljs_state state)
{
    static const char *const texts[] = { [LJS_STATE_FRESH] = "fresh",
                                         [LJS_STATE_JOINED] = "joined",
                                         [LJS_STATE_BLOCKED] = "blocked",
                                         [LJS_STATE_REMOVED] = "removed" };

    return state <= LJS_STATE_REMOVED ? texts[state] : "?";
}

/* ---- what happened to one device -------------------------------------------- */

void device_report(bool json, ljs_eui dev_eui, const char *what)
{
    printf(json ? "{\"dev_eui\":\"%016" PRIx64 "\",\"result\":\"%s\"}\n" : "%016" PRIx64 ": %s\n", dev_eui, what);
}

/* ---- add -------------------------------------------------------------------- */

struct add_opts {
    struct where where;
    const char *keys, *dev_eui, *version, *ns_kek_label, *as_kek_label, *as_id, *home_net_id, *home_ns_id, *x25519,
        *lot, *lot_keys;
    struct texts join_eui;
    int64_t next_join_nonce, last_dev_nonce;
    bool require_1_1, allow_weak, replace_keys, dry_run, json;
};

#define AT(member) offsetof(struct add_opts, member)
static const struct flag add_flags[] = {
    WHERE_FLAGS(struct add_opts),
    { "dev-eui", "EUI", "16 hexadecimal digits, most significant first; needed", FLAG_TEXT, AT(dev_eui), 0, 0 },
    { "join-eui", "EUI", "likewise; up to four times; needed", FLAG_LIST, AT(join_eui), 0, 0 },
    { "lorawan-version", "1.0.0|1.0.1|1.0.2|1.0.3|1.0.4|1.1", "the highest that the device speaks; needed", FLAG_TEXT,
      AT(version), 0, 0 },
    { "keys", "FILE", "where the root keys are: lines \"NwkKey HEX\", \"AppKey HEX\" (default -, standard input)",
      FLAG_TEXT, AT(keys), 0, 0 },
    { "lot", "LABEL", "its root keys come of the key of this lot (`lorajs lot add`); none are read then", FLAG_TEXT,
      AT(lot), 0, 0 },
    { "lot-keys", "NAME,...",
      "which do: of NwkKey, AppKey, GenAppKey, RekeyKey (default NwkKey,AppKey for 1.1, else AppKey)", FLAG_TEXT,
      AT(lot_keys), 0, 0 },
    { "next-join-nonce", "N", "for a device that joined elsewhere", FLAG_NUMBER, AT(next_join_nonce), 1, 0x1000000 },
    { "last-dev-nonce", "N", "for a device of 1.0.4 or later that joined elsewhere", FLAG_NUMBER, AT(last_dev_nonce), 0,
      0xffff },
    { "ns-kek-label", "LABEL", "the KEK for network session keys", FLAG_TEXT, AT(ns_kek_label), 0, 0 },
    { "as-kek-label", "LABEL", "the KEK for AppSKey", FLAG_TEXT, AT(as_kek_label), 0, 0 },
    { "as-id", "ID", "the application server that may ask for AppSKey", FLAG_TEXT, AT(as_id), 0, 0 },
    { "home-net-id", "NETID", "the only network that may join it; 6 digits", FLAG_TEXT, AT(home_net_id), 0, 0 },
    { "home-ns-id", "EUI", "its home network server; 16 digits", FLAG_TEXT, AT(home_ns_id), 0, 0 },
    { "require-1-1", NULL, "refuse joins by the rules of 1.0", FLAG_SWITCH, AT(require_1_1), 0, 0 },
    { "x25519-public-key", "HEX", "of its secure element; 64 digits", FLAG_TEXT, AT(x25519), 0, 0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH, AT(allow_weak), 0,
      0 },
    { "replace-keys", NULL, "give a device that is there new root keys; it must join anew", FLAG_SWITCH,
      AT(replace_keys), 0, 0 },
    { "dry-run", NULL, "check everything and change nothing", FLAG_SWITCH, AT(dry_run), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage add_usage = {
    "device add",
    "",
    "Provisions one device. Its root keys are read as lines from a file or standard input, never from the command "
    "line:\n"
    "    NwkKey 0123... (32 digits)\n"
    "    AppKey 0123...\n"
    "A device of 1.0.x has one root key, by either name (and GenAppKey for multicast); one of 1.1 needs both. "
    "RekeyKey is taken too. With --lot none is read, and none is kept. What is missing in the data directory is made.",
    add_flags,
    0,
    0,
};

static int take_label(char out[LJS_LABEL_MAX], const char *text, const char *what)
{
    if (text && strlen(text) >= LJS_LABEL_MAX) {
        complain("%s is longer than %d octets", what, LJS_LABEL_MAX - 1);
        return USAGE;
    }
    if (text)
        strcpy(out, text);
    return DONE;
}

static int read_public_key(uint8_t out[32], const char *text)
{
    if (from_hex(out, 32, text, strlen(text)) == 32)
        return DONE;
    complain("--x25519-public-key is 64 hexadecimal digits");
    return USAGE;
}

/* The words into the struct; complains itself. */
static int device_of(ljs_device *out, ljs_eui join_euis[LJS_JOIN_EUIS_MAX], const struct add_opts *opts)
{
    int code;

    *out = (ljs_device){ .struct_size = sizeof *out };
    if (!opts->dev_eui || !opts->join_eui.n || !opts->version) {
        complain("device add needs --dev-eui, --join-eui and --lorawan-version");
        return USAGE;
    }
    if (opts->join_eui.n > LJS_JOIN_EUIS_MAX) {
        complain("a device has at most %d JoinEUIs", LJS_JOIN_EUIS_MAX);
        return USAGE;
    }
    if ((code = read_eui(&out->dev_eui, opts->dev_eui, "--dev-eui")))
        return code;
    for (unsigned i = 0; i < opts->join_eui.n; i++)
        if ((code = read_eui(&join_euis[i], opts->join_eui.at[i], "--join-eui")))
            return code;
    out->join_eui = join_euis[0];
    out->join_euis = (uint8_t)opts->join_eui.n;
    if (ljs_mac_parse(&out->mac, opts->version)) {
        complain("--lorawan-version is 1.0.0 to 1.0.4, or 1.1");
        return USAGE;
    }
    out->next_join_nonce = (uint32_t)opts->next_join_nonce;
    out->require_1_1 = opts->require_1_1;
    out->has_home_net_id = opts->home_net_id != NULL;
    if (opts->home_net_id && ljs_net_id_parse(&out->home_net_id, opts->home_net_id)) {
        complain("--home-net-id is 6 hexadecimal digits");
        return USAGE;
    }
    out->has_home_ns_id = opts->home_ns_id != NULL;
    if (opts->home_ns_id && (code = read_eui(&out->home_ns_id, opts->home_ns_id, "--home-ns-id")))
        return code;
    out->has_x25519 = opts->x25519 != NULL;
    if (opts->x25519 && (code = read_public_key(out->x25519_public_key, opts->x25519)))
        return code;
    if ((code = take_label(out->ns_kek_label, opts->ns_kek_label, "--ns-kek-label")) ||
        (code = take_label(out->as_kek_label, opts->as_kek_label, "--as-kek-label")) ||
        (code = read_lot(out, opts->lot, opts->lot_keys)))
        return code;
    return take_label(out->as_id, opts->as_id, "--as-id");
}

static int cmd_add(int argc, char **argv)
{
    enum { NWK, APP, GEN_APP, REKEY, KEYS };
    struct named_key keys[KEYS] = {
        { "NwkKey", NULL }, { "AppKey", NULL }, { "GenAppKey", NULL }, { "RekeyKey", NULL }
    };
    struct add_opts opts = { .keys = "-", .last_dev_nonce = -1 };
    struct data data = { NULL, NULL, NULL };
    ljs_import import = { .dev_nonce = -1 };
    char fault[IMPORT_FAULT_MAX];
    ljs_err err = LJS_OK;
    int code = read_flags(&add_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = device_of(&import.device, import.join_eui, &opts)) ||
        (!opts.lot && (code = read_named_keys(keys, KEYS, opts.keys))) ||
        (code = data_try(&data, &opts.where, DATA_CREATE, NULL, opts.dry_run)))
        goto out;
    import.nwk = keys[NWK].key;
    import.app = keys[APP].key;
    import.gen_app = keys[GEN_APP].key;
    import.rekey = keys[REKEY].key;
    import.dev_nonce = (int32_t)opts.last_dev_nonce;
    if (!opts.lot && !import.nwk && !import.app) {
        complain("no root key was given; %s is read for lines \"NwkKey HEX\" and \"AppKey HEX\"",
                 strcmp(opts.keys, "-") ? opts.keys : "standard input");
        code = REFUSED;
        goto out;
    }
    err =
        import_device(&data, &import,
                      (opts.replace_keys ? LJS_MAKE_REPLACE_KEYS : 0u) | (opts.allow_weak ? LJS_MAKE_ALLOW_WEAK : 0u));
    if (import_failed(err)) {
        code = complain_err(err, "device add");
    } else if (err == LJS_E_INVAL) {
        complain("device add: the parts do not go together: a device of 1.1 needs NwkKey and AppKey, of a lot too, "
                 "--last-dev-nonce is for 1.0.4 and later, a label has no control characters");
        code = REFUSED;
    } else if (err) {
        import_fault(fault, err, &import);
        complain("device add: %s", fault);
        code = REFUSED;
    } else {
        device_report(opts.json, import.device.dev_eui, opts.dry_run ? "would be added" : "added");
    }
out:
    free_named_keys(keys, KEYS);
    data_close(&data);
    return code;
}

/* ---- show ------------------------------------------------------------------- */

struct show_opts {
    struct where where;
    bool json;
};

static const struct flag show_flags[] = {
    WHERE_FLAGS(struct show_opts),
    { "json", NULL, "a JSON object a device, by the names of import", FLAG_SWITCH, offsetof(struct show_opts, json), 0,
      0 },
    { 0 },
};
static const struct usage show_usage = {
    "device show", "DEVEUI...", "Shows what is remembered of a device. Never its keys, only their names.",
    show_flags,    1,           1000
};

const char *device_key_names(char out[64], unsigned keys)
{
    snprintf(out, 64, "%s%s%s%s", keys & LJS_HAS_NWK_KEY ? "NwkKey " : "", keys & LJS_HAS_APP_KEY ? "AppKey " : "",
             keys & LJS_HAS_GEN_APP_KEY ? "GenAppKey " : "", keys & LJS_HAS_REKEY_KEY ? "RekeyKey " : "");
    if (*out)
        out[strlen(out) - 1] = '\0';
    return *out ? out : "none";
}

static const char *request_text(ljs_frame_kind kind)
{
    switch (kind) {
    case LJS_FRAME_REJOIN0:
        return "rejoin 0";
    case LJS_FRAME_REJOIN1:
        return "rejoin 1";
    case LJS_FRAME_REJOIN2:
        return "rejoin 2";
    case LJS_FRAME_JOIN:
        break;
    }
    return "join";
}

static ljs_err show_sessions(const ljs_buf *record)
{
    ljs_session s;
    char when[32];
    ljs_err err = LJS_OK;

    for (unsigned i = 0; !(err = ljs_device_session(&s, i, record->data, record->len)); i++) {
        if (i == 0)
            puts("sessions, newest first:");
        printf("  %-20s  %s  %-4s nonce %-5u  JoinNonce %-8" PRIu32 " NetID %06" PRIx32 "  DevAddr %08" PRIx32 "%s\n",
               time_text(when, s.at), ljs_mac_text(s.mac), request_text(s.kind), s.nonce, s.join_nonce, s.net_id,
               s.dev_addr, s.proven ? "  in use" : "");
        printf("    SessionKeyID ");
        for (size_t k = 0; k < sizeof s.session_key_id; k++)
            printf("%02x", s.session_key_id[k]);
        putchar('\n');
    }
    return err == LJS_E_NOTFOUND ? LJS_OK : err;
}

static ljs_err show_device(const ljs_buf *record)
{
    ljs_device d = { .struct_size = sizeof d };
    ljs_join_eui j;
    char names[64];
    ljs_err err = ljs_device_read(&d, record->data, record->len);

    if (err)
        return err;
    printf("DevEUI           %016" PRIx64 "\n", d.dev_eui);
    printf("state            %s%s\n", device_state_text(d.state), d.moved ? "; moved to another Join Server" : "");
    printf("LoRaWAN          %s%s\n", ljs_mac_text(d.mac), d.require_1_1 ? ", no less than 1.1" : "");
    printf("root keys        %s (epoch %u%s)\n", device_key_names(names, d.keys), d.epoch,
           d.exposed ? "; exposed: others have had them" : "");
    if (*d.lot)
        printf("lot              %s: the root keys come of its key, and are not kept\n", d.lot);
    if (d.next_join_nonce > 0xffffff)
        printf("next JoinNonce   none left: the device needs new root keys\n");
    else
        printf("next JoinNonce   %" PRIu32 "\n", d.next_join_nonce);
    for (unsigned i = 0; !(err = ljs_device_join_eui(&j, i, record->data, record->len)); i++) {
        printf("JoinEUI          %016" PRIx64 "  ", j.join_eui);
        if (d.mac < LJS_MAC_1_0_4)
            printf("%" PRIu32 " DevNonces used", j.dev_nonces_used);
        else if (j.dev_nonce < 0)
            printf("no DevNonce used");
        if (j.dev_nonce >= 0)
            printf("%slast DevNonce %" PRId32, d.mac < LJS_MAC_1_0_4 ? ", " : "", j.dev_nonce);
        if (j.rj_count1 >= 0)
            printf(", last RJcount1 %" PRId32, j.rj_count1);
        putchar('\n');
    }
    if (err != LJS_E_NOTFOUND)
        return err;
    if (d.has_home_net_id)
        printf("home NetID       %06" PRIx32 "\n", d.home_net_id);
    if (d.has_home_ns_id)
        printf("home NSID        %016" PRIx64 "\n", d.home_ns_id);
    printf("NS KEK           %s\n", *d.ns_kek_label ? d.ns_kek_label : "(the peer's own)");
    printf("AS KEK           %s\n", *d.as_kek_label ? d.as_kek_label : "(that of the peer that is its AS)");
    printf("AS-ID            %s\n", *d.as_id ? d.as_id : "(none)");
    return show_sessions(record);
}

/* Prints the record as JSON, an object and a newline. */
ljs_err device_print_json(const ljs_buf *record)
{
    ljs_buf text;
    ljs_err err = ljs_device_json(&text, record->data, record->len);

    if (!err) {
        fwrite(text.data, 1, text.len, stdout);
        putchar('\n');
    }
    ljs_buf_free(&text);
    return err;
}

/* About one device: what went wrong, with its remedy. */
int complain_device(ljs_err err, ljs_eui dev_eui)
{
    char what[32];

    if (err == LJS_E_NOTFOUND) {
        complain("%016" PRIx64 ": no such device; `lorajs device list` shows those there are", dev_eui);
        return REFUSED;
    }
    snprintf(what, sizeof what, "%016" PRIx64, dev_eui);
    return complain_err(err, what);
}

int check_euis(int argc, char **argv)
{
    ljs_eui eui;
    int code = DONE;

    for (int i = 0; !code && i < argc; i++)
        code = read_eui(&eui, argv[i], "a DevEUI");
    return code;
}

static int cmd_show(int argc, char **argv)
{
    struct show_opts opts = { 0 };
    struct data data;
    int code = read_flags(&show_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_euis(argc, argv)) || (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    for (int i = 0; i < argc; i++) {
        ljs_eui eui;
        ljs_buf record = { NULL, 0 };
        ljs_err err = ljs_eui_parse(&eui, argv[i]);

        if (!err)
            err = ljs_server_get_device(&record, data.server, eui);
        if (!err && i && !opts.json)
            putchar('\n');
        if (!err)
            err = opts.json ? device_print_json(&record) : show_device(&record);
        if (err)
            code = complain_device(err, eui);
        ljs_buf_free(&record);
    }
    data_close(&data);
    return code;
}

const struct command device_commands[] = {
    { "add", "provision one device", cmd_add, NULL, &add_usage },
    { "import", "provision many, from JSON lines", cmd_device_import, NULL, &device_import_usage },
    { "export", "seal some to another Join Server", cmd_export, NULL, &export_usage },
    { "receive", "take what was sealed to this one", cmd_receive, NULL, &receive_usage },
    { "show", "what is remembered of a device", cmd_show, NULL, &show_usage },
    { "list", "all devices", cmd_device_list, NULL, &device_list_usage },
    { "block", "answer nothing more for it", cmd_device_block, NULL, &device_block_usage },
    { "unblock", "end that", cmd_device_unblock, NULL, &device_unblock_usage },
    { "move-back", "answer for one that had moved", cmd_device_move_back, NULL, &device_move_back_usage },
    { "reset-nonces", "forget its used DevNonces", cmd_device_reset, NULL, &device_reset_usage },
    { "remove", "forget its keys and sessions", cmd_device_remove, NULL, &device_remove_usage },
    { 0 },
};
