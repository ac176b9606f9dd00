/* Records into the formats of others. */
#include "codec/bulk.h"

#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "device/carry.h"

#include <stdio.h>
#include <stdlib.h>

struct ljs_bulk_writer {
    const struct bulk_family *family;
    bool headed;
    char value[BULK_SETS_MAX][LJS_LABEL_MAX];
    const char *set[BULK_SETS_MAX];
};

/* ---- values -------------------------------------------------------------------------- */

void ljs__bulk_hex(char out[17], uint64_t number)
{
    snprintf(out, 17, "%016llX", (unsigned long long)number);
}

/* 'a' becomes 'A', and a digit stays, whichever it is: no branch depends on it. */
static void upper(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(text[i] ^ ((text[i] >> 6 & 1) << 5));
}

bool ljs__bulk_key(char out[2 * BULK_KEY_LEN + 1], const ljs_key *key)
{
    struct wr w = { 0 };
    ljs_buf octets = { NULL, 0 };
    bool there = key && !ljs_key_export(&octets, key) && octets.len == BULK_KEY_LEN;

    out[0] = '\0';
    if (there)
        ljs__wr_hex(&w, octets.data, octets.len);
    there = there && !w.bad;
    if (there) {
        memcpy(out, w.data, w.len);
        out[2 * BULK_KEY_LEN] = '\0';
        upper(out, 2 * BULK_KEY_LEN);
    }
    ljs__wr_drop(&w);
    ljs_buf_free(&octets);
    return there;
}

const char *ljs__bulk_title(char out[24], const struct bulk_device *device)
{
    if (device->title)
        return device->title;
    snprintf(out, 24, "eui-%016llx", (unsigned long long)device->d.dev_eui);
    return out;
}

const ljs_key *ljs__bulk_root(const struct bulk_device *device)
{
    return device->nwk ? device->nwk : device->app;
}

void ljs__bulk_key_member(struct wr *w, const char *name, const ljs_key *key)
{
    char text[2 * BULK_KEY_LEN + 1];

    if (!key)
        return;
    if (!ljs__bulk_key(text, key))
        w->bad = true;
    ljs__bulk_text_member(w, name, text);
    ljs__wipe(text, sizeof text);
}

void ljs__bulk_eui_member(struct wr *w, const char *name, ljs_eui eui)
{
    char text[17];

    ljs__bulk_hex(text, eui);
    ljs__bulk_text_member(w, name, text);
}

void ljs__bulk_text_member(struct wr *w, const char *name, const char *text)
{
    if (!text)
        return;
    ljs__json_name(w, name);
    ljs__json_text(w, text);
}

void ljs__bulk_nonces(struct wr *w, const char *name, const struct bulk_device *device)
{
    struct rd r = { device->used.data, device->used.len, false };

    ljs__json_name(w, name);
    ljs__json_open(w, '[');
    while (r.left >= 2)
        ljs__json_number(w, (int64_t)rd_le(&r, 2));
    ljs__json_close(w, ']');
}

/* ---- what is lost -------------------------------------------------------------------- */

static bool has_settings(const ljs_device *d)
{
    return *d->ns_kek_label || *d->as_kek_label || *d->as_id || d->has_home_net_id || d->has_home_ns_id ||
           d->require_1_1 || d->has_x25519;
}

static bool loses_keys(const struct bulk_family *family, const ljs_device *d)
{
    bool both = d->keys & LJS_HAS_NWK_KEY && d->keys & LJS_HAS_APP_KEY;

    return (both && d->mac < LJS_MAC_1_1) || d->keys & LJS_HAS_REKEY_KEY ||
           (d->keys & LJS_HAS_GEN_APP_KEY && !(family->places & BULK_BIT(BULK_GEN_APP_KEY)));
}

static bool has_nonces(const ljs_join_eui *j)
{
    return j->dev_nonce >= 0 || j->dev_nonces_used || j->rj_count1 >= 0;
}

static ljs_err loses_nonces(bool *out, const struct bulk_family *family, const ljs_device *d, const uint8_t *record,
                            size_t record_len)
{
    const uint32_t join_nonces = BULK_BIT(BULK_NEXT_JOIN_NONCE) | BULK_BIT(BULK_LAST_JOIN_NONCE);
    bool places = family->places & join_nonces;
    ljs_join_eui j;
    ljs_err err = LJS_OK;

    *out = !places && d->next_join_nonce > 1;
    for (unsigned i = 0; !err && i < d->join_euis; i++)
        if (!(err = ljs_device_join_eui(&j, i, record, record_len)))
            *out |= j.rj_count1 >= 0 || (has_nonces(&j) && (i || !places));
    return err;
}

ljs_err ljs_bulk_loses(uint32_t *out, ljs_bulk_format format, const uint8_t *record, size_t record_len)
{
    const struct bulk_family *family = ljs__bulk_family(format);
    ljs_device d = { .struct_size = sizeof d };
    bool nonces, whole = family == &ljs__bulk_lorajs;
    ljs_err err = family ? ljs_device_read(&d, record, record_len) : LJS_E_INVAL;

    *out = 0;
    if (err || (err = loses_nonces(&nonces, family, &d, record, record_len)))
        return err;
    *out = (nonces ? LJS_BULK_LOSES_NONCES : 0u) | (!whole && d.join_euis > 1 ? LJS_BULK_LOSES_JOIN_EUIS : 0u) |
           (!whole && loses_keys(family, &d) ? LJS_BULK_LOSES_KEYS : 0u) |
           (!whole && has_settings(&d) ? LJS_BULK_LOSES_SETTINGS : 0u) |
           (!(family->places & BULK_BIT(BULK_VERSION)) ? LJS_BULK_LOSES_VERSION : 0u) |
           (d.mac >= LJS_MAC_1_1 && !(family->places & BULK_BIT(BULK_NWK_KEY)) ? LJS_BULK_LOSES_ROOT_KEY : 0u);
    return LJS_OK;
}

/* ---- the writer ------------------------------------------------------------------------ */

ljs_err ljs_bulk_writer_new(ljs_bulk_writer **out, ljs_bulk_format format)
{
    const struct bulk_family *family = ljs__bulk_family(format);
    ljs_err err = ljs__init();

    *out = NULL;
    if (err || !family)
        return err ? err : LJS_E_INVAL;
    if (!(*out = calloc(1, sizeof **out)))
        return LJS_E_NOMEM;
    (*out)->family = family;
    return LJS_OK;
}

void ljs_bulk_writer_free(ljs_bulk_writer *writer)
{
    free(writer);
}

const char *ljs_bulk_names(ljs_bulk_format format)
{
    const struct bulk_family *family = ljs__bulk_family(format);

    return family && family->sets ? family->sets : "";
}

/* Which of the words this is; BULK_SETS_MAX for none. */
static unsigned place_of(const char *words, const char *name)
{
    size_t len = strlen(name);

    for (unsigned i = 0; words && *words && len; i++) {
        size_t n = strcspn(words, " ");

        if (n == len && !memcmp(words, name, n))
            return i;
        words += n + (words[n] == ' ');
    }
    return BULK_SETS_MAX;
}

ljs_err ljs_bulk_set(ljs_bulk_writer *writer, const char *name, const char *value)
{
    unsigned place = place_of(writer->family->sets, name);

    if (writer->headed)
        return LJS_E_STATE;
    if (place == BULK_SETS_MAX)
        return LJS_E_NOTFOUND;
    if (!*value || !ljs__text_ok(value, LJS_LABEL_MAX))
        return LJS_E_INVAL;
    strcpy(writer->value[place], value);
    writer->set[place] = writer->value[place];
    return LJS_OK;
}

ljs_err ljs_bulk_head(ljs_buf *out, ljs_bulk_writer *writer)
{
    struct bulk_device device = { .set = writer->set };
    struct wr w = { 0 };

    *out = (ljs_buf){ NULL, 0 };
    if (writer->headed)
        return LJS_E_STATE;
    writer->headed = true;
    if (writer->family->head)
        writer->family->head(&w, &device);
    return ljs__wr_take(out, &w);
}

static ljs_err load(struct bulk_device *out, const uint8_t *record, size_t record_len)
{
    ljs_join_eui j;
    ljs_err err = ljs_device_read(&out->d, record, record_len);

    if (!err && out->d.state == LJS_STATE_REMOVED)
        err = LJS_E_STATE;
    for (unsigned i = 0; !err && i < out->d.join_euis; i++)
        if (!(err = ljs_device_join_eui(&j, i, record, record_len))) {
            out->join_eui[i] = j.join_eui;
            out->dev_nonce = i ? out->dev_nonce : j.dev_nonce;
        }
    if (err ||
        out->d.mac >= LJS_MAC_1_0_4) /* which counts: there is no list, and looking for one is most of the work */
        return err;
    return ljs_device_dev_nonces(&out->used, 0, record, record_len);
}

ljs_err ljs_bulk_put(ljs_buf *out, ljs_bulk_writer *writer, ljs_vault *opener, const char *title, const uint8_t *record,
                     size_t record_len)
{
    struct bulk_device device = { .title = title, .set = writer->set, .d.struct_size = sizeof device.d };
    ljs_key *got[DEVICE_KEYS] = { NULL };
    struct wr w = { 0 };
    ljs_err err;

    *out = (ljs_buf){ NULL, 0 };
    if (!writer->headed)
        return LJS_E_STATE;
    if (title && (!*title || !ljs__text_ok(title, LJS_LABEL_MAX)))
        return LJS_E_INVAL;
    err = load(&device, record, record_len);
    if (!err && opener && device.d.mac >= LJS_MAC_1_1 && !(writer->family->places & BULK_BIT(BULK_NWK_KEY)))
        err = LJS_E_NOKEY;
    if (!err && opener)
        err = ljs__device_keys(got, opener, record, record_len);
    device.nwk = got[0];
    device.app = got[1];
    device.gen_app = got[2];
    device.rekey = got[3];
    if (!err) {
        writer->family->put(&w, &device);
        err = ljs__wr_take(out, &w);
    }
    for (unsigned i = 0; i < DEVICE_KEYS; i++)
        ljs_key_free(got[i]);
    ljs_buf_free(&device.used);
    ljs__wr_drop(&w);
    return err;
}
