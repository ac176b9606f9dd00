/* device.c -- `lorajs device ...`: the devices of a data directory.
 *
 * Everything here works beside a running daemon: both write through the same store, and
 * whoever loses a race loads again. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- import ----------------------------------------------------------------- */

enum { IMPORT_LINE_MAX = 1 << 20 }; /* 65,536 used DevNonces fit */

struct import_opts {
    struct where where;
    bool json, dry_run, example, allow_weak, replace_keys;
};

static const struct flag import_flags[] = {
    WHERE_FLAGS(struct import_opts),
    { "dry-run", NULL, "check every line and change nothing", FLAG_SWITCH, offsetof(struct import_opts, dry_run), 0,
      0 },
    { "allow-weak-keys", NULL, "take keys that are so regular that they are no secret", FLAG_SWITCH,
      offsetof(struct import_opts, allow_weak), 0, 0 },
    { "replace-keys", NULL, "give devices that are there new root keys; they must join anew", FLAG_SWITCH,
      offsetof(struct import_opts, replace_keys), 0, 0 },
    { "example", NULL, "print lines that can be imported, and do nothing else", FLAG_SWITCH,
      offsetof(struct import_opts, example), 0, 0 },
    { "json", NULL, "report as JSON, an object a line: each line refused, then the sum", FLAG_SWITCH,
      offsetof(struct import_opts, json), 0, 0 },
    { 0 },
};

static const struct usage import_usage = {
    "device import",
    "FILE|-",
    "Brings devices in: one JSON object a line, with the members that --example shows. A device that is there "
    "already is brought up to date; its JoinNonce never goes back and its used DevNonces stay used.\n"
    "A line that is refused is reported as \"line N: what is wrong\", without any key, and the other lines are "
    "imported nevertheless; then the exit code is 3. What is missing in the data directory is made. The daemon may "
    "be running.",
    import_flags,
    0,
    1,
};

/* Lines of a file, in one buffer that is wiped: stdio would leave keys behind. */
struct lines {
    int fd;
    uint8_t *buf;
    size_t begin, end;
    bool eof, skipping; /* skipping: in the rest of a line that was too long */
    uint64_t number;    /* of the line given last */
    uint64_t octets;    /* read so far */
};

/* 1: *line and *len, without its newline; 0: the end; -1: read error; -2: the line is too long. */
static int next_line(struct lines *in, const uint8_t **line, size_t *len)
{
    for (;;) {
        uint8_t *at = in->buf + in->begin, *newline = memchr(at, '\n', in->end - in->begin);
        ssize_t n;

        if (newline || (in->eof && in->end > in->begin)) {
            bool skipped = in->skipping;

            *line = at;
            *len = newline ? (size_t)(newline - at) : in->end - in->begin;
            in->begin += *len + (newline ? 1 : 0);
            in->skipping = false;
            if (skipped) /* reported already */
                continue;
            in->number++;
            return 1;
        }
        if (in->eof)
            return 0;
        if (in->begin) {
            memmove(in->buf, at, in->end - in->begin);
            in->end -= in->begin;
            in->begin = 0;
        }
        if (in->end == IMPORT_LINE_MAX) {
            bool skipped = in->skipping;

            in->end = 0;
            in->skipping = true;
            if (skipped)
                continue;
            in->number++;
            return -2;
        }
        n = read(in->fd, in->buf + in->end, IMPORT_LINE_MAX - in->end);
        if (n < 0 && errno != EINTR)
            return -1;
        in->eof = n == 0;
        in->end += n > 0 ? (size_t)n : 0;
        in->octets += n > 0 ? (uint64_t)n : 0;
    }
}

static void refuse(const struct import_opts *opts, uint64_t line, ljs_eui dev_eui, const char *fault)
{
    if (!opts->json) {
        if (dev_eui)
            fprintf(stderr, "line %" PRIu64 ": %s (%016" PRIx64 ")\n", line, fault, dev_eui);
        else
            fprintf(stderr, "line %" PRIu64 ": %s\n", line, fault);
        return;
    }
    printf("{\"line\":%" PRIu64 ",\"result\":\"refused\",\"dev_eui\":", line);
    printf(dev_eui ? "\"%016" PRIx64 "\"" : "null", dev_eui);
    printf(",\"reason\":");
    print_json_text(stdout, fault);
    puts("}");
}

struct import_run {
    const struct import_opts *opts;
    struct data *data;
    uint64_t imported, refused;
};

/* DONE also for a line that is refused; else the import cannot go on. */
static int import_line(struct import_run *run, uint64_t number, const uint8_t *line, size_t len)
{
    const struct import_opts *opts = run->opts;
    unsigned flags = (opts->replace_keys ? LJS_MAKE_REPLACE_KEYS : 0u) | (opts->allow_weak ? LJS_MAKE_ALLOW_WEAK : 0u);
    char fault[IMPORT_FAULT_MAX], what[64];
    ljs_import import;
    ljs_err err = ljs_import_parse(&import, line, len);
    int code = DONE;

    if (err == LJS_E_INVAL) {
        refuse(opts, number, 0, import.fault);
        run->refused++;
        goto out;
    }
    if (!err)
        err = import_device(run->data, &import, flags);
    if (import_failed(err)) {
        snprintf(what, sizeof what, "line %" PRIu64, number);
        code = complain_err(err, what);
    } else if (err) {
        import_fault(fault, err, &import);
        refuse(opts, number, import.device.dev_eui, fault);
        run->refused++;
    } else {
        run->imported++;
    }
out:
    ljs_import_clear(&import);
    return code;
}

/* On a terminal, a line on standard error that is written over. */
static void progress(const struct import_run *run, const struct lines *in, int64_t *shown)
{
    int64_t now = now_ms();

    if (now - *shown < 200)
        return;
    *shown = now;
    fprintf(stderr, "\r%" PRIu64 " lines, %" PRIu64 " refused, %" PRIu64 " KiB\033[K", in->number, run->refused,
            (in->octets - (in->end - in->begin)) / 1024);
}

static bool is_blank(const uint8_t *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static int import_all(struct import_run *run, const char *path)
{
    struct lines in = { .fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO };
    const char *name = strcmp(path, "-") ? path : "standard input";
    const uint8_t *line;
    size_t len;
    int64_t shown = now_ms();
    int code = DONE, got = 0;
    bool tty;

    if (in.fd < 0) {
        complain("%s: %s", name, strerror(errno));
        return FAILED;
    }
    tty = isatty(STDERR_FILENO) && !isatty(in.fd);
    if (!(in.buf = malloc(IMPORT_LINE_MAX))) {
        complain("out of memory");
        code = FAILED;
    }
    while (!code && (got = next_line(&in, &line, &len)) && got != -1) {
        if (got == -2) {
            refuse(run->opts, in.number, 0, "line: longer than 1 MiB");
            run->refused++;
        } else if (!is_blank(line, len)) {
            code = import_line(run, in.number, line, len);
        }
        if (tty)
            progress(run, &in, &shown);
    }
    if (tty)
        fputs("\r\033[K", stderr);
    if (got == -1) {
        complain("%s: %s", name, strerror(errno));
        code = FAILED;
    }
    if (in.buf)
        explicit_bzero(in.buf, IMPORT_LINE_MAX);
    free(in.buf);
    if (in.fd != STDIN_FILENO)
        close(in.fd);
    return code;
}

static int cmd_import(int argc, char **argv)
{
    struct import_opts opts = { 0 };
    struct data data = { NULL, NULL, NULL };
    struct import_run run = { &opts, &data, 0, 0 };
    int code = read_flags(&import_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.example) {
        fputs(ljs_import_example(), stdout);
        return DONE;
    }
    if (argc != 1) {
        complain("device import needs FILE, or - for standard input (see `lorajs device import --help`)");
        return USAGE;
    }
    if (!(code = data_try(&data, &opts.where, DATA_CREATE, opts.dry_run)))
        code = import_all(&run, argv[0]);
    if (data.server) {
        if (opts.json)
            printf("{\"imported\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"dry_run\":%s}\n", run.imported, run.refused,
                   opts.dry_run ? "true" : "false");
        else
            printf("%" PRIu64 " %s, %" PRIu64 " refused\n", run.imported,
                   opts.dry_run ? "would be imported" : "imported", run.refused);
    }
    data_close(&data);
    if (!code && run.refused)
        code = REFUSED;
    return code;
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
        (code = data_try(&data, &opts.where, DATA_CREATE, opts.dry_run)))
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
    { "import", "provision many, from JSON lines", cmd_import, NULL, &import_usage },
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
