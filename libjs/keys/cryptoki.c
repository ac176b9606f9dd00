#include "keys/cryptoki.h"

#ifdef LJS_P11KIT
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum { WRITES = CKF_SERIAL_SESSION | CKF_RW_SESSION };
enum { TOKENS_MAX = 64, ATTRIBUTES_MAX = 24, KEY_LEN = 16, KEY_LEN_MAX = 32, BLOCK_LEN = 16, ID_LEN = 2 };

/* A module of its own by the URI's path, or whatever p11-kit is configured with. */
struct module {
    struct cryptoki is;
    CK_FUNCTION_LIST *f, *own, **all;
    CK_SLOT_ID slot;
    CK_FLAGS flags; /* of its sessions */
    CK_SESSION_HANDLE login;
};

static struct module *module_of(struct cryptoki *c)
{
    return (struct module *)c; /* its first member */
}

static ljs_err err_of(CK_RV rv)
{
    switch (rv) {
    case CKR_OK:
        return LJS_OK;
    case CKR_HOST_MEMORY:
    case CKR_DEVICE_MEMORY:
    case CKR_SESSION_COUNT:
        return LJS_E_NOMEM;
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_EXPIRED:
    case CKR_PIN_LOCKED:
    case CKR_USER_PIN_NOT_INITIALIZED:
        return LJS_E_PIN;
    case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
    case CKR_SESSION_READ_ONLY_EXISTS:
    case CKR_SESSION_READ_WRITE_SO_EXISTS:
        return LJS_E_STATE;
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_GENERAL_ERROR: /* what a module says whose device does not answer */
    case CKR_FUNCTION_FAILED:
    case CKR_OPERATION_ACTIVE: /* of a session that has lost its way: it is opened anew */
    case CKR_OPERATION_NOT_INITIALIZED:
    case CKR_SLOT_ID_INVALID:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_WRAPPING_KEY_HANDLE_INVALID:
    case CKR_UNWRAPPING_KEY_HANDLE_INVALID:
        return LJS_E_TOKEN;
    default:
        return LJS_E_CRYPTO;
    }
}

/* ---- templates ---------------------------------------------------------------- */

struct template
{
    CK_BBOOL yes, no;
    CK_OBJECT_CLASS secret;
    CK_KEY_TYPE aes;
    CK_ATTRIBUTE at[ATTRIBUTES_MAX];
    CK_ULONG n;
};

/* Cryptoki reads a template and takes no const. */
static void *unconst(const void *in)
{
    union {
        const void *in;
        void *out;
    } u = { in };

    return u.out;
}

static void add(struct template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    t->at[t->n++] = (CK_ATTRIBUTE){ type, unconst(value), len };
}

static void add_bool(struct template *t, CK_ATTRIBUTE_TYPE type, bool value)
{
    add(t, type, value ? &t->yes : &t->no, sizeof(CK_BBOOL));
}

static const struct {
    unsigned use;
    CK_ATTRIBUTE_TYPE type;
} usages[] = { { USE_SIGN, CKA_SIGN },     { USE_ENCRYPT, CKA_ENCRYPT }, { USE_DECRYPT, CKA_DECRYPT },
               { USE_DERIVE, CKA_DERIVE }, { USE_WRAP, CKA_WRAP },       { USE_UNWRAP, CKA_UNWRAP } };

static void add_uses(struct template *t, unsigned uses)
{
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++)
        add_bool(t, usages[i].type, uses & usages[i].use);
}

/* What an unwrap must say word for word, and nothing else, where the storage key has this as its template. */
static void add_custody(struct template *t, unsigned uses)
{
    add(t, CKA_KEY_TYPE, &t->aes, sizeof t->aes);
    add_bool(t, CKA_SENSITIVE, !(uses & USE_CLEAR));
    add_bool(t, CKA_EXTRACTABLE, uses & (USE_LEAVE | USE_CLEAR));
    if (uses & USE_TRUSTED)
        add_bool(t, CKA_WRAP_WITH_TRUSTED, true);
}

static void begin(struct template *t)
{
    *t = (struct template){ .yes = CK_TRUE, .no = CK_FALSE, .secret = CKO_SECRET_KEY, .aes = CKK_AES };
    add(t, CKA_CLASS, &t->secret, sizeof t->secret);
}

/* A key for as long as its session. */
static void passing(struct template *t, unsigned uses)
{
    begin(t);
    add_bool(t, CKA_TOKEN, false);
    add_bool(t, CKA_PRIVATE, true);
    add_custody(t, uses);
    add_uses(t, uses);
}

/* ---- keys --------------------------------------------------------------------- */

static ljs_err open_session(token_session *out, struct cryptoki *c)
{
    struct module *m = module_of(c);

    return err_of(m->f->C_OpenSession(m->slot, m->flags, NULL, NULL, out));
}

static ljs_err version_of(uint16_t *out, struct module *m, token_session s, token_object key)
{
    CK_BYTE id[ID_LEN] = { 0 };
    CK_ATTRIBUTE at = { CKA_ID, id, sizeof id };
    CK_RV rv = m->f->C_GetAttributeValue(s, key, &at, 1);

    *out = (uint16_t)(id[0] << 8 | id[1]);
    return rv == CKR_OK && at.ulValueLen == ID_LEN ? LJS_OK : LJS_E_CRYPTO;
}

static ljs_err find(token_object out[TOKEN_VERSIONS], uint16_t versions[TOKEN_VERSIONS], size_t *out_len,
                    struct cryptoki *c, token_session s, const char *label)
{
    struct module *m = module_of(c);
    struct template t;
    CK_ULONG n = 0;
    ljs_err err;

    *out_len = 0;
    begin(&t);
    add_bool(&t, CKA_TOKEN, true);
    add(&t, CKA_LABEL, label, strlen(label));
    if ((err = err_of(m->f->C_FindObjectsInit(s, t.at, t.n))))
        return err;
    err = err_of(m->f->C_FindObjects(s, out, TOKEN_VERSIONS, &n));
    m->f->C_FindObjectsFinal(s);
    for (size_t i = 0; i < n && !err; i++)
        err = version_of(&versions[i], m, s, out[i]);
    if (!err)
        *out_len = n;
    return err;
}

static ljs_err generate(token_object *out, struct cryptoki *c, token_session s, const struct token_key *key)
{
    struct module *m = module_of(c);
    CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_MECHANISM_TYPE only = key->uses & USE_SIGN ? CKM_AES_CMAC : CKM_AES_KEY_WRAP;
    CK_BYTE id[ID_LEN] = { (CK_BYTE)(key->version >> 8), (CK_BYTE)key->version };
    CK_ULONG len = KEY_LEN_MAX;
    struct template t, opens = { .yes = CK_TRUE, .no = CK_FALSE, .aes = CKK_AES };

    begin(&t);
    add_bool(&t, CKA_TOKEN, true);
    add_bool(&t, CKA_PRIVATE, !(key->uses & USE_TRUSTED)); /* an officer makes no private object */
    add(&t, CKA_KEY_TYPE, &t.aes, sizeof t.aes);
    add(&t, CKA_LABEL, key->label, strlen(key->label));
    add(&t, CKA_ID, id, sizeof id);
    add(&t, CKA_VALUE_LEN, &len, sizeof len);
    add_bool(&t, CKA_SENSITIVE, true);
    add_bool(&t, CKA_EXTRACTABLE, false);
    /* What may be changed or copied could be made to decrypt, which reads every key under it. */
    add_bool(&t, CKA_MODIFIABLE, false);
    add_bool(&t, CKA_COPYABLE, false);
    add_uses(&t, key->uses);
    add(&t, CKA_ALLOWED_MECHANISMS, &only, sizeof only);
    if (key->uses & USE_TRUSTED)
        add_bool(&t, CKA_TRUSTED, true);
    if (key->uses & USE_UNWRAP && !key->opens_clear) {
        add_custody(&opens, key->uses & USE_TRUSTED ? USE_LEAVE | USE_TRUSTED : 0);
        add(&t, CKA_UNWRAP_TEMPLATE, opens.at, opens.n * sizeof *opens.at);
    }
    return err_of(m->f->C_GenerateKey(s, &mechanism, t.at, t.n, out));
}

static ljs_err create(token_object *out, struct cryptoki *c, token_session s, const uint8_t *octets, size_t len,
                      unsigned uses)
{
    struct module *m = module_of(c);
    CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ULONG value_len = len;
    struct template t;

    passing(&t, uses);
    if (!octets) {
        add(&t, CKA_VALUE_LEN, &value_len, sizeof value_len);
        return err_of(m->f->C_GenerateKey(s, &mechanism, t.at, t.n, out));
    }
    add(&t, CKA_VALUE, octets, len);
    return err_of(m->f->C_CreateObject(s, t.at, t.n, out));
}

static ljs_err destroy(struct cryptoki *c, token_session s, token_object key)
{
    return err_of(module_of(c)->f->C_DestroyObject(s, key));
}

static ljs_err retire(struct cryptoki *c, token_object key)
{
    struct module *m = module_of(c);
    token_session s;
    ljs_err err = err_of(m->f->C_OpenSession(m->slot, WRITES, NULL, NULL, &s));

    if (err)
        return err;
    err = destroy(c, s, key);
    m->f->C_CloseSession(s);
    return err;
}

/* ---- what is computed ----------------------------------------------------------- */

static ljs_err cmac(uint8_t out[16], struct cryptoki *c, token_session s, token_object key, const uint8_t *in,
                    size_t in_len)
{
    CK_FUNCTION_LIST *f = module_of(c)->f;
    CK_MECHANISM mechanism = { CKM_AES_CMAC, NULL, 0 };
    CK_ULONG len = BLOCK_LEN;
    CK_RV rv = f->C_SignInit(s, &mechanism, key);

    if (rv == CKR_OK)
        rv = f->C_Sign(s, unconst(in), in_len, out, &len);
    return rv == CKR_OK && len != BLOCK_LEN ? LJS_E_CRYPTO : err_of(rv);
}

static ljs_err ecb(uint8_t *out, struct cryptoki *c, token_session s, token_object key, bool decrypt, const uint8_t *in,
                   size_t in_len)
{
    CK_FUNCTION_LIST *f = module_of(c)->f;
    CK_MECHANISM mechanism = { CKM_AES_ECB, NULL, 0 };
    CK_ULONG len = in_len;
    CK_RV rv = decrypt ? f->C_DecryptInit(s, &mechanism, key) : f->C_EncryptInit(s, &mechanism, key);

    if (rv == CKR_OK)
        rv =
            decrypt ? f->C_Decrypt(s, unconst(in), in_len, out, &len) : f->C_Encrypt(s, unconst(in), in_len, out, &len);
    return rv == CKR_OK && len != in_len ? LJS_E_CRYPTO : err_of(rv);
}

static ljs_err derive(token_object *out, struct cryptoki *c, token_session s, token_object root, const uint8_t in[16],
                      unsigned uses)
{
    CK_KEY_DERIVATION_STRING_DATA block = { unconst(in), BLOCK_LEN };
    CK_MECHANISM mechanism = { CKM_AES_ECB_ENCRYPT_DATA, &block, sizeof block };
    CK_ULONG len = KEY_LEN;
    struct template t;

    passing(&t, uses);
    add(&t, CKA_VALUE_LEN, &len, sizeof len);
    return err_of(module_of(c)->f->C_DeriveKey(s, &mechanism, root, t.at, t.n, out));
}

static ljs_err wrap(uint8_t *out, size_t *out_len, struct cryptoki *c, token_session s, token_object kek,
                    token_object key)
{
    CK_MECHANISM mechanism = { CKM_AES_KEY_WRAP, NULL, 0 };
    CK_ULONG len = *out_len;
    CK_RV rv = module_of(c)->f->C_WrapKey(s, &mechanism, kek, key, out, &len);

    *out_len = rv == CKR_OK ? len : 0;
    return err_of(rv);
}

/* Some modules say the same of a blob that was tampered with as of a device that is gone: its session tells. */
static ljs_err unwrap(token_object *out, struct cryptoki *c, token_session s, token_object kek, const uint8_t *in,
                      size_t in_len, unsigned uses)
{
    CK_MECHANISM mechanism = { CKM_AES_KEY_WRAP, NULL, 0 };
    CK_FUNCTION_LIST *f = module_of(c)->f;
    CK_SESSION_INFO info;
    struct template t;
    CK_RV rv;

    passing(&t, uses);
    rv = f->C_UnwrapKey(s, &mechanism, kek, unconst(in), in_len, t.at, t.n, out);
    if ((rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED) && f->C_GetSessionInfo(s, &info) == CKR_OK)
        return LJS_E_CRYPTO;
    /* The storage key may be of another policy than we read when it was opened. */
    return rv == CKR_TEMPLATE_INCONSISTENT ? LJS_E_TOKEN : err_of(rv);
}

/* ---- what a check asks ------------------------------------------------------------ */

static bool has_mechanisms(struct cryptoki *c)
{
    static const struct {
        CK_MECHANISM_TYPE type;
        CK_FLAGS flags;
    } needed[] = {
        { CKM_AES_KEY_GEN, CKF_GENERATE },
        { CKM_AES_ECB, CKF_ENCRYPT | CKF_DECRYPT },
        { CKM_AES_CMAC, CKF_SIGN },
        { CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP },
        { CKM_AES_ECB_ENCRYPT_DATA, CKF_DERIVE },
    };
    struct module *m = module_of(c);
    CK_MECHANISM_INFO info;

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (m->f->C_GetMechanismInfo(m->slot, needed[i].type, &info) != CKR_OK ||
            (info.flags & needed[i].flags) != needed[i].flags)
            return false;
    return true;
}

static bool is_set(struct module *m, token_session s, token_object key, CK_ATTRIBUTE_TYPE type, bool unless_told)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE at = { type, &value, sizeof value };

    return m->f->C_GetAttributeValue(s, key, &at, 1) == CKR_OK ? value == CK_TRUE : unless_told;
}

static bool may(struct cryptoki *c, token_session s, token_object key, unsigned use)
{
    if (use == USE_TRUSTED)
        return is_set(module_of(c), s, key, CKA_TRUSTED, false);
    if (use == USE_LEAVE)
        return is_set(module_of(c), s, key, CKA_EXTRACTABLE, true);
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++)
        if (usages[i].use == use)
            return is_set(module_of(c), s, key, usages[i].type, true);
    return true;
}

static bool is_public(struct cryptoki *c, token_session s, token_object key)
{
    return !is_set(module_of(c), s, key, CKA_PRIVATE, false);
}

static ljs_err read_value(uint8_t out[32], struct cryptoki *c, token_session s, token_object key)
{
    CK_ATTRIBUTE at = { CKA_VALUE, out, KEY_LEN_MAX };

    return err_of(module_of(c)->f->C_GetAttributeValue(s, key, &at, 1));
}

static ljs_err allow(struct cryptoki *c, token_session s, token_object key, unsigned use)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE at = { use == USE_ENCRYPT ? CKA_ENCRYPT : CKA_DECRYPT, &yes, sizeof yes };

    return err_of(module_of(c)->f->C_SetAttributeValue(s, key, &at, 1));
}

static ljs_err copy(token_object *out, struct cryptoki *c, token_session s, token_object key)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE at[] = { { CKA_TOKEN, &no, sizeof no }, { CKA_MODIFIABLE, &yes, sizeof yes } };

    return err_of(module_of(c)->f->C_CopyObject(s, key, at, 2, out));
}

/* Cryptoki fills its texts with spaces. */
static void text(char *out, const CK_UTF8CHAR *in, size_t len)
{
    while (len && (in[len - 1] == ' ' || !in[len - 1]))
        len--;
    memcpy(out, in, len);
    out[len] = '\0';
}

static void describe(ljs_token_report *out, struct cryptoki *c)
{
    struct module *m = module_of(c);
    CK_TOKEN_INFO info;

    if (m->f->C_GetTokenInfo(m->slot, &info) != CKR_OK)
        return;
    text(out->label, info.label, sizeof info.label);
    text(out->model, info.model, sizeof info.model);
    text(out->manufacturer, info.manufacturerID, sizeof info.manufacturerID);
    text(out->serial, info.serialNumber, sizeof info.serialNumber);
}

/* ---- which token ------------------------------------------------------------------ */

static void close_module(struct cryptoki *c)
{
    struct module *m = module_of(c);

    if (m->own) {
        p11_kit_module_finalize(m->own);
        p11_kit_module_release(m->own);
    }
    if (m->all)
        p11_kit_modules_finalize_and_release(m->all);
    free(m);
}

static const struct cryptoki_ops ops = {
    .close = close_module,
    .session = open_session,
    .find = find,
    .generate = generate,
    .create = create,
    .destroy = destroy,
    .retire = retire,
    .cmac = cmac,
    .ecb = ecb,
    .derive = derive,
    .wrap = wrap,
    .unwrap = unwrap,
    .has_mechanisms = has_mechanisms,
    .may = may,
    .is_public = is_public,
    .read = read_value,
    .allow = allow,
    .copy = copy,
    .describe = describe,
};

static bool is_it(P11KitUri *uri, CK_FUNCTION_LIST *f, CK_SLOT_ID slot)
{
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token_info;

    return f->C_GetSlotInfo(slot, &slot_info) == CKR_OK && f->C_GetTokenInfo(slot, &token_info) == CKR_OK &&
           token_info.flags & CKF_TOKEN_INITIALIZED && p11_kit_uri_match_slot_info(uri, &slot_info) &&
           p11_kit_uri_match_token_info(uri, &token_info);
}

/* The one token that the URI describes. */
static ljs_err find_in(struct module *m, P11KitUri *uri, CK_FUNCTION_LIST *f)
{
    CK_SLOT_ID slots[TOKENS_MAX];
    CK_ULONG n = TOKENS_MAX;
    CK_INFO info;

    if (f->C_GetInfo(&info) != CKR_OK || !p11_kit_uri_match_module_info(uri, &info) ||
        f->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return LJS_OK;
    for (CK_ULONG i = 0; i < n; i++)
        if (is_it(uri, f, slots[i])) {
            if (m->f)
                return LJS_E_EXISTS;
            m->f = f;
            m->slot = slots[i];
            /* [softhsm/SoftHSMv2 issue 562] */
            m->is.leaks = !strncmp((const char *)info.manufacturerID, "SoftHSM", 7);
        }
    return LJS_OK;
}

static ljs_err find_token(struct module *m, P11KitUri *uri)
{
    const char *path = p11_kit_uri_get_module_path(uri);
    ljs_err err = LJS_OK;

    p11_kit_be_quiet();
    if (path) {
        m->own = p11_kit_module_load(path, 0);
        if (m->own && p11_kit_module_initialize(m->own) != CKR_OK) {
            p11_kit_module_release(m->own);
            m->own = NULL;
        }
        if (m->own)
            err = find_in(m, uri, m->own);
    } else {
        m->all = p11_kit_modules_load_and_initialize(0);
        for (size_t i = 0; m->all && m->all[i] && !err; i++)
            err = find_in(m, uri, m->all[i]);
    }
    return err ? err : m->f ? LJS_OK : LJS_E_NOTFOUND;
}

static ljs_err read_uri(P11KitUri **out, const char *text_of)
{
    P11KitUri *uri = p11_kit_uri_new();

    *out = NULL;
    if (!uri)
        return LJS_E_NOMEM;
    if (p11_kit_uri_parse(text_of, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri) ||
        p11_kit_uri_get_pin_value(uri)) {
        p11_kit_uri_free(uri);
        return LJS_E_INVAL;
    }
    *out = uri;
    return LJS_OK;
}

static ljs_err take_name(struct cryptoki *c, P11KitUri *uri)
{
    CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);

    if (label && label->ulValueLen >= sizeof c->name)
        return LJS_E_INVAL;
    if (label)
        memcpy(c->name, label->pValue, label->ulValueLen);
    else
        memcpy(c->name, "lorajs", sizeof "lorajs");
    return LJS_OK;
}

ljs_err ljs__cryptoki_open(struct cryptoki **out, const char *uri_text, const uint8_t *pin, size_t pin_len,
                           enum token_login as)
{
    struct module *m;
    P11KitUri *uri = NULL;
    CK_RV rv;
    ljs_err err = read_uri(&uri, uri_text);

    *out = NULL;
    if (err)
        return err;
    if (!(m = calloc(1, sizeof *m))) {
        p11_kit_uri_free(uri);
        return LJS_E_NOMEM;
    }
    m->is.ops = &ops;
    m->flags = as == LOGIN_USER ? CKF_SERIAL_SESSION : WRITES;
    err = take_name(&m->is, uri);
    if (!err)
        err = find_token(m, uri);
    p11_kit_uri_free(uri);
    if (!err)
        err = open_session(&m->login, &m->is);
    if (!err) {
        rv = m->f->C_Login(m->login, as == LOGIN_OFFICER ? CKU_SO : CKU_USER, unconst(pin), pin_len);
        err = rv == CKR_USER_ALREADY_LOGGED_IN ? LJS_OK : err_of(rv);
    }
    ljs__wipe_stack(4096);
    if (err) {
        close_module(&m->is);
        return err;
    }
    *out = &m->is;
    return LJS_OK;
}

ljs_err ljs_token_pin_source(ljs_buf *out, const char *uri_text)
{
    P11KitUri *uri = NULL;
    const char *source;
    ljs_err err = read_uri(&uri, uri_text);

    *out = (ljs_buf){ NULL, 0 };
    if (err)
        return err;
    source = p11_kit_uri_get_pin_source(uri);
    if (source && *source)
        err = ljs_buf_copy(out, (const uint8_t *)source, strlen(source));
    p11_kit_uri_free(uri);
    return err;
}

#else

ljs_err ljs__cryptoki_open(struct cryptoki **out, const char *uri, const uint8_t *pin, size_t pin_len,
                           enum token_login as)
{
    (void)uri, (void)pin, (void)pin_len, (void)as;
    *out = NULL;
    return LJS_E_MISSING;
}

ljs_err ljs_token_pin_source(ljs_buf *out, const char *uri)
{
    (void)uri;
    *out = (ljs_buf){ NULL, 0 };
    return LJS_E_MISSING;
}

#endif
