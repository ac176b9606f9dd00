/** @file device.h
 *  The device record: what the Join Server remembers of one end device, as one string
 *  of octets that is the caller's to keep.
 *
 *  A record is made by ljs_device_make(), changed by the steps of this header and of
 *  join.h, each of which takes a record and gives the next one, and read by
 *  ljs_device_read() without any key.  Root keys are in it, sealed under the vault;
 *  session keys are not: a session is kept as the inputs it is derived from.  A record
 *  ends in a keyed tag over all of it, which every step checks before it believes a
 *  field; reading checks no tag, since it has no key.
 *
 *  No I/O and no clock here: whoever calls saves the new record and brings the time. */
#ifndef LORAJS_DEVICE_H
#define LORAJS_DEVICE_H

#include <lorajs/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

/** LoRaWAN versions, as numbers that compare. */
typedef enum ljs_mac {
    LJS_MAC_1_0_0 = 0x0100,
    LJS_MAC_1_0_1 = 0x0101,
    LJS_MAC_1_0_2 = 0x0102,
    LJS_MAC_1_0_3 = 0x0103,
    LJS_MAC_1_0_4 = 0x0104, /**< from here on DevNonce is a counter */
    LJS_MAC_1_1 = 0x0110,
} ljs_mac;

/** "1.0", "1.0.0" .. "1.0.4", "1.1", "1.1.0".  @return ::LJS_E_INVAL for any other text */
LJS_MUST ljs_err ljs_mac_parse(ljs_mac *out, const char *text);
/** "1.0.3", "1.1"; "?" for a number that is none. */
LJS_API const char *ljs_mac_text(ljs_mac mac);

/** What may become of a device. */
typedef enum ljs_state {
    LJS_STATE_FRESH = 0,   /**< provisioned, has no session */
    LJS_STATE_JOINED = 1,  /**< has at least one session */
    LJS_STATE_BLOCKED = 2, /**< by an operator: nothing is answered but HomeNSReq */
    LJS_STATE_REMOVED = 3, /**< a tombstone: keeps nonces so that a re-import cannot repeat them */
} ljs_state;

enum {
    LJS_JOIN_EUIS_MAX = 4, /**< JoinEUIs of one device */
    LJS_SESSIONS_MAX = 9,  /**< the newest eight, and the last one proven */
    LJS_HAS_NWK_KEY = 1,   /**< bits of ljs_device.keys */
    LJS_HAS_APP_KEY = 2,
    LJS_HAS_GEN_APP_KEY = 4,
    LJS_HAS_REKEY_KEY = 8,
};

/** A record's public half. */
typedef struct ljs_device {
    size_t struct_size;       /**< sizeof(ljs_device) where the struct is an argument */
    ljs_eui dev_eui;          /**< whose record it is */
    ljs_eui join_eui;         /**< the first of its JoinEUIs, see ljs_device_join_eui() */
    ljs_mac mac;              /**< the highest LoRaWAN version the device speaks */
    ljs_state state;          /**< changed by the steps alone */
    uint32_t next_join_nonce; /**< 1 .. 0x1000000; the last means used up */
    uint32_t generation;      /**< of the store when it last gave a JoinNonce, see ljs_device_raise() */
    uint16_t epoch;           /**< of the root keys; grows when they are replaced */
    uint8_t keys;             /**< LJS_HAS_... */
    uint8_t require_1_1;      /**< refuses activation by the rules of 1.0 though it speaks 1.1 */
    uint8_t exposed;          /**< its root keys have left, or come in, in a parcel (parcel.h): others had them */
    uint8_t moved;            /**< blocked, since another Join Server answers for it: ::LJS_DEVICE_MOVE */
    uint8_t has_home_net_id;  /**< 1: home_net_id is set */
    uint8_t has_home_ns_id;   /**< 1: home_ns_id is set */
    uint8_t has_x25519;       /**< 1: x25519_public_key is set */
    uint8_t join_euis;        /**< how many JoinEUIs */
    uint8_t sessions;         /**< how many sessions */
    ljs_netid home_net_id;    /**< the one network that may activate it */
    ljs_eui home_ns_id;       /**< its NSID, where the home network has several */
    char ns_kek_label[LJS_LABEL_MAX]; /**< the KEK for network keys; "" for the peer's own */
    char as_kek_label[LJS_LABEL_MAX]; /**< the KEK for AppSKey; "" for that of the peer that is as_id */
    char as_id[LJS_LABEL_MAX];        /**< the application server that may ask for AppSKey; "" for none */
    uint8_t x25519_public_key[32];    /**< of the device's secure element, for rekeying */
    char lot[LJS_LABEL_MAX];          /**< the lot (lot.h) that its root keys come of; "" for keys of its own */
} ljs_device;

/** What belongs to a device under one JoinEUI. */
typedef struct ljs_join_eui {
    ljs_eui join_eui;         /**< the JoinEUI */
    int32_t dev_nonce;        /**< last DevNonce accepted, -1 for none */
    uint32_t dev_nonces_used; /**< how many are known used; counted before 1.0.4 only */
    int32_t rj_count1;        /**< last RJcount1 accepted, -1 for none */
} ljs_join_eui;

/** A session: the inputs of its keys, never a key. */
typedef struct ljs_session {
    uint8_t session_key_id[16]; /**< by which servers name it */
    ljs_frame_kind kind;        /**< of the request that made it */
    ljs_scheme scheme;          /**< by whose rules its keys are derived */
    ljs_mac mac;                /**< MACVersion of the request */
    ljs_eui join_eui;           /**< of the request */
    uint32_t join_nonce;        /**< of the join-accept */
    uint16_t nonce;             /**< DevNonce, RJcount0 or RJcount1 of the request */
    uint16_t epoch;             /**< of the root keys it stands on */
    ljs_netid net_id;           /**< of the network server */
    ljs_devaddr dev_addr;       /**< as it stands in the join-accept */
    uint8_t dl_settings;        /**< as it stands in the join-accept */
    uint8_t rx_delay;           /**< 0..15 */
    uint8_t has_cf_list;        /**< 1: cf_list is set */
    uint8_t proven;             /**< an AppSKeyReq or a rejoin MIC showed it to be in use */
    uint8_t cf_list[16];        /**< zero when there is none */
    int32_t rj_count0;          /**< last RJcount0 accepted under it, -1 for none */
    int64_t at;                 /**< ljs_join_req.now of the request */
} ljs_session;

/** The root keys of a device; NULL where it has none.  For LoRaWAN 1.0.x the one root
 *  key is `nwk` where present, else `app`; a 1.1 device needs both. */
typedef struct ljs_root_keys {
    const ljs_key *nwk;     /**< NwkKey */
    const ljs_key *app;     /**< AppKey */
    const ljs_key *gen_app; /**< GenAppKey of LoRaWAN 1.0.x, for multicast */
    const ljs_key *rekey;   /**< for the replacement of the others over the air */
} ljs_root_keys;

enum {
    LJS_MAKE_REPLACE_KEYS = 1, /**< other root keys than the record has begin a new epoch; DevNonces and RJcount1
                                *   start afresh when the one that signs join-requests is another */
    LJS_MAKE_ALLOW_WEAK = 2,   /**< take keys that ljs_key_check() calls weak */
    LJS_MAKE_KEEP = 4,         /**< what is set of a device that is there stays: of ljs_device only root keys, the next
                                *   JoinNonce and the version are looked at, and mac 0 is the version that it has */
};

/** Make the record of a new device, or bring an existing one or a tombstone up to date:
 *  JoinNonce is never lowered, used DevNonces and counters are only ever added to while
 *  the root key that signs join-requests is the same, sessions stay.
 *  @param device  state, generation, exposed, moved, epoch, join_euis, sessions are not looked at;
 *                 next_join_nonce 0 means 1; with ::LJS_MAKE_KEEP mac 0 of a new device means 1.0.4; keys says which
 * come of the lot where there is one, 0 meaning NwkKey and AppKey for LoRaWAN 1.1, AppKey before; else it is not looked
 * at
 *  @param keys    none at all for a device of a lot
 *  @param dev_nonce  last DevNonce used elsewhere, -1 for none (1.0.4 and later)
 *  @param in      DevNonces used elsewhere, two octets each, little-endian; NULL for none (before 1.0.4)
 *  @param record  the device's record or tombstone; NULL for none
 *  @return ::LJS_E_INVAL (ranges; missing root key), ::LJS_E_WEAK, ::LJS_E_EXISTS when
 *  the record is that of a live device with other root keys and flags do not say
 *  ::LJS_MAKE_REPLACE_KEYS, ::LJS_E_LOT when the vault knows no such lot, ::LJS_E_SEAL, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_device_make(ljs_buf *out_record, ljs_vault *vault, const ljs_device *device,
                                 const ljs_root_keys *keys, unsigned flags, int32_t dev_nonce, const uint8_t *in,
                                 size_t in_len, const uint8_t *record, size_t record_len);

/** Make the record of a device that is known by who it is, and of whose root keys there are none yet: that of a secure
 *  element, by its manifest (chip.h).  What asks for its keys is ::LJS_E_NOKEY, a join too, until ljs_device_make() or
 *  ljs_parcel_land() brings the first.
 *  @param mac  what it is taken for until then
 *  @return ::LJS_E_INVAL for a version that is none */
LJS_MUST ljs_err ljs_device_make_keyless(ljs_buf *out_record, ljs_vault *vault, ljs_eui dev_eui, ljs_eui join_eui,
                                         ljs_mac mac);

/** One more JoinEUI for the device, with nonces of its own; the same again changes nothing
 *  (out_record is then a copy).  @return ::LJS_E_INVAL when there are ::LJS_JOIN_EUIS_MAX */
LJS_MUST ljs_err ljs_device_add_join_eui(ljs_buf *out_record, ljs_vault *vault, ljs_eui join_eui, const uint8_t *record,
                                         size_t record_len);

/** Read a record's public half; needs no vault, checks no tag.
 *  @return ::LJS_E_SEAL for octets that are no record, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_device_read(ljs_device *out, const uint8_t *record, size_t record_len);
/** The i-th JoinEUI.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_device_join_eui(ljs_join_eui *out, unsigned i, const uint8_t *record, size_t record_len);
/** The i-th session, newest first.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_device_session(ljs_session *out, unsigned i, const uint8_t *record, size_t record_len);
/** The DevNonces known used under the i-th JoinEUI, rising, two octets each, little-endian. */
LJS_MUST ljs_err ljs_device_dev_nonces(ljs_buf *out, unsigned i, const uint8_t *record, size_t record_len);

/** The record as a store of this generation has it.  A store that is restored from a backup has
 *  forgotten JoinNonces that it gave; so its generation (backup.h) rises by more than one device
 *  can have been given, and the next JoinNonce of each record by as much, at its first step there:
 *  ljs_join() does that itself, by ljs_join_req.generation.  Nothing else changes.
 *  @param generation  as the store has it; a record of this or a later one stays as it is
 *                     (out_record is then a copy) */
LJS_MUST ljs_err ljs_device_raise(ljs_buf *out_record, ljs_vault *vault, uint32_t generation, const uint8_t *record,
                                  size_t record_len);

/** Check the tag, without a change.  @return ::LJS_E_SEAL, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_device_check(ljs_vault *vault, const uint8_t *record, size_t record_len);

/** Bring a record under the newest version of the vault's master key (master.h): its tag, and each set of
 *  root keys in it.  All of them are opened, so that success says that the record is whole.
 *  @param out_record  empty when there is nothing to do: all is under that version already
 *  @return ::LJS_E_SEAL when the vault has not the version that a part is under, or a part was
 *  tampered with; ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_device_rewrap(ljs_buf *out_record, ljs_vault *vault, const uint8_t *record, size_t record_len);

/** Steps of administration: record in, record out. */
typedef enum ljs_device_act {
    LJS_DEVICE_BLOCK = 1,        /**< FRESH, JOINED -> BLOCKED */
    LJS_DEVICE_UNBLOCK = 2,      /**< BLOCKED -> FRESH or JOINED; ::LJS_E_MOVED for a device that has moved */
    LJS_DEVICE_RESET_NONCES = 3, /**< forget DevNonces and RJcount1; never JoinNonce */
    LJS_DEVICE_REMOVE = 4,       /**< -> REMOVED: keys and sessions go, nonces stay */
    LJS_DEVICE_EXPOSE = 5,       /**< its root keys are about to leave: marked until each of them is another;
                                  *   ::LJS_E_NOKEY where there are none */
    LJS_DEVICE_MOVE = 6,         /**< -> BLOCKED, and everything is ::LJS_E_MOVED: another Join Server answers for it */
    LJS_DEVICE_MOVE_BACK = 7,    /**< BLOCKED by ::LJS_DEVICE_MOVE -> FRESH or JOINED: the other one does no more, and
                                  *   what it knew has been received from it (ljs_parcel_land()) */
} ljs_device_act;
/** @return ::LJS_E_STATE for an act that the device's state does not allow */
LJS_MUST ljs_err ljs_device_step(ljs_buf *out_record, ljs_vault *vault, ljs_device_act act, const uint8_t *record,
                                 size_t record_len);

/** Bits of ljs_routing.set. */
enum {
    LJS_ROUTE_HOME_NET_ID = 1,
    LJS_ROUTE_HOME_NS_ID = 2,
    LJS_ROUTE_NS_KEK_LABEL = 4,
    LJS_ROUTE_AS_KEK_LABEL = 8,
    LJS_ROUTE_AS_ID = 16,
};

/** Which servers a device belongs to, as in ljs_device; what `set` does not name stays as it was. */
typedef struct ljs_routing {
    size_t struct_size;               /**< sizeof(ljs_routing) */
    uint32_t set;                     /**< LJS_ROUTE_...: which of the fields below are meant */
    uint8_t has_home_net_id;          /**< 0: any network may activate it */
    uint8_t has_home_ns_id;           /**< 0: its home network has one NSID, or none */
    ljs_netid home_net_id;            /**< the one network that may activate it */
    ljs_eui home_ns_id;               /**< its NSID */
    char ns_kek_label[LJS_LABEL_MAX]; /**< "" for the peer's own */
    char as_kek_label[LJS_LABEL_MAX]; /**< "" for that of the peer that is as_id */
    char as_id[LJS_LABEL_MAX];        /**< "" for none */
} ljs_routing;

/** A step likewise: say where a device belongs.
 *  @return ::LJS_E_STATE for a tombstone, ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_device_route(ljs_buf *out_record, ljs_vault *vault, const ljs_routing *routing,
                                  const uint8_t *record, size_t record_len);

#ifdef __cplusplus
}
#endif
#endif
