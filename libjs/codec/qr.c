/* The text of a QR code [TR005], and its drafts. */
#include <lorajs/qr.h>

#include "base/cursor.h"
#include "base/secret.h"

#include <stdio.h>

/* What is still to be read. */
struct text {
    const char *at;
    size_t len;
};

/* How a text is read: into what, and how strictly. */
struct reading {
    ljs_qr *out;
    bool lenient;
};

static ljs_err fault(const struct reading *r, const char *why)
{
    snprintf(r->out->fault, sizeof r->out->fault, "%s", why);
    return LJS_E_INVAL;
}

/* Not as it should be: passed over, or the end. */
static ljs_err sloppy(const struct reading *r, const char *why)
{
    r->out->sloppy = 1;
    return r->lenient ? LJS_OK : fault(r, why);
}

static bool skip(struct text *t, const char *prefix)
{
    size_t len = strlen(prefix);

    if (!len)
        return true;
    if (len > t->len || memcmp(t->at, prefix, len) != 0)
        return false;
    t->at += len;
    t->len -= len;
    return true;
}

/* Up to the separator, which is passed over too; or all that is left. */
static struct text next(struct text *t, char separator)
{
    const char *end = t->len ? memchr(t->at, separator, t->len) : NULL;
    struct text part = { t->at, end ? (size_t)(end - t->at) : t->len };
    size_t past = part.len + (end != NULL);

    t->at += past;
    t->len -= past;
    return part;
}

/* ---- values ------------------------------------------------------------------------ */

static bool is_upper(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

static bool is_alphanumeric(char c) /* as QR codes have it, without the colon */
{
    return c && (is_upper(c) || strchr(" $%*+-./", c));
}

static bool is_print(char c)
{
    return c >= 0x20 && c < 0x7f;
}

static bool all(bool (*is)(char), const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is(at[i]))
            return false;
    return true;
}

static bool number(uint64_t *out, struct text digits)
{
    uint8_t octets[8];

    *out = 0;
    if (digits.len > 2 * sizeof octets || !ljs__hex(octets, digits.len / 2, digits.at, digits.len))
        return false;
    for (size_t i = 0; i < digits.len / 2; i++)
        *out = *out << 8 | octets[i];
    return true;
}

static ljs_err eui(ljs_eui *out, const struct reading *r, struct text digits, const char *why)
{
    if (digits.len != 16 || !number(out, digits))
        return fault(r, why);
    return all(is_upper, digits.at, digits.len) ? LJS_OK : sloppy(r, "digits are written in upper case");
}

static ljs_err join_eui(const struct reading *r, struct text digits)
{
    if (!digits.len)
        return sloppy(r, "there is no JoinEUI");
    r->out->has_join_eui = 1;
    return eui(&r->out->join_eui, r, digits, "JoinEUI is not 16 hexadecimal digits");
}

static ljs_err profile(const struct reading *r, struct text digits)
{
    uint64_t both;

    if (!digits.len)
        return sloppy(r, "there is no ProfileID");
    if ((digits.len != 4 && digits.len != 8) || !number(&both, digits))
        return fault(r, "ProfileID is not 8 hexadecimal digits");
    r->out->has_profile = 1;
    r->out->vendor_id = (uint16_t)(digits.len == 8 ? both >> 16 : both);
    r->out->vendor_profile_id = (uint16_t)(digits.len == 8 ? both : 0);
    if (digits.len != 8)
        return sloppy(r, "ProfileID is not 8 hexadecimal digits");
    return all(is_upper, digits.at, digits.len) ? LJS_OK : sloppy(r, "digits are written in upper case");
}

static ljs_err value(char *out, size_t room, const struct reading *r, struct text in, bool (*strict)(char),
                     const char *why)
{
    if (in.len >= room || !all(is_print, in.at, in.len))
        return fault(r, why);
    if (*out)
        return fault(r, "an element stands there twice");
    memcpy(out, in.at, in.len);
    out[in.len] = 0;
    return all(strict, in.at, in.len) ? LJS_OK : sloppy(r, why);
}

static ljs_err owner_token(const struct reading *r, struct text in)
{
    for (size_t i = 0; i < in.len; i++) /* in lower case it is sloppy, and what is no letter is no token at all */
        if (!is_upper(in.at[i]) && !(in.at[i] >= 'a' && in.at[i] <= 'z'))
            return fault(r, "OwnerToken is not 1 to 32 of A-Z and 0-9");
    return value(r->out->owner_token, sizeof r->out->owner_token, r, in, is_upper,
                 "OwnerToken is not 1 to 32 of A-Z and 0-9");
}

static ljs_err checksum(const struct reading *r, struct text digits, const char *whole, const char *element)
{
    char want[5];

    if (r->out->has_checksum)
        return fault(r, "an element stands there twice");
    r->out->has_checksum = 1;
    snprintf(want, sizeof want, "%04X", ljs_qr_checksum((const uint8_t *)whole, (size_t)(element - whole)));
    r->out->checksum_good = digits.len == 4 && !memcmp(digits.at, want, 4);
    return r->out->checksum_good ? LJS_OK : sloppy(r, "the checksum is another: the text was changed, or misread");
}

/* One element by its letter; the drafts call the token V, and have no checksum. */
static ljs_err element(const struct reading *r, struct text in, char token)
{
    struct text rest = { in.at + 1, in.len - 1 };

    if (in.len < 2) /* empty ones are as good as absent */
        return LJS_OK;
    if (in.at[0] == token)
        return owner_token(r, rest);
    if (in.at[0] == 'S')
        return value(r->out->serial, sizeof r->out->serial, r, rest, is_alphanumeric,
                     "the serial number is too long, or has characters that no code has");
    if (in.at[0] == 'P')
        return value(r->out->proprietary, sizeof r->out->proprietary, r, rest, is_alphanumeric,
                     "the proprietary element is too long, or has characters that no code has");
    return all(is_print, in.at, in.len) ? LJS_OK : fault(r, "an element has characters that no code has");
}

/* ---- forms --------------------------------------------------------------------------- */

static ljs_err head(const struct reading *r, struct text *t, char separator, char last)
{
    ljs_err err = join_eui(r, next(t, separator));

    if (!err)
        err = eui(&r->out->dev_eui, r, next(t, separator), "DevEUI is not 16 hexadecimal digits");
    return err ? err : profile(r, next(t, last));
}

static ljs_err parse_d0(const struct reading *r, struct text t, const char *whole)
{
    ljs_err err = head(r, &t, ':', ':');

    while (!err && t.len) {
        const char *before = t.at - 1;
        struct text in = next(&t, ':');

        if (in.len > 1 && in.at[0] == 'C')
            err = checksum(r, (struct text){ in.at + 1, in.len - 1 }, whole, before);
        else
            err = element(r, in, 'O');
    }
    return err;
}

/* [TR005 draft 2]  ...:ProfileID:%V...%S...%P..., where a percent sign may have become %25 on its way */
static ljs_err parse_draft_2(const struct reading *r, struct text t, const char *whole)
{
    ljs_err err = head(r, &t, ':', ':');

    (void)whole;
    if (!err && t.len && !skip(&t, "%25") && !skip(&t, "%"))
        err = fault(r, "the elements of the second draft begin with a percent sign");
    while (!err && t.len) {
        struct text in = next(&t, '%');

        (void)skip(&t, "25");
        err = element(r, in, 'V');
    }
    return err;
}

static ljs_err parse_draft_3(const struct reading *r, struct text t, const char *whole)
{
    ljs_err err = head(r, &t, '_', '_');

    (void)whole;
    while (!err && t.len)
        err = element(r, next(&t, '_'), 'V');
    return err;
}

static ljs_err parse_bare(const struct reading *r, struct text t, const char *whole)
{
    (void)whole;
    return eui(&r->out->dev_eui, r, t, "this is no text of a device's QR code");
}

static const struct {
    ljs_qr_form form;
    const char *prefix;
    ljs_err (*parse)(const struct reading *r, struct text t, const char *whole);
} forms[] = {
    { LJS_QR_D0, "LW:D0:", parse_d0 },
    { LJS_QR_DRAFT_2, "URN:LW:DP:", parse_draft_2 },
    { LJS_QR_DRAFT_3, "URN:DEV:LW:", parse_draft_3 },
    { LJS_QR_BARE, "", parse_bare },
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static ljs_err parse(const struct reading *r, struct text t)
{
    size_t before = t.len;

    while (t.len && is_space(t.at[t.len - 1]))
        t.len--;
    for (; t.len && is_space(*t.at); t.at++)
        t.len--;
    if (t.len != before && sloppy(r, "there are spaces around the text"))
        return LJS_E_INVAL;
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct text rest = t;

        if (!skip(&rest, forms[i].prefix))
            continue;
        r->out->form = forms[i].form;
        return forms[i].parse(r, rest, t.at);
    }
    return LJS_E_INVAL; /* the last prefix fits everything */
}

ljs_err ljs_qr_parse(ljs_qr *out, unsigned flags, const uint8_t *in, size_t in_len)
{
    const struct reading r = { out, flags == LJS_QR_LENIENT };
    ljs_err err;

    memset(out, 0, sizeof *out);
    if (flags & ~(unsigned)LJS_QR_LENIENT)
        return fault(&r, "there is no such flag");
    err = in_len > LJS_QR_MAX ? fault(&r, "the text is longer than 1024 octets")
                              : parse(&r, (struct text){ (const char *)in, in_len });
    if (err) {
        char why[sizeof out->fault];

        memcpy(why, out->fault, sizeof why);
        ljs__wipe(out, sizeof *out);
        memcpy(out->fault, why, sizeof why);
    }
    return err;
}

/* ---- writing --------------------------------------------------------------------------- */

static bool fits(const char *text, size_t room, bool (*strict)(char))
{
    size_t len = strnlen(text, room);

    return len < room && all(strict, text, len);
}

static void put_element(struct wr *w, const char *letter, const char *text)
{
    if (!*text)
        return;
    ljs__wr_text(w, letter);
    ljs__wr_text(w, text);
}

ljs_err ljs_qr_build(ljs_buf *out, const ljs_qr *qr, unsigned flags)
{
    struct wr w = { 0 };
    char text[64];

    *out = (ljs_buf){ NULL, 0 };
    if (flags & ~(unsigned)LJS_QR_CHECKSUM || !qr->has_join_eui || !qr->has_profile ||
        !fits(qr->owner_token, sizeof qr->owner_token, is_upper) ||
        !fits(qr->serial, sizeof qr->serial, is_alphanumeric) ||
        !fits(qr->proprietary, sizeof qr->proprietary, is_alphanumeric))
        return LJS_E_INVAL;
    snprintf(text, sizeof text, "LW:D0:%016llX:%016llX:%04X%04X", (unsigned long long)qr->join_eui,
             (unsigned long long)qr->dev_eui, qr->vendor_id, qr->vendor_profile_id);
    ljs__wr_text(&w, text);
    put_element(&w, ":O", qr->owner_token);
    put_element(&w, ":S", qr->serial);
    put_element(&w, ":P", qr->proprietary);
    if (flags & LJS_QR_CHECKSUM && !w.bad) {
        snprintf(text, sizeof text, ":C%04X", ljs_qr_checksum(w.data, w.len));
        ljs__wr_text(&w, text);
    }
    return ljs__wr_take(out, &w);
}

uint16_t ljs_qr_checksum(const uint8_t *in, size_t in_len)
{
    unsigned crc = 0xffff;

    for (size_t i = 0; i < in_len; i++) {
        crc ^= in[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
    }
    return (uint16_t)crc;
}
