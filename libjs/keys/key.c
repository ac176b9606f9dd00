#include "keys/ring_inside.h"

#include "base/cursor.h"

#include <pthread.h>

/* Keys that everybody knows because a document or the example of a device stack prints
 * them; runs and repetitions are found without a table. */
static const struct {
    uint8_t len, octets[KEY_LEN_MAX];
} published[] = {
    /* FIPS 197 App. A.1, SP 800-38A App. F, RFC 4493 §4; the AppKey and NwkKey that LoRaMac-node and STM32CubeWL ship
     */
    { 16, { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c } },
    /* FIPS 197 App. A.2, SP 800-38A App. F */
    { 24, { 0x8e, 0x73, 0xb0, 0xf7, 0xda, 0x0e, 0x64, 0x52, 0xc8, 0x10, 0xf3, 0x2b,
            0x80, 0x90, 0x79, 0xe5, 0x62, 0xf8, 0xea, 0xd2, 0x52, 0x2c, 0x6b, 0x7b } },
    /* FIPS 197 App. A.3, SP 800-38A App. F */
    { 32, { 0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
            0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4 } },
    /* appKey in the LoRaWAN examples of the Heltec ESP32 Arduino library */
    { 16, { 0x74, 0xd6, 0x6e, 0x63, 0x45, 0x82, 0x48, 0x27, 0xfe, 0xc5, 0xb7, 0x70, 0xba, 0x2b, 0x50, 0x45 } },
    /* appKey in the LoRaWAN examples of the Heltec CubeCell Arduino library */
    { 16, { 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x66, 0x01 } },
    /* nodeAppKey in the examples of beegee-tokyo/SX126x-Arduino and RAKwireless WisBlock */
    { 16, { 0x2b, 0x84, 0xe0, 0xb0, 0x9b, 0x68, 0xe5, 0xcb, 0x42, 0x17, 0x6f, 0xe7, 0x53, 0xdc, 0xee, 0x79 } },
    /* the join-accept explained in anthonykirby/lora-packet issue 10, in many tutorials since */
    { 16, { 0xb6, 0xb5, 0x3f, 0x4a, 0x16, 0x8a, 0x7a, 0x88, 0xbd, 0xf7, 0xea, 0x13, 0x5c, 0xe9, 0xcf, 0xca } },
};

static bool alive(const ljs_key *key)
{
    return key->process == ljs__process();
}

/* ---- where they lie: side by side, since a guarded page for each costs 28 us, and a limit on locked
 * memory is soon reached ---- */

enum { AREA_KEYS = 63 }; /* so that an area is a page of 4096 octets */

struct key_area {
    struct ljs_key key[AREA_KEYS];
    uint64_t used; /* a bit for each */
    struct key_area *next, *before;
};

_Static_assert(sizeof(struct key_area) <= 4096 && sizeof(struct key_area) % BLOCK_LEN == 0, "a page, and aligned");

#define ALL_USED (UINT64_MAX >> 1)

static struct {
    pthread_mutex_t lock;
    struct key_area *roomy; /* those with a place */
} areas = { PTHREAD_MUTEX_INITIALIZER, NULL };

static void before_fork(void)
{
    pthread_mutex_lock(&areas.lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&areas.lock);
}

static void after_fork_child(void)
{
    areas.roomy = NULL; /* memory locks are not inherited: the child makes areas of its own */
    pthread_mutex_unlock(&areas.lock);
}

static ljs_err init_result;

static void init(void)
{
    init_result = ljs__init();
    if (!init_result && pthread_atfork(before_fork, after_fork_parent, after_fork_child))
        init_result = LJS_E_NOMEM;
}

static void link_area(struct key_area *area)
{
    area->before = NULL;
    area->next = areas.roomy;
    if (area->next)
        area->next->before = area;
    areas.roomy = area;
}

static void unlink_area(struct key_area *area)
{
    if (area->before)
        area->before->next = area->next;
    else
        areas.roomy = area->next;
    if (area->next)
        area->next->before = area->before;
}

/* NULL when there is no locked memory. */
static ljs_key *take_place(void)
{
    struct key_area *area = areas.roomy;
    ljs_key *key;
    int i;

    if (!area) {
        if (!(area = ljs__secret_alloc(sizeof *area)))
            return NULL;
        link_area(area);
    }
    i = __builtin_ctzll(~area->used);
    area->used |= UINT64_C(1) << i;
    if (area->used == ALL_USED)
        unlink_area(area);
    key = &area->key[i];
    key->area = area;
    return key;
}

/* An empty area stays while it is the only one with a place. */
static void give_place(ljs_key *key)
{
    struct key_area *area = key->area;
    ptrdiff_t i = key - area->key;

    ljs__wipe(key, sizeof *key);
    if (area->used == ALL_USED)
        link_area(area);
    area->used &= ~(UINT64_C(1) << i);
    if (area->used || (area == areas.roomy && !area->next))
        return;
    unlink_area(area);
    ljs__secret_free(area);
}

ljs_err ljs__key_new(ljs_key **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    *out = NULL;
    if (pthread_once(&once, init))
        return LJS_E_CRYPTO;
    if (init_result)
        return init_result;
    pthread_mutex_lock(&areas.lock);
    *out = take_place();
    pthread_mutex_unlock(&areas.lock);
    if (!*out)
        return LJS_E_NOMEM;
    (*out)->process = ljs__process();
    return LJS_OK;
}

void ljs_key_free(ljs_key *key)
{
    if (!key)
        return;
    if (!alive(key)) { /* in a child the areas are the parent's: the octets of the copy alone are wiped */
        ljs__wipe(key->octets, sizeof key->octets);
        return;
    }
    pthread_mutex_lock(&areas.lock);
    give_place(key);
    pthread_mutex_unlock(&areas.lock);
}

/* ---- in and out ---- */

ljs_err ljs_key_import(ljs_key **out, const uint8_t *in, size_t in_len)
{
    ljs_err err;

    *out = NULL;
    if (!is_key_len(in_len))
        return LJS_E_INVAL;
    err = ljs__key_new(out);
    if (err)
        return err;
    memcpy((*out)->octets, in, in_len);
    (*out)->len = in_len;
    return LJS_OK;
}

ljs_err ljs_key_generate(ljs_key **out, size_t len)
{
    ljs_err err;

    *out = NULL;
    if (!is_key_len(len))
        return LJS_E_INVAL;
    err = ljs__key_new(out);
    if (err)
        return err;
    ljs__random((*out)->octets, len);
    (*out)->len = len;
    return LJS_OK;
}

ljs_err ljs_key_export(ljs_buf *out, const ljs_key *key)
{
    ljs_err err = LJS_E_STATE;

    *out = (ljs_buf){ NULL, 0 };
    if (alive(key))
        err = ljs_buf_copy(out, key->octets, key->len);
    ljs__public(out->data, out->len);
    return err;
}

size_t ljs_key_len(const ljs_key *key)
{
    return key->len;
}

/* Does every octet equal the one `period` before it?  No early exit: a good key answers
 * in the same time whatever it is. */
static bool repeats(const ljs_key *key, size_t period)
{
    uint8_t differ = 0;

    for (size_t i = period; i < key->len; i++)
        differ |= key->octets[i] ^ key->octets[i - period];
    return !differ;
}

static bool is_run(const ljs_key *key)
{
    uint8_t step = (uint8_t)(key->octets[1] - key->octets[0]), differ = 0;

    for (size_t i = 1; i < key->len; i++)
        differ |= (uint8_t)(key->octets[i] - key->octets[i - 1]) ^ step;
    return !differ;
}

ljs_err ljs_key_check(const ljs_key *key)
{
    bool weak = false;

    if (!alive(key))
        return LJS_E_STATE;
    for (size_t period = 1; period <= 8; period++)
        weak |= repeats(key, period);
    weak |= is_run(key);
    for (size_t i = 0; i < COUNT(published); i++)
        weak |= key->len == published[i].len && ljs__equal(key->octets, published[i].octets, key->len);
    ljs__public(&weak, sizeof weak);
    return weak ? LJS_E_WEAK : LJS_OK;
}
