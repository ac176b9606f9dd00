/* qr.c -- `lorajs qr read` and `lorajs qr make`: the text on a device's label, and its picture. */
#include "qr.h"

#include "newfile.h"

#include <lorajs/qr.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- read ------------------------------------------------------------------------------ */

struct read_opts {
    bool json, lenient;
};

#define AT(member) offsetof(struct read_opts, member)
static const struct flag read_qr_flags[] = {
    { "lenient", NULL, "also texts that are too sloppy to claim a device by", FLAG_SWITCH, AT(lenient), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage read_qr_usage = {
    "qr read",
    "TEXT|-",
    "Reads the text of a device's QR code [TR005]: the final form, two older drafts, or a bare DevEUI; - reads it from "
    "standard input. The checksum is verified where there is one.\n"
    "The OwnerToken is a credential: it is printed, since it was read, and on a command line others may see it. The "
    "exit "
    "code is 3 for a text that is none, or wrong.",
    read_qr_flags,
    1,
    1,
};

static const char *const form_names[] = {
    [LJS_QR_D0] = "D0", [LJS_QR_DRAFT_2] = "draft 2", [LJS_QR_DRAFT_3] = "draft 3", [LJS_QR_BARE] = "DevEUI"
};

static const char *checksum_text(const ljs_qr *qr)
{
    return !qr->has_checksum ? "none" : qr->checksum_good ? "good" : "wrong";
}

static void print_row(const char *name, const char *value)
{
    if (*value)
        printf("%-16s %s\n", name, value);
}

static void print_qr(const ljs_qr *qr)
{
    print_row("form", form_names[qr->form]);
    if (qr->has_join_eui)
        printf("%-16s %016" PRIX64 "\n", "JoinEUI", qr->join_eui);
    printf("%-16s %016" PRIX64 "\n", "DevEUI", qr->dev_eui);
    if (qr->has_profile) {
        printf("%-16s %04X\n", "VendorID", qr->vendor_id);
        printf("%-16s %04X\n", "VendorProfileID", qr->vendor_profile_id);
    }
    print_row("OwnerToken", qr->owner_token);
    print_row("SerNum", qr->serial);
    print_row("Proprietary", qr->proprietary);
    print_row("CheckSum", checksum_text(qr));
    if (qr->sloppy)
        puts("\nThis text breaks rules of TR005: a device is not claimed by it.");
}

static void print_member(const char *name, const char *value)
{
    printf(",\"%s\":", name);
    print_json_text(stdout, *value ? value : NULL);
}

static void print_qr_json(const ljs_qr *qr)
{
    printf("{\"form\":\"%s\",\"join_eui\":", form_names[qr->form]);
    printf(qr->has_join_eui ? "\"%016" PRIx64 "\"" : "null", qr->join_eui);
    printf(",\"dev_eui\":\"%016" PRIx64 "\",\"vendor_id\":", qr->dev_eui);
    printf(qr->has_profile ? "\"%04x\",\"vendor_profile_id\":" : "null,\"vendor_profile_id\":", qr->vendor_id);
    printf(qr->has_profile ? "\"%04x\"" : "null", qr->vendor_profile_id);
    print_member("owner_token", qr->owner_token);
    print_member("serial", qr->serial);
    print_member("proprietary", qr->proprietary);
    printf(",\"checksum\":\"%s\",\"strict\":%s}\n", checksum_text(qr), qr->sloppy ? "false" : "true");
}

static int cmd_read(int argc, char **argv)
{
    struct read_opts opts = { 0 };
    ljs_buf in = { NULL, 0 };
    ljs_qr qr;
    ljs_err err;
    int code = read_flags(&read_qr_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (!strcmp(argv[0], "-") && (code = read_all(&in, "-", LJS_QR_MAX + 1)))
        return code;
    while (in.len && (in.data[in.len - 1] == '\n' || in.data[in.len - 1] == '\r')) /* of the line, not of the code */
        in.len--;
    err = ljs_qr_parse(&qr, opts.lenient ? LJS_QR_LENIENT : 0, in.data ? in.data : (const uint8_t *)argv[0],
                       in.data ? in.len : strlen(argv[0]));
    if (err) {
        complain("qr: %s", qr.fault);
        code = REFUSED;
    } else {
        (opts.json ? print_qr_json : print_qr)(&qr);
        code = DONE;
    }
    ljs_buf_free(&in);
    return code;
}

/* ---- make ------------------------------------------------------------------------------ */

struct make_opts {
    const char *join_eui, *dev_eui, *profile, *token, *serial, *proprietary, *svg, *png;
    int64_t scale;
    bool show, no_checksum, json;
};

#define AT(member) offsetof(struct make_opts, member)
static const struct flag make_flags[] = {
    { "join-eui", "EUI", "JoinEUI: 16 hexadecimal digits", FLAG_TEXT, AT(join_eui), 0, 0 },
    { "dev-eui", "EUI", "DevEUI: 16 hexadecimal digits", FLAG_TEXT, AT(dev_eui), 0, 0 },
    { "profile", "HEX", "VendorID and VendorProfileID: 8 hexadecimal digits", FLAG_TEXT, AT(profile), 0, 0 },
    { "owner-token", "FILE", "the OwnerToken on one line; - is standard input", FLAG_TEXT, AT(token), 0, 0 },
    { "serial", "TEXT", "the serial number", FLAG_TEXT, AT(serial), 0, 0 },
    { "proprietary", "TEXT", "the proprietary element", FLAG_TEXT, AT(proprietary), 0, 0 },
    { "no-checksum", NULL, "leave the checksum out", FLAG_SWITCH, AT(no_checksum), 0, 0 },
    { "svg", "FILE", "write the picture as SVG; FILE must not exist", FLAG_TEXT, AT(svg), 0, 0 },
    { "png", "FILE", "write the picture as PNG; FILE must not exist", FLAG_TEXT, AT(png), 0, 0 },
    { "scale", "N", "dots of a module's side in PNG (default 8)", FLAG_NUMBER, AT(scale), 1, 64 },
    { "show", NULL, "draw the picture after the text, for a terminal that is light on dark", FLAG_SWITCH, AT(show), 0,
      0 },
    { "json", NULL, "the text as a member of a JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

static const struct usage make_usage = {
    "qr make",
    "",
    "Prints the text of a device's QR code [TR005], with its checksum, and draws it for a label. A QR code has no key "
    "in "
    "it. Values are upper-case letters, digits and $%*+-./ and space, as QR codes have them.",
    make_flags,
    0,
    0,
};

static int read_token(ljs_qr *qr, const char *path)
{
    ljs_buf in;
    int code = read_all(&in, path, LJS_OWNER_TOKEN_MAX + 2);

    if (code)
        return code;
    while (in.len && (in.data[in.len - 1] == '\n' || in.data[in.len - 1] == '\r'))
        in.len--;
    if (!in.len || in.len > LJS_OWNER_TOKEN_MAX || memchr(in.data, 0, in.len)) {
        complain("qr: an OwnerToken is 1 to %d of A-Z and 0-9", LJS_OWNER_TOKEN_MAX);
        code = REFUSED;
    } else {
        memcpy(qr->owner_token, in.data, in.len);
    }
    ljs_buf_free(&in);
    return code;
}

static int put_value(char *out, size_t room, const char *value, const char *what)
{
    if (value && strlen(value) >= room) {
        complain("qr: %s is too long", what);
        return USAGE;
    }
    strcpy(out, value ? value : "");
    return DONE;
}

static int read_make(ljs_qr *qr, const struct make_opts *opts)
{
    uint8_t profile[4];
    int code;

    *qr = (ljs_qr){ .has_join_eui = 1, .has_profile = 1 };
    if (!opts->join_eui || !opts->dev_eui || !opts->profile) {
        complain("qr make: takes --join-eui, --dev-eui and --profile");
        return USAGE;
    }
    if ((code = read_eui(&qr->join_eui, opts->join_eui, "--join-eui")) ||
        (code = read_eui(&qr->dev_eui, opts->dev_eui, "--dev-eui")) ||
        (code = put_value(qr->serial, sizeof qr->serial, opts->serial, "--serial")) ||
        (code = put_value(qr->proprietary, sizeof qr->proprietary, opts->proprietary, "--proprietary")))
        return code;
    if (from_hex(profile, sizeof profile, opts->profile, strlen(opts->profile)) != sizeof profile) {
        complain("qr make: --profile takes 8 hexadecimal digits");
        return USAGE;
    }
    qr->vendor_id = (uint16_t)(profile[0] << 8 | profile[1]);
    qr->vendor_profile_id = (uint16_t)(profile[2] << 8 | profile[3]);
    return opts->token ? read_token(qr, opts->token) : DONE;
}

/* A new file, whole or not at all. */
static int write_picture(const char *path, const struct picture *picture, bool png, unsigned scale)
{
    struct newfile file;
    int code = newfile_open(&file, path, 0600), fd; /* it shows the token */
    FILE *to;
    bool good;

    if (code)
        return code;
    fd = dup(file.fd);
    to = fd < 0 ? NULL : fdopen(fd, "wb");
    good = to && (png ? picture_png(to, picture, scale) : picture_svg(to, picture));
    if (to ? fclose(to) : fd >= 0 && close(fd))
        good = false;
    code = good ? newfile_keep(&file) : newfile_complain(&file);
    newfile_drop(&file);
    return code;
}

static int draw(const struct make_opts *opts, const char *text)
{
    struct picture picture;
    int code;

    if (!opts->svg && !opts->png && !opts->show)
        return DONE;
    code = picture_of(&picture, text);
    if (!code && opts->svg)
        code = write_picture(opts->svg, &picture, false, 0);
    if (!code && opts->png)
        code = write_picture(opts->png, &picture, true, (unsigned)opts->scale);
    if (!code && opts->show && !picture_text(stdout, &picture))
        code = FAILED;
    free(picture.dark);
    return code;
}

static int cmd_make(int argc, char **argv)
{
    struct make_opts opts = { .scale = 8 };
    char text[LJS_QR_MAX + 1] = "";
    ljs_buf out = { NULL, 0 };
    ljs_qr qr;
    int code = read_flags(&make_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if (opts.json && opts.show) {
        complain("qr make: --json or --show");
        return USAGE;
    }
    if ((code = read_make(&qr, &opts)))
        return code;
    if (ljs_qr_build(&out, &qr, opts.no_checksum ? 0 : LJS_QR_CHECKSUM)) {
        complain("qr make: a value has characters that no QR code of TR005 has, or is too long");
        return REFUSED;
    }
    memcpy(text, out.data, out.len); /* of some 350 letters at the most */
    ljs_buf_free(&out);
    if (opts.json) {
        fputs("{\"text\":", stdout);
        print_json_text(stdout, text);
        puts("}");
    } else {
        puts(text);
    }
    return draw(&opts, text);
}

const struct command qr_commands[] = {
    { "read", "what the text of a QR code says", cmd_read, NULL, &read_qr_usage },
    { "make", "the text of a QR code, and its picture for a label", cmd_make, NULL, &make_usage },
    { 0 },
};
