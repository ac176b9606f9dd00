/* claim_chip.c -- `lorajs claim challenge`, and the proof that a claim has of the device's chip. */
#include "tool.h"

#include <inttypes.h>
#include <string.h>

struct challenge_opts {
    struct where where;
    const char *account;
    bool json;
};

#define AT(member) offsetof(struct challenge_opts, member)
static const struct flag challenge_flags[] = {
    WHERE_FLAGS(struct challenge_opts),
    { "account", "NAME", "for which account; needed", FLAG_TEXT, AT(account), 0, 0 },
    { "json", NULL, "one JSON object", FLAG_SWITCH, AT(json), 0, 0 },
    { 0 },
};
#undef AT

const struct usage claim_challenge_usage = {
    "claim challenge",
    "DEVEUI",
    "Gives a challenge for the chip of a device, and what the chip is to sign of it (ECDSA on P-256): the SHA-256 over "
    "label, DevEUI, challenge and account. It is good for ten minutes, and for one claim by this account. "
    "`claim claim --chip` takes challenge and signature.",
    challenge_flags,
    1,
    1,
};
int read_chip(ljs_claim_req *req, const char *path)
{
    enum { CHALLENGE_DIGITS = 2 * LJS_CHIP_CHALLENGE_LEN, SIGNATURE_DIGITS = 2 * LJS_CHIP_SIGNATURE_LEN };
    char challenge[CHALLENGE_DIGITS + 2] = "", signature[SIGNATURE_DIGITS + 2] = "", more = 0, text[512] = "";
    ljs_buf in;
    int code = path ? read_all(&in, path, sizeof text - 1) : DONE;

    if (!path || code)
        return code;
    memcpy(text, in.data ? (const char *)in.data : "", in.len);
    ljs_buf_free(&in);
    if (sscanf(text, "%65s %129s %c", challenge, signature, &more) != 2 ||
        from_hex(req->challenge, sizeof req->challenge, challenge, strlen(challenge)) != LJS_CHIP_CHALLENGE_LEN ||
        from_hex(req->signature, sizeof req->signature, signature, strlen(signature)) != LJS_CHIP_SIGNATURE_LEN) {
        complain("%s: not a challenge of %d hexadecimal digits and a signature of %d", path, CHALLENGE_DIGITS,
                 SIGNATURE_DIGITS);
        return USAGE;
    }
    req->has_chip = 1;
    return DONE;
}

static void print_hex(const char *before, const ljs_buf *octets, const char *behind)
{
    fputs(before, stdout);
    for (size_t i = 0; i < octets->len; i++)
        printf("%02x", octets->data[i]);
    fputs(behind, stdout);
}

int cmd_claim_challenge(int argc, char **argv)
{
    struct challenge_opts opts = { .json = false };
    struct data data;
    ljs_account account;
    ljs_buf challenge = { NULL, 0 }, digest = { NULL, 0 };
    int64_t now = now_seconds();
    ljs_eui eui;
    ljs_err err;
    int code = read_flags(&claim_challenge_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = check_account(opts.account, "--account")) || (code = read_eui(&eui, argv[0], "DEVEUI")) ||
        (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    err = ljs_server_get_account(&account, data.server, opts.account);
    if (!err)
        err = ljs_server_challenge(&challenge, data.server, now, eui, opts.account);
    if (!err)
        err = ljs_chip_digest(&digest, eui, opts.account, challenge.data, challenge.len);
    if (err == LJS_E_NOTFOUND) {
        complain("there is no account %s", opts.account);
        code = REFUSED;
    } else if (err) {
        code = complain_err(err, command_path());
    } else if (opts.json) {
        printf("{\"dev_eui\":\"%016" PRIx64 "\",\"account\":\"%s\"", eui, opts.account);
        print_hex(",\"challenge\":\"", &challenge, "\"");
        print_hex(",\"digest\":\"", &digest, "\"");
        printf(",\"expires\":%" PRId64 "}\n", now + LJS_CHIP_CHALLENGE_SECONDS);
    } else {
        print_hex("", &challenge, "\n");
        print_hex("sign ", &digest, "\n");
    }
    ljs_buf_free(&challenge);
    ljs_buf_free(&digest);
    data_close(&data);
    return code;
}
