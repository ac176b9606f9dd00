#include "softhsm.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const modules[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
};

static char folder[200], uri[256];
static const char *module;

static CK_FUNCTION_LIST *load(void)
{
    CK_FUNCTION_LIST *f = p11_kit_module_load(module, 0);

    if (f && p11_kit_module_initialize(f) != CKR_OK) {
        p11_kit_module_release(f);
        return NULL;
    }
    return f;
}

static void unload(CK_FUNCTION_LIST *f)
{
    p11_kit_module_finalize(f);
    p11_kit_module_release(f);
}

/* A slot with a token, or one that waits for it. */
static bool slot_of(CK_SLOT_ID *out, CK_FUNCTION_LIST *f, bool initialized)
{
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_TOKEN_INFO info;

    if (f->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return false;
    for (CK_ULONG i = 0; i < n; i++)
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && !(info.flags & CKF_TOKEN_INITIALIZED) == !initialized) {
            *out = slots[i];
            return true;
        }
    return false;
}

static bool log_in(CK_SESSION_HANDLE *out, CK_FUNCTION_LIST *f, CK_USER_TYPE as, const char *pin)
{
    CK_UTF8CHAR octets[16];
    CK_SLOT_ID slot;
    CK_RV rv;

    memcpy(octets, pin, strlen(pin));
    if (!slot_of(&slot, f, true) ||
        f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, out) != CKR_OK)
        return false;
    rv = f->C_Login(*out, as, octets, strlen(pin));
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN;
}

static bool init_token(void)
{
    CK_UTF8CHAR label[32], so_pin[] = SOFTHSM_SO_PIN, pin[] = SOFTHSM_PIN;
    CK_FUNCTION_LIST *f = load();
    CK_SESSION_HANDLE s;
    CK_SLOT_ID slot;
    bool good;

    if (!f)
        return false;
    memset(label, ' ', sizeof label);
    memcpy(label, "lorajs-test", 11);
    good = slot_of(&slot, f, false) && f->C_InitToken(slot, so_pin, sizeof so_pin - 1, label) == CKR_OK &&
           log_in(&s, f, CKU_SO, SOFTHSM_SO_PIN) && f->C_InitPIN(s, pin, sizeof pin - 1) == CKR_OK;
    unload(f);
    return good;
}

const char *softhsm_begin(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[256];
    FILE *conf;

    for (size_t i = 0; i < sizeof modules / sizeof *modules && !module; i++)
        if (!access(modules[i], R_OK))
            module = modules[i];
    if (!module) {
        puts("no SoftHSM on this machine: what needs a token is left out (scripts/install-deps)");
        return NULL;
    }
    softhsm_end();
    snprintf(folder, sizeof folder, "%s/lorajs-softhsm.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/softhsm2.conf", folder);
    if (!(conf = fopen(path, "w")))
        abort();
    fprintf(conf, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", folder);
    fclose(conf);
    setenv("SOFTHSM2_CONF", path, 1);
    if (!init_token())
        abort();
    snprintf(uri, sizeof uri, "pkcs11:token=lorajs-test?module-path=%s", module);
    return uri;
}

const char *softhsm_folder(void)
{
    return folder;
}

void softhsm_end(void)
{
    char command[256];

    if (!folder[0])
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command))
        puts("the token stayed behind");
    folder[0] = '\0';
}

static CK_FUNCTION_LIST *functions_of(void *library)
{
    union {
        void *symbol;
        CK_C_GetFunctionList get;
    } list = { library ? dlsym(library, "C_GetFunctionList") : NULL };
    CK_FUNCTION_LIST *f = NULL;

    if (!list.symbol || list.get(&f) != CKR_OK)
        abort();
    return f;
}

CK_FUNCTION_LIST *softhsm_functions(void)
{
    return functions_of(dlopen(module, RTLD_NOW | RTLD_LOCAL));
}

/* Past p11-kit, which lets nobody close the sessions of others. */
void softhsm_reset(void)
{
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    CK_FUNCTION_LIST *f = functions_of(library);
    CK_SLOT_ID slot;

    if (!slot_of(&slot, f, true) || f->C_CloseAllSessions(slot) != CKR_OK)
        abort();
    dlclose(library);
}

/* ---- the thief ------------------------------------------------------------------ */

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;

#define ATTRIBUTE(type, value)                                                                                         \
    {                                                                                                                  \
        type, &(value), sizeof(value)                                                                                  \
    }

bool thief_makes_numbered_key(const char *label, uint8_t number)
{
    CK_FUNCTION_LIST *f = load();
    CK_MECHANISM generate = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ULONG len = 32;
    CK_BYTE id[] = { 0, number };
    char text[64];
    CK_ATTRIBUTE template[] = {
        ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_SENSITIVE, yes),      ATTRIBUTE(CKA_EXTRACTABLE, no),
        ATTRIBUTE(CKA_WRAP, yes),  ATTRIBUTE(CKA_UNWRAP, yes),         ATTRIBUTE(CKA_VALUE_LEN, len),
        ATTRIBUTE(CKA_ID, id),     { CKA_LABEL, text, strlen(label) },
    };
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    bool made;

    strcpy(text, label);
    made = f && log_in(&s, f, CKU_USER, SOFTHSM_PIN) &&
           f->C_GenerateKey(s, &generate, template, sizeof template / sizeof *template, &key) == CKR_OK;
    if (f)
        unload(f);
    return made;
}

bool thief_makes_open_key(const char *label)
{
    return thief_makes_numbered_key(label, 1);
}

unsigned long thief_unwraps(uint8_t out[16], const char *label, const uint8_t *wrapped, size_t wrapped_len)
{
    CK_FUNCTION_LIST *f = load();
    CK_MECHANISM unwrap = { CKM_AES_KEY_WRAP, NULL, 0 };
    char text[64];
    CK_BYTE blob[64];
    CK_ATTRIBUTE which[] = { ATTRIBUTE(CKA_CLASS, secret), { CKA_LABEL, text, strlen(label) } };
    CK_ATTRIBUTE clear[] = {
        ATTRIBUTE(CKA_CLASS, secret), ATTRIBUTE(CKA_KEY_TYPE, aes),    ATTRIBUTE(CKA_TOKEN, no),
        ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_EXTRACTABLE, yes),
    };
    CK_ATTRIBUTE value = { CKA_VALUE, out, 16 };
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE kek, key;
    CK_ULONG n = 0;
    CK_RV rv = CKR_GENERAL_ERROR;

    strcpy(text, label);
    memcpy(blob, wrapped, wrapped_len);
    if (f && log_in(&s, f, CKU_USER, SOFTHSM_PIN) && f->C_FindObjectsInit(s, which, 2) == CKR_OK) {
        f->C_FindObjects(s, &kek, 1, &n);
        f->C_FindObjectsFinal(s);
    }
    if (n)
        rv = f->C_UnwrapKey(s, &unwrap, kek, blob, wrapped_len, clear, sizeof clear / sizeof *clear, &key);
    if (n && rv == CKR_OK)
        rv = f->C_GetAttributeValue(s, key, &value, 1);
    if (f)
        unload(f);
    return rv;
}
