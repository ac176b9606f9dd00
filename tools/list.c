/* list.c -- `lorajs device list`, and which devices a command is about. */
#include "choose.h"

#include <inttypes.h>
#include <string.h>

/* ---- which ------------------------------------------------------------------ */

/* DevEUIs that begin with these digits. */
static bool range_of(struct chosen *out, const char *digits)
{
    size_t len = strlen(digits);
    ljs_eui first = 0;

    if (!len || len > 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *at = i < len ? strchr(hex, digits[i] | 0x20) : hex;

        if (!at || !*at)
            return false;
        first = first << 4 | (ljs_eui)(at - hex);
    }
    out->first = first;
    out->last = len == 16 ? first : first | UINT64_MAX >> 4 * len;
    return true;
}

int choose(struct chosen *out, const struct choice *choice)
{
    *out = (struct chosen){ .last = UINT64_MAX, .label = choice->label };
    if (choice->match && !range_of(out, choice->match)) {
        complain("--match takes 1 to 16 hexadecimal digits, the first of a DevEUI");
        return USAGE;
    }
    out->by_join_eui = choice->join_eui != NULL;
    return choice->join_eui ? read_eui(&out->join_eui, choice->join_eui, "--join-eui") : DONE;
}

bool is_chosen(const struct chosen *chosen, const ljs_device *device, const ljs_buf *record)
{
    bool found = !chosen->by_join_eui;
    ljs_join_eui j;

    if (chosen->label && strcmp(device->ns_kek_label, chosen->label) != 0 &&
        strcmp(device->as_kek_label, chosen->label) != 0 && strcmp(device->as_id, chosen->label) != 0)
        return false;
    for (unsigned i = 0; !found && !ljs_device_join_eui(&j, i, record->data, record->len); i++)
        found = j.join_eui == chosen->join_eui;
    return found;
}

/* ---- device list -------------------------------------------------------------- */

struct list_opts {
    struct where where;
    struct choice choice;
    const char *account;
    bool json, all;
};

static const struct flag list_flags[] = {
    WHERE_FLAGS(struct list_opts),
    CHOICE_FLAGS(struct list_opts),
    { "account", "NAME", "only what this account owns", FLAG_TEXT, offsetof(struct list_opts, account), 0, 0 },
    { "all", NULL, "removed ones too, of which the nonces are remembered", FLAG_SWITCH, offsetof(struct list_opts, all),
      0, 0 },
    { "json", NULL, "a JSON object a device, by the names of import", FLAG_SWITCH, offsetof(struct list_opts, json), 0,
      0 },
    { 0 },
};
const struct usage device_list_usage = {
    "device list", "", "Lists the devices, by DevEUI; all of them, or those that all of the flags describe.",
    list_flags,    0,  0
};

struct list_run {
    const struct list_opts *opts;
    const struct chosen *chosen;
    ljs_server *server;
    bool head, faulty;
};

static ljs_err list_row(void *user, ljs_eui dev_eui)
{
    struct list_run *run = user;
    ljs_device d = { .struct_size = sizeof d };
    ljs_buf record = { NULL, 0 };
    ljs_session s;
    char names[64], when[32] = "-";
    ljs_err err = ljs_server_get_device(&record, run->server, dev_eui);

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (err == LJS_E_SEAL || err == LJS_E_VERSION) {
        /* One record that was tampered with must not hide the others. */
        complain_device(err, dev_eui);
        run->faulty = true;
        err = LJS_OK;
        goto out;
    }
    if (err || (d.state == LJS_STATE_REMOVED && !run->opts->all) || !is_chosen(run->chosen, &d, &record))
        goto out;
    if (run->opts->json) {
        err = device_print_json(&record);
        goto out;
    }
    if (!run->head)
        printf("%-16s  %-16s  %-7s  %-7s  %-9s  %-20s  %s\n", "DevEUI", "JoinEUI", "LoRaWAN", "state", "JoinNonce",
               "last join", "root keys");
    run->head = true;
    if (!ljs_device_session(&s, 0, record.data, record.len))
        time_text(when, s.at);
    printf("%016" PRIx64 "  %016" PRIx64 "  %-7s  %-7s  %-9" PRIu32 "  %-20s  %s\n", d.dev_eui, d.join_eui,
           ljs_mac_text(d.mac), device_state_text(d.state), d.next_join_nonce, when, device_key_names(names, d.keys));
out:
    ljs_buf_free(&record);
    return err == LJS_E_NOTFOUND ? LJS_OK : err; /* gone since */
}

static ljs_err owned_row(void *user, const ljs_claim *claim)
{
    const struct list_run *run = user;

    return strcmp(claim->account, run->opts->account) ? LJS_OK : list_row(user, claim->dev_eui);
}

int cmd_device_list(int argc, char **argv)
{
    struct list_opts opts = { 0 };
    struct data data;
    struct chosen chosen;
    struct list_run run = { &opts, &chosen, NULL, false, false };
    ljs_err err;
    int code = read_flags(&device_list_usage, &opts, &argc, &argv);

    if (code != GO_ON)
        return code;
    if ((code = opts.account ? check_account(opts.account, "--account") : DONE) ||
        (code = choose(&chosen, &opts.choice)) || (code = data_open(&data, &opts.where, DATA_OPEN, NULL)))
        return code;
    run.server = data.server;
    err = opts.account ? ljs_server_each_claim_of(data.server, opts.account, chosen.first, chosen.last, owned_row, &run)
                       : ljs_server_each_device_in(data.server, chosen.first, chosen.last, list_row, &run);
    if (err)
        code = complain_err(err, "device list");
    else if (run.faulty)
        code = FAILED;
    else if (!run.head && !opts.json &&
             (opts.choice.match || opts.choice.join_eui || opts.choice.label || opts.account))
        complain("no such device; without these flags `lorajs device list` shows all");
    else if (!run.head && !opts.json)
        complain("no devices yet; `lorajs device import --example` shows how they come in");
    data_close(&data);
    return code;
}
