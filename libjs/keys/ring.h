/* ring.h -- the keys of one step, by id.
 *
 * A ring is a guarded page of slots and the cipher handles that go with it.  A step
 * takes one from the pool, loads what it needs, computes in ids only, and gives it
 * back; giving back wipes every slot and every key schedule.  No function here lets key
 * octets out but the envelope in clear, ljs__vault_fingerprint() (keyed) and
 * ljs__ring_key() (into a handle).
 *
 * What a vault in a token opens into a ring stays in the token (token.h): the slot has its
 * name there.  Everything below computes with such a slot as with any other, but neither of
 * those two gives it away: LJS_E_KEK, LJS_E_INSIDE. */
#ifndef LJS_KEYS_RING_H
#define LJS_KEYS_RING_H

#include <lorajs/keys.h>

#include <stdbool.h>

struct ring;

enum key_id {
    KEY_NONE = 0,
    KEY_NWK, /* root keys of the device: NwkKey, or the one root key of 1.0.x */
    KEY_APP,
    KEY_GEN_APP,
    KEY_REKEY,
    KEY_JS_INT,
    KEY_JS_ENC,
    KEY_F_NWK_S_INT, /* also NwkSKey */
    KEY_S_NWK_S_INT,
    KEY_NWK_S_ENC,
    KEY_APP_S,
    KEY_NS_KEK,
    KEY_AS_KEK,
    KEY_WORK, /* for whatever a single function needs */
    KEY_WORK2,
    KEY_IDS
};

/* From the pool, empty.  LJS_E_NOMEM, LJS_E_CRYPTO. */
ljs_err ljs__ring_take(struct ring **out);
void ljs__ring_give(struct ring *ring); /* NULL is taken */

bool ljs__ring_has(const struct ring *ring, enum key_id id);
bool ljs__ring_inside(const struct ring *ring, enum key_id id); /* a token holds it: its octets are not here */
void ljs__ring_drop(struct ring *ring, enum key_id id);
void ljs__ring_move(struct ring *ring, enum key_id to, enum key_id from); /* `from` is empty after */

/* Between handle and slot.  LJS_E_STATE: a handle of before fork(). */
ljs_err ljs__ring_load(struct ring *ring, enum key_id id, const ljs_key *key);
ljs_err ljs__ring_key(ljs_key **out, const struct ring *ring, enum key_id id);

/* Everything that computes under a slot: LJS_E_NOKEY when it is empty, LJS_E_INVAL when LoRaWAN
 * wants 16 octets and it has more.  The schedule of the last slot used stays in the handle, so
 * what is under one key comes cheapest in a row. */

/* AES-ECB of whole blocks, in place allowed.  in_len is a multiple of 16. */
ljs_err ljs__encrypt(struct ring *ring, enum key_id id, uint8_t *out, const uint8_t *in, size_t in_len);
ljs_err ljs__decrypt(struct ring *ring, enum key_id id, uint8_t *out, const uint8_t *in, size_t in_len);
/* [RFC 4493], whole; callers take the first four octets as MIC. */
ljs_err ljs__cmac(struct ring *ring, enum key_id id, uint8_t out[16], const uint8_t *in, size_t in_len);

/* One row of the derivation table, from whatever root the table names for it; the caller
 * has the root in its slot.  For keys other than those of a device's session, `to` and
 * `root` are the caller's choice. */
ljs_err ljs__derive(struct ring *ring, enum key_id to, enum key_id root, const ljs_derivation *what);
/* All session keys of a scheme at once, independent blocks gathered:
 * LJS_SCHEME_1_0: KEY_F_NWK_S_INT (= S_NWK_S_INT = NWK_S_ENC, all three filled), KEY_APP_S from KEY_NWK.
 * LJS_SCHEME_1_1: the three from KEY_NWK, KEY_APP_S from KEY_APP.
 * what->name is not looked at. */
ljs_err ljs__derive_session(struct ring *ring, const ljs_derivation *what);
/* Of the scheme 1.1, the key that is not from KEY_NWK. */
ljs_err ljs__derive_app(struct ring *ring, const ljs_derivation *what);
/* KEY_JS_INT and KEY_JS_ENC from KEY_NWK. */
ljs_err ljs__derive_js(struct ring *ring, ljs_eui dev_eui);

/* Check the MIC of a whole uplink frame (its last four octets).  LJS_E_MIC. */
ljs_err ljs__frame_check(struct ring *ring, enum key_id id, const uint8_t *in, size_t in_len);
/* The same of a join-request, under KEY_NWK; and in the same calls, if the MIC is its, what a join derives of that key:
 * all session keys of LJS_SCHEME_1_0; KEY_JS_INT and the session's three of LJS_SCHEME_1_1, to which ljs__derive_app()
 * adds the fourth.  what->name is not looked at.  LJS_E_INSIDE: in a token nothing is gained by it. */
ljs_err ljs__join_check(struct ring *ring, const uint8_t *in, size_t in_len, const ljs_derivation *what);
/* MIC and encrypt an accept into phy: 17 or 33 octets. */
ljs_err ljs__accept_seal(struct ring *ring, uint8_t phy[LJS_ACCEPT_MAX], size_t *phy_len, const ljs_accept *accept,
                         const ljs_accept_of *of, enum key_id mic_key, enum key_id enc_key);

/* A slot as envelope: wrapped under `kek`, labelled; or in clear when kek is KEY_NONE.
 * Several at once, so that the wraps can be gathered: ids[i] into out[i], which is all zero before, and on error. */
ljs_err ljs__ring_envelopes(ljs_envelope *const *out, struct ring *ring, const enum key_id *ids, size_t n,
                            enum key_id kek, const char *kek_label);

/* [RFC 3394]  16, 24 or 32 octets that were wrapped under `kek`, into a slot.  LJS_E_SEAL: not wrapped by it. */
ljs_err ljs__ring_unwrap(struct ring *ring, enum key_id to, enum key_id kek, const uint8_t *in, size_t in_len);

#endif
