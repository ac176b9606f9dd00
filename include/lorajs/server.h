/** @file server.h
 *  The Join Server: load, step, save, answer.
 *
 *  A Backend Interfaces message in, the answer out:  ljs_server_handle()
 *  Many at once, durable with one commit:            ljs_server_handle_batch()
 *  Devices and KEKs:                                 ljs_server_make_device(), ..._put_kek()
 *  Your own store or event loop:                     join.h, without any server
 *
 *  The server borrows vault and store; free it before them.  Any thread may call it; it
 *  holds no lock while the store works.  Nothing is answered before it is durable.
 *
 *  Who may ask is decided here: the transport vouches for a peer by name, and the peers
 *  given to ljs_server_set_peers() say for which NetIDs, NSIDs and AS-IDs each speaks,
 *  which KEKs it holds, and whether keys may reach it in clear.  A request without a
 *  peer is refused unless the options say `anonymous`. */
#ifndef LORAJS_SERVER_H
#define LORAJS_SERVER_H

#include <lorajs/import.h>
#include <lorajs/join.h>
#include <lorajs/lot.h>
#include <lorajs/message.h>
#include <lorajs/parcel.h>
#include <lorajs/rekey.h>
#include <lorajs/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_server ljs_server; /**< a Join Server over a vault and a store */
typedef struct ljs_peers ljs_peers;   /**< who may ask, and for what */

/** What a join or rejoin was noticed for, beside its answer: signs of two devices that are one, or of recorded frames
 *  that somebody plays.  The numbers are on disk.  Nothing is ever refused for an alarm. */
typedef enum ljs_alarm {
    LJS_ALARM_NONE = 0,        /**< for nothing */
    LJS_ALARM_BACKWARD = 1,    /**< more counts than ljs_server_opts.alarm_refusals, each with a good MIC and below
                                *   the highest one, were refused within a day */
    LJS_ALARM_INTERLEAVED = 2, /**< two counts of one device rise in turns: one is answered and one refused */
    LJS_ALARM_NETWORK = 3,     /**< joined by one network within ljs_server_opts.alarm_window of another */
} ljs_alarm;
/** "backward"; "" for ::LJS_ALARM_NONE and for a number that is none. */
LJS_API const char *ljs_alarm_text(ljs_alarm alarm);

/** One decision, as the operator's log and `lorajs why` tell it.  It has no room for a
 *  key, and that is on purpose. */
typedef struct ljs_event {
    int64_t at;               /**< ljs_call.now */
    ljs_err err;              /**< ::LJS_OK, or why not */
    ljs_message_type type;    /**< of the message */
    ljs_frame_kind kind;      /**< of the frame, where there was one */
    ljs_eui dev_eui;          /**< 0 when none could be read */
    ljs_netid net_id;         /**< whom it was from, where that is a network */
    uint32_t nonce;           /**< DevNonce, RJcount0 or RJcount1 */
    uint32_t count;           /**< how often the same was seen in a row */
    uint8_t repeat;           /**< answered as a repeat */
    uint8_t on_word;          /**< a rejoin taken on the peer's word */
    uint8_t alarm;            /**< an ::ljs_alarm */
    uint8_t forwarded;        /**< not refused, but another Join Server's to answer: ljs_call.forwards */
    char peer[LJS_LABEL_MAX]; /**< whom the transport vouched for; "" for none */
} ljs_event;

/** Told of each decision. */
typedef void ljs_log_fn(void *user, const ljs_event *event);

/** Is an audit log kept (audit.h)? */
typedef enum ljs_audit_mode {
    LJS_AUDIT_AS_STORE = 0, /**< as the store says: one that was begun goes on */
    LJS_AUDIT_UNLESS_OFF,   /**< likewise, and in a store that says nothing one is begun */
    LJS_AUDIT_ON,           /**< one is begun also where it was switched off */
    LJS_AUDIT_SWITCH_OFF,   /**< one that was begun ends, with an entry that says so */
} ljs_audit_mode;

/** What a server is to do beyond its peers. */
typedef struct ljs_server_opts {
    size_t struct_size; /**< sizeof(ljs_server_opts) */
    unsigned retries;   /**< after ::LJS_E_STORE, and eight times as often after ::LJS_E_CONFLICT; 0 means 8 */
    uint32_t lifetime;  /**< Lifetime of answers, in seconds; 0 promises nothing */
    /** Seconds; 0: no guard.  A device whose newest eight sessions were all made by rejoins within
     *  this time gets ::LJS_E_BUSY for the next rejoin: no device may rejoin that often, and each
     *  costs a JoinNonce.  Calls without a time (now 0) are not guarded.  Joins and repeats are answered all the same.
     */
    uint32_t rejoin_window;
    uint32_t alarm_window; /**< seconds, for ::LJS_ALARM_NETWORK; 0: no such alarm.  Calls without a time raise none */
    uint32_t alarm_refusals; /**< for ::LJS_ALARM_BACKWARD; 0: neither that nor ::LJS_ALARM_INTERLEAVED.  Likewise */
    uint8_t anonymous;       /**< answer requests without a peer too: a laboratory on loopback */
    uint8_t clear;           /**< LJS_CLEAR_NS | LJS_CLEAR_AS for such requests */
    uint8_t audit;           /**< an ::ljs_audit_mode */
    uint8_t experimental;    /**< 1: rekeys may begin (rekey.h); those that did are always carried on */
    ljs_log_fn *log;         /**< may be NULL; called from any thread, without a lock held */
    void *log_user;          /**< its first argument */
} ljs_server_opts;

/** A store that has never been used is made this vault's; any other must be.
 *  @param opts  NULL for all zero
 *  @return ::LJS_E_SEAL when the store belongs to another master key, ::LJS_E_VERSION */
LJS_MUST ljs_err ljs_server_new(ljs_server **out, ljs_vault *vault, ljs_store *store, const ljs_server_opts *opts);
/** Free; NULL is taken.  Vault and store stay. */
LJS_API void ljs_server_free(ljs_server *server);

/* ---- peers ------------------------------------------------------------------ */

/** Nobody, as yet. */
LJS_MUST ljs_err ljs_peers_new(ljs_peers **out);
/** NULL is taken. */
LJS_API void ljs_peers_free(ljs_peers *peers);
/** A peer by the name under which the transport vouches for it; ::LJS_E_EXISTS.
 *  @param clear  LJS_CLEAR_NS | LJS_CLEAR_AS; 0: keys only wrapped */
LJS_MUST ljs_err ljs_peers_add(ljs_peers *peers, const char *name, unsigned clear);
/** It is the network server of this NetID. */
LJS_MUST ljs_err ljs_peers_add_net_id(ljs_peers *peers, const char *name, ljs_netid net_id);
/** It speaks for this NSID.  A peer with NSIDs must send one of them in a message of 1.1. */
LJS_MUST ljs_err ljs_peers_add_ns_id(ljs_peers *peers, const char *name, ljs_eui ns_id);
/** It is the application server of this AS-ID. */
LJS_MUST ljs_err ljs_peers_add_as_id(ljs_peers *peers, const char *name, const char *as_id);
/** It holds the KEK of this label.  The first is the one for devices that name none.
 *  @return ::LJS_E_INVAL also for one that begins with '@' */
LJS_MUST ljs_err ljs_peers_add_kek(ljs_peers *peers, const char *name, const char *label);
/** From the next message on; NULL for none.  The server keeps a copy. */
LJS_MUST ljs_err ljs_server_set_peers(ljs_server *server, const ljs_peers *peers);

/* ---- messages --------------------------------------------------------------- */

/** One message and its answer. */
typedef struct ljs_call {
    const char *peer;  /**< whom the transport vouches for; NULL when it vouches for none */
    int64_t now;       /**< Unix time in seconds */
    const uint8_t *in; /**< the message */
    size_t in_len;     /**< octets of it */
    uint8_t forwards;  /**< 1: whoever calls asks another Join Server where `result` is ::LJS_E_DEVICE, ::LJS_E_MOVED or
                        *   ::LJS_E_SESSION, and leaves `out`: that is told as forwarded, and not as refused */
    ljs_buf out;       /**< the answer, always JSON; ljs_buf_free() wipes it */
    ljs_err err;       /**< ::LJS_OK: out is the answer (HTTP 200), refusals included.
                        *   ::LJS_E_MESSAGE: no message at all (400), out says so.
                        *   Else a fault of ours (500), out may be empty. */
    ljs_err result;    /**< what the answer says: ::LJS_OK, or why it was refused; `err` where that is not ::LJS_OK */
} ljs_call;

/** One message, as a batch of one: the answer is in `out` also for ::LJS_E_MESSAGE. */
LJS_MUST ljs_err ljs_server_handle(ljs_buf *out, ljs_server *server, const char *peer, int64_t now, const uint8_t *in,
                                   size_t in_len);
/** All of them, with as few commits as the devices in it allow: one for each 64 messages,
 *  unless a device is in them twice.  Each call has its own result. */
LJS_API void ljs_server_handle_batch(ljs_server *server, ljs_call *calls, size_t calls_len);

/** Is the store readable? */
LJS_MUST ljs_err ljs_server_ready(ljs_server *server);
/** How many messages of a type were answered with `err` so far. */
LJS_API uint64_t ljs_server_count(ljs_server *server, ljs_message_type type, ljs_err err);
/** How many alarms of a kind there were so far. */
LJS_API uint64_t ljs_server_alarms(ljs_server *server, ljs_alarm alarm);
/** Write what `lorajs why` tells of refusals; between two calls they are in memory, so
 *  that forged requests cannot make the disk work.  Call it every few seconds and
 *  before the end. */
LJS_MUST ljs_err ljs_server_flush(ljs_server *server);

/* ---- devices and KEKs ------------------------------------------------------- */

/** ljs_device_make() over what the store has of the device. */
LJS_MUST ljs_err ljs_server_make_device(ljs_server *server, const ljs_device *device, const ljs_root_keys *keys,
                                        unsigned flags, int32_t dev_nonce, const uint8_t *in, size_t in_len);
/** ljs_device_add_join_eui() over the store. */
LJS_MUST ljs_err ljs_server_add_join_eui(ljs_server *server, ljs_eui dev_eui, ljs_eui join_eui);
/** The record, its tag checked, for ljs_device_read() and its like, as ljs_device_raise() makes
 *  it: with the JoinNonce that is given next.
 *  @return ::LJS_E_NOTFOUND for a DevEUI never seen */
LJS_MUST ljs_err ljs_server_get_device(ljs_buf *out, ljs_server *server, ljs_eui dev_eui);
/** ljs_parcel_land() over what the store has of the device. */
LJS_MUST ljs_err ljs_server_land_device(ljs_server *server, ljs_parcel *parcel, unsigned flags);
/** ljs_parcel_land() of all that the parcel holds (ljs_parcel_hold()), with one commit: all of them, and then it holds
 *  them no more, or none.  @return what is wrong with the first that cannot be landed; ::LJS_E_STATE after a fault of
 * the parcel;
 *  ::LJS_E_STORE when it is not known what was */
LJS_MUST ljs_err ljs_server_land_held(ljs_server *server, ljs_parcel *parcel, unsigned flags);
/** ljs_device_step() over the store. */
LJS_MUST ljs_err ljs_server_step_device(ljs_server *server, ljs_eui dev_eui, ljs_device_act act);
/** ljs_device_route() over the store. */
LJS_MUST ljs_err ljs_server_route_device(ljs_server *server, ljs_eui dev_eui, const ljs_routing *routing);
/** ljs_rekey_begin() over the store: what is given is durable.
 *  @return also ::LJS_E_INVAL where ljs_server_opts.experimental is 0 */
LJS_MUST ljs_err ljs_server_rekey_begin(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, const ljs_rekey_opts *opts);
/** ljs_rekey_answer() over the store. */
LJS_MUST ljs_err ljs_server_rekey_answer(ljs_rekey_message *out, ljs_server *server, ljs_eui dev_eui, const uint8_t *in,
                                         size_t in_len);
/** ljs_rekey_abort() over the store. */
LJS_MUST ljs_err ljs_server_rekey_abort(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, int force);
/** ljs_rekey_step() over the store. */
LJS_MUST ljs_err ljs_server_rekey_step(ljs_server *server, ljs_eui dev_eui, ljs_rekey_act act);
/** ljs_rekey_resync() over the store.  A device is then looked for at most once in four seconds, by joins that bring
 * their time (ljs_call.now).  @return ::LJS_E_INVAL without ljs_server_opts.experimental */
LJS_MUST ljs_err ljs_server_rekey_resync(ljs_server *server, ljs_eui dev_eui, const ljs_resync_opts *opts);
/** The i-th last decision about a device other than a new session; ::LJS_E_NOTFOUND past
 *  the last.  Written by ljs_server_flush(). */
LJS_MUST ljs_err ljs_server_decision(ljs_event *out, ljs_server *server, ljs_eui dev_eui, unsigned i);

/** A decision that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_event_row(void *user, const ljs_event *event);
/** What ljs_server_decision() has of every device from `first` to `last`, which are among them: DevEUIs rising, and of
 *  each the newest first; stops when `row` fails, with its result.  Of a device whose decisions cannot be read there is
 *  one event, with its DevEUI, ::LJS_E_SEAL or ::LJS_E_VERSION, a count of 0 and nothing else. */
LJS_MUST ljs_err ljs_server_each_decision(ljs_server *server, ljs_eui first, ljs_eui last, ljs_event_row *row,
                                          void *user);

/** A device that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_device_row(void *user, ljs_eui dev_eui);
/** Each DevEUI, rising, tombstones too; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_device(ljs_server *server, ljs_device_row *row, void *user);
/** Each from `first` to `last`, which are among them: for who shows a page at a time. */
LJS_MUST ljs_err ljs_server_each_device_in(ljs_server *server, ljs_eui first, ljs_eui last, ljs_device_row *row,
                                           void *user);

/** Devices as they come in by import.h, with all of their JoinEUIs; each is made or refused by itself, as
 *  ljs_server_make_device() and ljs_server_add_join_eui() would, and 64 of them are durable with one commit, unless
 *  a device is in them twice.
 *  @param results  imports_len of them: what came of each; ::LJS_E_STORE where it is not known
 *  @param imports  imports_len of them; their keys are borrowed
 *  @param flags    as of ljs_device_make() */
LJS_API void ljs_server_import(ljs_err *results, ljs_server *server, const ljs_import *imports, size_t imports_len,
                               unsigned flags);

/** ljs_server_step_device() for many, each by itself: 64 of them are durable with one commit, unless a device is in
 * them twice; ::LJS_DEVICE_REMOVE, which ends a claim too, is one commit each.
 *  @param results   dev_euis_len of them: what came of each; ::LJS_E_STORE where it is not known
 *  @param dev_euis  dev_euis_len of them */
LJS_API void ljs_server_step_devices(ljs_err *results, ljs_server *server, const ljs_eui *dev_euis, size_t dev_euis_len,
                                     ljs_device_act act);

/** @param label  1 to 127 octets of UTF-8 without control characters; one that begins with '@' is that of an account
 *                that is there, "@ACCOUNT/LABEL" (claim.h)
 *  @return ::LJS_E_EXISTS when the label is taken by another key and replace is 0; ::LJS_E_INVAL; ::LJS_E_NOTFOUND for
 *  an account that is not there */
LJS_MUST ljs_err ljs_server_put_kek(ljs_server *server, const char *label, const ljs_key *kek, int replace);
/** What a KEK is used for. */
typedef enum ljs_kek_use {
    LJS_USE_NS = 1, /**< network keys, to a network server */
    LJS_USE_AS = 2, /**< AppSKey, to an application server */
} ljs_kek_use;

/** From the next message on another KEK is used wherever this label is named, by a peer or by a device: it
 *  changes while serving, and back.  Labels lead from one to the next, eight of them at the most.
 *  @param label  the one that is named; it stays, and may be retired
 *  @param to     the one that is used in its place; `label` itself: none
 *  @param peer   for this peer alone, which has the say before what is said of all; NULL for all
 *  @param use    LJS_USE_NS | LJS_USE_AS
 *  @return ::LJS_E_NOTFOUND for either, ::LJS_E_STATE when `to` is retired or leads back, ::LJS_E_INVAL also
 *  where 16 are said of this label already, or where the two are not of one account */
LJS_MUST ljs_err ljs_server_rotate_kek(ljs_server *server, const char *label, const char *to, const char *peer,
                                       unsigned use);
/** A retired KEK wraps nothing any more: who would need it is refused (::LJS_E_KEK), and nothing is burnt.
 *  @param retired  0 takes it back
 *  @return ::LJS_E_NOTFOUND */
LJS_MUST ljs_err ljs_server_retire_kek(ljs_server *server, const char *label, int retired);

/** A KEK, but for its key. */
typedef struct ljs_kek {
    char label[LJS_LABEL_MAX]; /**< its own */
    uint8_t len;               /**< octets of the key */
    uint8_t retired;           /**< 1: wraps nothing any more */
    uint8_t nexts;             /**< how many others are used in its place */
} ljs_kek;
/** One that is used in the place of another. */
typedef struct ljs_kek_next {
    char peer[LJS_LABEL_MAX];  /**< for whom; "" for all */
    char label[LJS_LABEL_MAX]; /**< which */
    uint8_t use;               /**< LJS_USE_NS | LJS_USE_AS */
} ljs_kek_next;
/** @return ::LJS_E_NOTFOUND */
LJS_MUST ljs_err ljs_server_get_kek(ljs_kek *out, ljs_server *server, const char *label);
/** The i-th that is used in its place.  @return ::LJS_E_NOTFOUND past the last */
LJS_MUST ljs_err ljs_server_kek_next(ljs_kek_next *out, ljs_server *server, const char *label, unsigned i);

/** Who is refused for want of it is told so, and nothing is burnt.  @return ::LJS_E_NOTFOUND */
LJS_MUST ljs_err ljs_server_del_kek(ljs_server *server, const char *label);
/** A KEK that was found, with its octets; likewise. */
typedef ljs_err ljs_kek_row(void *user, const char *label, size_t kek_len);
/** Each KEK, labels rising; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_kek(ljs_server *server, ljs_kek_row *row, void *user);

/* ---- lots --------------------------------------------------------------------- */

/** Keep the key of a lot (lot.h) under a label, for devices whose ljs_device.lot it is.  It stays for good: another key
 *  of this label would make others of its devices' keys.  The same key again is no change.
 *  @param label  1 to 127 octets of UTF-8 without control characters
 *  @param key    16 octets
 *  @return ::LJS_E_EXISTS when the label is taken by another key, or was, by a lot that is lost; ::LJS_E_INVAL also
 *  where ::LJS_LOTS_MAX are kept */
LJS_MUST ljs_err ljs_server_put_lot(ljs_server *server, const char *label, const ljs_key *key);
/** Make a lot whose key nobody has seen: it is made where the server's keys are used, with a vault in a token inside of
 *  that, and leaves it once, wrapped for whoever personalizes the devices.  What is lost of that is lost for good.
 *  @param out        the key under the KEK
 *  @param kek_label  a KEK of ljs_server_put_kek(), or what is used in its place
 *  @return ::LJS_E_EXISTS when the label is taken, ::LJS_E_KEK for no such KEK or one that is retired, ::LJS_E_INVAL as
 *  above */
LJS_MUST ljs_err ljs_server_make_lot(ljs_envelope *out, ljs_server *server, const char *label, const char *kek_label);
/** A lot that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_lot_row(void *user, const char *label);
/** Each lot, labels rising; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_lot(ljs_server *server, ljs_lot_row *row, void *user);

#ifdef __cplusplus
}
#endif
#endif
