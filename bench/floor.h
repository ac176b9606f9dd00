/* floor.h -- what the floors share: a join put into blocks for whatever AES there is, and being a worker.
 * For processors that have the least significant octet first. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "worker.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

struct answer {
    uint8_t accept[33];
    uint8_t key[4][16]; /* NwkSKey or FNwkSIntKey, SNwkSIntKey, NwkSEncKey, AppSKey */
    uint8_t wrapped[4][24];
};

/* ---- into blocks ------------------------------------------------------------ */

struct parsed {
    uint64_t join_eui, dev_eui;
    uint16_t dev_nonce;
};

/* A join-request, and of the device that the caller has looked up. */
INLINE bool parse(struct parsed *out, const uint8_t phy[23])
{
    memcpy(&out->join_eui, phy + 1, 8);
    memcpy(&out->dev_eui, phy + 9, 8);
    memcpy(&out->dev_nonce, phy + 17, 2);
    return phy[0] == 0;
}

/* [L2 1.0.4 §6.2.6]  MHDR, JoinNonce, NetID, DevAddr, DLSettings, RxDelay, CFList, and room for the MIC */
INLINE void accept_of(uint8_t out[33], const struct fixture *f, uint8_t dl_settings)
{
    uint32_t join_nonce = (uint32_t)f->join_nonce[0] << 16 | (uint32_t)f->join_nonce[1] << 8 | f->join_nonce[2];
    uint32_t net_id = (uint32_t)f->net_id[0] << 16 | (uint32_t)f->net_id[1] << 8 | f->net_id[2];
    uint32_t dev_addr;

    out[0] = 0x20;
    memcpy(out + 1, &join_nonce, 4);
    memcpy(out + 4, &net_id, 4);
    memcpy(&dev_addr, f->dev_addr, 4);
    dev_addr = __builtin_bswap32(dev_addr);
    memcpy(out + 7, &dev_addr, 4);
    out[11] = dl_settings;
    out[12] = f->rx_delay;
    memcpy(out + 13, f->cf_list, 16);
}

/* [L2 1.1 §6.2.3]  JoinReqType | JoinEUI | DevNonce | accept */
INLINE void before_accept(uint8_t out[48], const struct parsed *p, const uint8_t accept[33])
{
    out[0] = 0xff;
    memcpy(out + 1, &p->join_eui, 8);
    memcpy(out + 9, &p->dev_nonce, 2);
    memcpy(out + 11, accept, 29);
}

/* [RFC 4493 §2.4]  up to 15 octets, then 0x80 and zeros */
INLINE void pad(uint8_t block[16], const uint8_t *at, size_t len)
{
    memset(block, 0, 16);
    memcpy(block, at, len);
    block[len] = 0x80;
}

/* What a key is derived from, but for the number of the key, which is the first octet. */
struct words {
    uint64_t low, high;
};

/* [L2 1.1 §6.1.2.2]  number | JoinNonce | JoinEUI | DevNonce */
INLINE struct words session_b(const struct fixture *f, const struct parsed *p)
{
    return (struct words){ be(f->join_nonce, 3) << 8 | p->join_eui << 32,
                           p->join_eui >> 32 | (uint64_t)p->dev_nonce << 32 };
}

/* [L2 1.1 §6.1.1.4]  number | DevEUI */
INLINE struct words device(const struct parsed *p)
{
    return (struct words){ p->dev_eui << 8, p->dev_eui >> 56 };
}

/* ---- as a worker, of these two ---------------------------------------------- */

static bool begin(int which);
static bool joined(int which, struct answer *out, const struct fixture *f);

static void pass(int which, size_t first, size_t last)
{
    static _Thread_local struct answer answer; /* keys are cold, where the answer goes is not */

    for (size_t i = first; i < last; i++)
        MUST(joined(which, &answer, &fixtures->join[i]));
}

static bool check(int which, const struct fixture *f, size_t i)
{
    struct answer out;

    (void)i;
    memset(&out, 0, sizeof out);
    if (!joined(which, &out, f) || memcmp(out.accept, which == 'a' ? f->accept_a : f->accept_b, 33) != 0)
        return false;
    if (which == 'a')
        return !memcmp(out.key[0], f->nwk_s_key_a, 16) && !memcmp(out.key[3], f->app_s_key_a, 16);
    if (which == 'b')
        return !memcmp(out.key[0], f->f_nwk_s_int_b, 16) && !memcmp(out.key[1], f->s_nwk_s_int_b, 16) &&
               !memcmp(out.key[2], f->nwk_s_enc_b, 16) && !memcmp(out.key[3], f->app_s_key_b, 16);
    return !memcmp(out.wrapped[0], f->f_nwk_s_int_c, 24) && !memcmp(out.wrapped[1], f->s_nwk_s_int_c, 24) &&
           !memcmp(out.wrapped[2], f->nwk_s_enc_c, 24) && !memcmp(out.wrapped[3], f->app_s_key_c, 24);
}

enum { WORKS = 3 };

static const struct work works[WORKS] = {
    { .name = "a", .which = 'a', .begin = begin, .check = check, .pass = pass },
    { .name = "b", .which = 'b', .begin = begin, .check = check, .pass = pass },
    { .name = "c", .which = 'c', .begin = begin, .check = check, .pass = pass },
};

#endif
