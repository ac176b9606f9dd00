/* doctor_records.c -- what doctor says of what is in a database: KEKs, lots, and each device's record. */
#include "doctor.h"

#include <lorajs/token.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static ljs_err add_label(struct label **labels, size_t *len, const char *label)
{
    struct label *more = realloc(*labels, (*len + 1) * sizeof *more);

    if (!more)
        return LJS_E_NOMEM;
    *labels = more;
    snprintf(more[(*len)++].text, LJS_LABEL_MAX, "%s", label);
    return LJS_OK;
}

static ljs_err add_kek(void *user, const char *label, size_t kek_len)
{
    struct visit *v = user;

    (void)kek_len;
    return add_label(&v->keks, &v->keks_len, label);
}

static ljs_err add_lot(void *user, const char *label)
{
    struct visit *v = user;

    return add_label(&v->lots, &v->lots_len, label);
}

/* No label at all is none that is missing. */
static bool has_label(const struct label *labels, size_t len, const char *label)
{
    for (size_t i = 0; i < len; i++)
        if (!strcmp(labels[i].text, label))
            return true;
    return !*label;
}

bool has_kek(const struct visit *v, const char *label)
{
    return has_label(v->keks, v->keks_len, label);
}

static ljs_err one_device(void *user, ljs_eui dev_eui)
{
    struct visit *v = user;
    ljs_device d = { .struct_size = sizeof d };
    ljs_buf record = { NULL, 0 };
    ljs_event event;
    ljs_err err = ljs_server_get_device(&record, v->data.server, dev_eui), told = LJS_OK;

    if (!err)
        err = ljs_device_read(&d, record.data, record.len);
    if (!err)
        told = ljs_server_decision(&event, v->data.server, dev_eui, 0);
    ljs_buf_free(&record);
    if (err == LJS_E_NOTFOUND) /* gone since */
        return LJS_OK;
    v->devices++;
    if (err == LJS_E_SEAL || err == LJS_E_VERSION || told == LJS_E_SEAL) {
        v->first_tampered = v->tampered++ ? v->first_tampered : dev_eui;
        return LJS_OK;
    }
    if (err)
        return err;
    v->removed += d.state == LJS_STATE_REMOVED;
    v->spent += d.state != LJS_STATE_REMOVED && d.next_join_nonce > 0xffff00;
    if (d.state != LJS_STATE_REMOVED && (!has_kek(v, d.ns_kek_label) || !has_kek(v, d.as_kek_label)))
        v->first_without = v->sealed_only++ ? v->first_without : dev_eui;
    v->of_lots += *d.lot != '\0';
    if (!has_label(v->lots, v->lots_len, d.lot))
        v->first_without_lot = v->without_lot++ ? v->first_without_lot : dev_eui;
    return LJS_OK;
}

static void look_lots(struct visit *v)
{
    ljs_token_storage storage;
    ljs_err err = ljs_server_each_lot(v->data.server, add_lot, v);

    v->check = "lots";
    if (err)
        tell(v, ERROR, "put back a copy of the database", "the keys of lots cannot be read: %s", ljs_strerror(err));
    else if (v->lots_len && ljs_token_look(&storage, v->data.vault) == LJS_E_STATE)
        tell(
            v, WARNING,
            "keep the data directory's keys in a token (lorajs token), or give the devices keys of their own",
            "%zu lots, whose keys are not in a hardware security module: one of them is that of all devices of the lot",
            v->lots_len);
    else if (v->lots_len)
        tell(v, OK, NULL, "%zu lots, whose keys are used in the token alone", v->lots_len);
}

void look_records(struct visit *v)
{
    ljs_err err;

    v->check = "keks";
    if ((err = ljs_server_each_kek(v->data.server, add_kek, v)))
        tell(v, ERROR, "put back a copy of the database, or `lorajs kek remove` and add the one that is damaged",
             "the KEKs cannot be read: %s", ljs_strerror(err));
    else
        tell(v, OK, NULL, "%zu KEKs, each with a good tag", v->keks_len);
    look_lots(v);
    v->check = "records";
    if ((err = ljs_server_each_device(v->data.server, one_device, v))) {
        tell(v, ERROR, ljs_remedy(err), "the records cannot be read: %s", ljs_strerror(err));
        return;
    }
    if (v->tampered)
        tell(v, ERROR, "put back a copy of the database (docs/backup-and-restore.md), and ask who could write to it",
             "%" PRIu64 " of %" PRIu64 " records do not carry the tag of this master key, %016" PRIx64 " first",
             v->tampered, v->devices, v->first_tampered);
    else
        tell(v, OK, NULL, "%" PRIu64 " devices (%" PRIu64 " removed), each with a good tag", v->devices, v->removed);
    if (v->spent)
        tell(v, WARNING, "give them new root keys (lorajs device import --replace-keys)",
             "%" PRIu64 " devices have hardly any JoinNonce left", v->spent);
    if (v->sealed_only)
        tell(v, WARNING, "lorajs kek add",
             "%" PRIu64 " devices name a KEK that is not there, %016" PRIx64 " first: they are refused", v->sealed_only,
             v->first_without);
    if (v->without_lot)
        tell(v, ERROR, "lorajs lot add",
             "%" PRIu64 " of %" PRIu64 " devices of lots are of one whose key is not there, %016" PRIx64
             " first: they are refused",
             v->without_lot, v->of_lots, v->first_without_lot);
}
