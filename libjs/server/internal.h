/* internal.h -- what the files of the server layer share. */
#ifndef LJS_SERVER_INTERNAL_H
#define LJS_SERVER_INTERNAL_H

#include <lorajs/backend.h>
#include <lorajs/backup.h>
#include <lorajs/import.h>
#include <lorajs/rewrap.h>
#include <lorajs/roles.h>
#include <lorajs/server.h>

#include "base/cursor.h"
#include "base/lock.h"
#include "keys/kept.h"
#include "keys/vault.h"
#include "server/link.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What a value of the store is, by the first octet of its key. */
enum space {
    SPACE_STORE = 'm',      /* one value: which master key this store belongs to */
    SPACE_GENERATION = 'g', /* one value: how often the store was restored (generation.c) */
    SPACE_DEVICE = 'd',     /* DevEUI, most significant octet first, so that they rise */
    SPACE_KEK = 'k',        /* label */
    SPACE_DECISION = 'w',   /* DevEUI: what `why` tells */
    SPACE_AUDIT = 'a',      /* nothing: is a log kept; writer and sequence: a link of it */
    SPACE_CREDENTIAL = 'c', /* name */
    SPACE_ACCOUNT = 'o',    /* name */
    SPACE_CLAIM = 'q',      /* DevEUI: who owns the device */
    SPACE_LOT = 'l',        /* label: the key that root keys of devices come of (lot.c) */
    SPACE_LOT_PRINT = 'f',  /* label: by what the key of a lot that there was is known again */
    SPACE_CHIP = 's',       /* DevEUI: the secure element that is in it */
    SPACE_OWNED = 'p',      /* nothing: these are all there; account, NUL, DevEUI: owned or offered (owned.c) */
    SPACE_ONCE = 'i',       /* a digest of whose idempotency key it is, and of the key */
};

struct key {
    uint8_t at[1 + LJS_LABEL_MAX];
    size_t len;
};

struct key ljs__key_eui(enum space space, ljs_eui eui);
struct key ljs__key_label(enum space space, const char *label);
enum { LINK_KEY_LEN = 1 + 8 + 8 };
struct key ljs__key_link(uint64_t writer, uint64_t sequence);

/* What is told of what comes after a commit: without memory to look nobody knows what became of it, and it is not to be
 * told as if nothing had been done. */
static inline ljs_err ljs__after_commit(ljs_err err)
{
    return err == LJS_E_NOMEM ? LJS_E_STORE : err;
}

/* One change of one value, tried again from the load when somebody else was first.  `make` gives the
 * new value of the old one, whose data is NULL when there is none; an empty new value changes nothing.
 * `act` is what the audit log says of it, to which the tags of a device's record are added here;
 * NULL only for values that no log tells of. */
typedef ljs_err make_fn(ljs_buf *out, void *user, const ljs_buf *old);
ljs_err ljs__change(ljs_server *server, const struct key *key, make_fn *make, void *user, const struct entry *act);

/* The same, and only if it was not done before: that it was goes into the store with the change (once.c). */
struct once {
    struct key key;
    int64_t now;
    const char *method, *target; /* what was asked, as all of once.c needs to know of it */
    const uint8_t *in;
    size_t in_len;
    unsigned status; /* to be answered */
    /* what ljs__once_load() found, which then was LJS_E_STATE: */
    bool again; /* the same was done; status is what was answered */
    bool other; /* something else was, under this key */
    uint64_t version;
    ljs_buf value;
};
ljs_err ljs__change_once(ljs_server *server, const struct key *key, make_fn *make, void *user, const struct entry *act,
                         struct once *once); /* NULL: as ljs__change() */

/* Several values as one: what `make` gives new values to is written, all of it or nothing, and tried again from the
 * load as above.  The first is a device's record, to whose tags `act` leads; NULL where each value has an act of its
 * own.
 */
struct valued {
    struct key key;
    const struct entry *act; /* what the log says of its change by itself; NULL: nothing */
    ljs_buf old, new;
    bool gone; /* set by `make`: it is deleted, and `new` is empty */
    uint64_t version;
};
enum { VALUED_MAX = 4, GROUP_MAX = 64 /* at most */ };
typedef ljs_err make_group_fn(void *user, struct valued *at);
ljs_err ljs__change_group(ljs_server *server, struct valued *at, size_t len, make_group_fn *make, void *user,
                          const struct entry *act, struct once *once);

/* Refusals and repeats that wait to be written. */
struct waiting {
    pthread_mutex_t lock;
    ljs_event *event;
    size_t len;
};

/* A conflict means that somebody else got on: it may be met more often than a fault. */
enum { CONFLICT_RETRIES = 8 };
enum { WAITING_MAX = 1024, DECISIONS_MAX = 16, COUNTERS = 256 };

/* KEKs that are open, and what the store had of each when it was opened: the same key comes of the same
 * octets, whoever wrote them and when. */
enum { KEK_VALUE_MAX = 256 };
struct kek_place {
    char label[LJS_LABEL_MAX]; /* "" for none */
    uint8_t value[KEK_VALUE_MAX];
    size_t value_len;
    _Atomic uint64_t moment; /* of the store, when it was seen to have this last (store/view.h) */
};
struct open_keks {
    struct wide_lock lock;
    struct kept *kept; /* NULL until the first is opened */
    struct kek_place place[KEPT_MAX];
    unsigned next; /* to be given up for another */
};

/* One count of a device that was seen below its highest (alarms.c). */
struct watched {
    ljs_eui dev_eui;     /* 0: nothing is here */
    ljs_frame_kind kind; /* of the frames */
    uint64_t counting;   /* as in struct record */
    int64_t since;       /* the day that `count` is of */
    int32_t highest;     /* at the last refusal */
    uint32_t nonce;      /* that was refused last */
    uint32_t count;      /* of them in this day */
    unsigned turns;      /* in which both rose */
    bool told;           /* in this day */
};
enum { WATCHED_MAX = 256, WATCHED_WAYS = 4, ALARMS = LJS_ALARM_NETWORK + 1 };
struct alarms {
    pthread_mutex_t lock; /* of `watched` */
    struct watched watched[WATCHED_MAX];
    _Atomic uint64_t count[ALARMS];
};

enum { RESYNC_PLACES = 64 };

struct claim_limit;
struct claims {
    pthread_mutex_t lock;
    struct claim_limit *limit; /* NULL until the first try */
};

struct chain;

enum { PENDING_MAX = 64, REFUSED_MAX = 32 };
struct audit {
    pthread_mutex_t lock;                                             /* of all below */
    _Atomic enum { AUDIT_UNKNOWN, AUDIT_KEPT, AUDIT_NOT_KEPT } state; /* which is read without it, too */
    uint32_t generation;                                              /* how often a log was begun in this store */
    struct chain *idle;                                               /* chains that nobody is writing to */
    struct chain *all;                                                /* and those too */
    int64_t now;                                                      /* the latest time that a caller told */
    char who[LJS_LABEL_MAX];
    ljs_audit_entry *pending; /* entries that wait for the next link, PENDING_MAX places */
    size_t pending_len;
    uint32_t missed; /* entries that had no place there */
    struct refused {
        char peer[LJS_LABEL_MAX];
        ljs_err err;
        uint32_t count;
    } refused[REFUSED_MAX];
    size_t refused_len;
    int64_t refused_at; /* when they were written last */
    int64_t denied_at;  /* when one was written that was not counted */
};

struct job;

struct ljs_server {
    ljs_vault *vault;
    ljs_store *store;
    ljs_server_opts opts;
    unsigned process;
    uint32_t generation; /* of the store */
    ljs_peers *peers;    /* under peers_lock */
    struct open_keks keks;
    struct wide_lock peers_lock;
    struct {
        _Alignas(CACHE_LINE) unsigned n; /* messages at work with these peers */
    } at_work[LOCK_LANES];
    _Alignas(CACHE_LINE) struct waiting waiting;
    _Alignas(CACHE_LINE) pthread_mutex_t lock; /* of seen */
    uint8_t seen[16];                          /* a digest of the store's own value, as the vault follows it */
    bool followed;                             /* once */
    struct audit audit;
    struct alarms alarms;
    _Atomic int64_t resync[RESYNC_PLACES]; /* when a device that is ahead was last looked for */
    struct claims claims;
    _Atomic bool owned_ready; /* the store has what owned.c keeps */
    unsigned once_room;       /* how many more idempotency keys may be kept before somebody counts them */
    _Alignas(CACHE_LINE) _Atomic uint64_t count[LJS_MSG_HOME_NS_ANS + 1][COUNTERS]; /* by -err */
    struct job *_Atomic jobs; /* of handle.c: room for a batch that is not at work */
};

/* May the keys of this device be looked for now?  rekey.h, RESYNC: once in four seconds. */
struct record;
bool ljs__resync_may(ljs_server *server, const struct record *record, int64_t now);

/* The name that the store was given when it was claimed.  LJS_E_NOTFOUND, LJS_E_SEAL. */
enum { STORE_NAME_LEN = 16 };
ljs_err ljs__store_name(uint8_t name[STORE_NAME_LEN], ljs_vault *vault, ljs_store *store);

/* LJS_E_STATE after fork().  A store, a row or the log may fork, too, and the child return into the call: a store's
 * calls answer so to it, and what comes after one takes no lock there, which a thread that it does not have may hold.
 */
ljs_err ljs__server_alive(const ljs_server *server);

/* ---- rotate.c: whose store it is, and under which master keys ----------------- */

/* A store that was never used is made the vault's; else the vault has what the store says.  LJS_E_SEAL. */
ljs_err ljs__store_claim(ljs_server *server);
/* The newest master key alone opens the store, which is this version; else LJS_E_STATE. */
ljs_err ljs__store_retire(ljs_server *server, unsigned version);
/* What the vault has now.  When something did not open: has the store more than that?  Then it is worth
 * another try. */
struct masters;
const struct masters *ljs__masters(const ljs_server *server);
bool ljs__masters_again(ljs_server *server, const struct masters *had);

/* ---- rewrap.c ----------------------------------------------------------------- */

/* A value under the newest master key; empty when it is.  LJS_E_SEAL; LJS_E_VERSION for a kind not known. */
ljs_err ljs__rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old);
/* The same in the store. */
ljs_err ljs__rewrap_key(bool *changed, ljs_server *server, const struct key *key);

/* ---- generation.c: which life of the store it is ------------------------------ */

/* The store's own numbers; all zero in one that was never restored and has no marker. */
struct generation {
    uint32_t number;
    uint64_t before; /* changes that were counted in earlier lives */
    bool marked;     /* a marker goes with the store */
};
ljs_err ljs__generation_read(struct generation *out, uint64_t *version, const ljs_vault *vault, ljs_store *store);
/* LJS_E_CONFLICT when it is not this version any more. */
ljs_err ljs__generation_write(ljs_store *store, const ljs_vault *vault, uint64_t version,
                              const struct generation *generation);
/* What `make` makes of them; it is called again after a conflict. */
typedef ljs_err make_generation(struct generation *g, const void *user);
ljs_err ljs__generation_change(const ljs_vault *vault, ljs_store *store, make_generation *make, const void *user);

/* ---- peers.c: who may ask what ---------------------------------------------- */

ljs_peers *ljs__peers_take(ljs_server *server); /* they stay until they are given back; NULL when there are none */
void ljs__peers_give(ljs_server *server, ljs_peers *peers);

/* What a message's sender may have. */
struct grant {
    bool anonymous;          /* no peer, and the options allow it */
    const struct peer *peer; /* else */
    unsigned clear;
};

struct peer;

/* Is it whom the transport vouches for, speaking for whom it may?  `net_id` is what its SenderID says, NULL for one
 * that is no NetID.  LJS_E_SENDER. */
ljs_err ljs__grant(struct grant *out, const ljs_server *server, const ljs_peers *peers, const char *peer,
                   const ljs_message *msg, const ljs_netid *net_id);
/* The NSID that the sender speaks for: as it says, or, in a message of 1.0, which has none to say,
 * that of the device's home where the peer may speak for it, else another of the peer's. */
bool ljs__ns_id(ljs_eui *out, const struct grant *grant, const ljs_message *msg, const ljs_device *device);
/* The label of the KEK for network keys: NULL for none.  LJS_E_KEK when the device names one that
 * this peer does not hold. */
ljs_err ljs__ns_label(const char **out, const struct grant *grant, const ljs_device *device);
/* Likewise for AppSKey, and by what name the peer that holds it is known, "" for none.  `*named` when a KEK was meant,
 * whether or not it is to be had: then nothing may go in clear. */
void ljs__as_label(const char **out, const char **holder, bool *named, const struct grant *grant,
                   const ljs_peers *peers, const ljs_device *device);

/* A KEK's label as envelopes name it: of an account's without the account. */
const char *ljs__kek_wire(const char *label);
/* One that begins with '@' is an account's, or none at all: on the wire it would be another than the one that was
 * given. LJS_E_INVAL; LJS_E_NOTFOUND for an account that is not there.  Gives the account's name, "" for none. */
ljs_err ljs__kek_label_check(char account[LJS_ACCOUNT_MAX], ljs_server *server, const char *label);
/* As ljs__change(), for an account that is there and stays until that is done; "" for none.  LJS_E_NOTFOUND. */
ljs_err ljs__change_of(ljs_server *server, const char *account, const struct key *key, make_fn *make, void *user,
                       const struct entry *act);
/* Are both the same account's, or nobody's? */
bool ljs__kek_same_holder(const char *one, const char *other);

/* ---- kek.c, kek_admin.c, kek_record.c ---------------------------------------- */

void ljs__keks_init(ljs_server *server);
void ljs__keks_free(ljs_server *server);
/* The KEK that is used where *label is named, as the view has it, into a slot; *label is then that of it, in
 * `room` where it is another.  `peer` holds it, "" for nobody known; use is LJS_USE_NS or LJS_USE_AS.
 * LJS_E_NOTFOUND; LJS_E_KEK for one that is retired; LJS_E_SEAL, LJS_E_STORE. */
struct view;
ljs_err ljs__kek_load(ljs_server *server, struct view *view, struct ring *ring, enum key_id id, const char **label,
                      char room[LJS_LABEL_MAX], const char *peer, unsigned use);
/* An account's, for claim.c: empty where the store has the same key already, whatever other it has there is replaced.
 */
ljs_err ljs__kek_make(ljs_buf *out, ljs_server *server, const char *label, const ljs_key *kek, const ljs_buf *old);
/* For rewrap.c. */
ljs_err ljs__kek_rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old);

/* ---- owned.c ---------------------------------------------------------------- */

/* For rewrap.c: it has no tag.  LJS_E_SEAL for a value that is not this key's. */
ljs_err ljs__owned_check(const uint8_t *key, size_t key_len, const ljs_buf *old);

/* ---- lot.c ------------------------------------------------------------------ */

/* The vault is given what the store has. */
ljs_err ljs__lots_load(ljs_server *server);
/* After a step that failed: is it worth another try?  Once, where a lot was not there. */
bool ljs__lots_again(ljs_server *server, ljs_err err, bool *asked);
/* For rewrap.c. */
ljs_err ljs__lot_rewrap(ljs_buf *out, ljs_server *server, const uint8_t *key, size_t key_len, const ljs_buf *old);

/* ---- audit.c ---------------------------------------------------------------- */

ljs_err ljs__audit_init(ljs_server *server);
/* Ends the chains, unless the process is another. */
void ljs__audit_free(ljs_server *server);

enum { AUDIT_ROOM = 2 }; /* changes that a commit may have to add */

/* Is a log kept?  Asked once of the store.  LJS_E_SEAL, LJS_E_STORE. */
ljs_err ljs__audit_kept(bool *out, ljs_server *server);
/* Commit as one group, with a link where a log is kept; `changes` has AUDIT_ROOM places more than len.
 * LJS_E_CONFLICT: nothing changed; LJS_E_STORE: fate unknown. */
ljs_err ljs__audit_commit(ljs_server *server, int64_t now, ljs_change *changes, size_t len, const struct entry *entries,
                          size_t entries_len);

/* An entry of its own, durable. */
ljs_err ljs__audit_write(ljs_server *server, const struct entry *entry);

/* An entry that needs no transaction: a refusal before its MIC was seen to be good is counted, anything else
 * waits for the next link. */
void ljs__audit_tell(ljs_server *server, int64_t now, const struct entry *entry);

/* Somebody who is known may not do what he asked for: written at once, and what he and others ask for in the minute
 * after that is counted, and waits. */
ljs_err ljs__audit_denied(ljs_server *server, int64_t now, const char *who, const char *text);

/* ---- decisions.c ------------------------------------------------------------ */

ljs_err ljs__decisions_init(ljs_server *server);
void ljs__decisions_free(ljs_server *server);
/* Count it, log it, and keep it for `why` where it is of a known device and no new session. */
void ljs__decide(ljs_server *server, const ljs_event *event, bool known);
/* ljs_server_each_decision() of one device, without a look for it; none is no error. */
ljs_err ljs__decisions_of(ljs_server *server, ljs_eui dev_eui, ljs_event_row *row, void *user);

/* ---- alarms.c: signs of a cloned device ------------------------------------------ */

struct record;
/* After a join or rejoin that was refused for its count, and after one that made a session: `record` as the step has
 * left it. */
ljs_alarm ljs__alarm_refused(ljs_server *server, ljs_frame_kind kind, uint32_t nonce, const struct record *record,
                             int64_t now);
ljs_alarm ljs__alarm_joined(const ljs_server *server, const struct record *record);

/* ---- once.c: what was done under an idempotency key ---------------------------- */

/* Under whose key, and what was asked, which is borrowed.  LJS_E_NOMEM. */
ljs_err ljs__once_begin(struct once *out, int64_t now, const char *who, const char *key, const char *method,
                        const char *target, const uint8_t *in, size_t in_len);
/* Was it done?  LJS_E_STATE, see above. */
ljs_err ljs__once_load(ljs_server *server, struct once *once);
ljs_err ljs__once_write(ljs_server *server, struct once *once);
/* Is there room for one more?  LJS_E_BUSY. */
ljs_err ljs__once_room(ljs_server *server, int64_t now);

/* ---- devices.c: a device that is removed ----------------------------------------- */

/* Its record, whose it is and which chip is in it, as one: both end with it. */
enum { REMOVED_VALUES = 3 };
void ljs__locate_removed(struct valued at[REMOVED_VALUES], ljs_eui dev_eui);
/* Once the new record is made. */
ljs_err ljs__bury(ljs_server *server, struct valued at[REMOVED_VALUES], ljs_eui dev_eui);

/* ---- devices.c: for the administrative interface ------------------------------- */

/* LJS_E_REPLAY when `if_tag`, which may be NULL, is not the tag of the record as ljs_server_get_device() has it. */
ljs_err ljs__step_device(ljs_server *server, ljs_eui dev_eui, ljs_device_act act, const uint8_t *if_tag,
                         struct once *once);
/* The step over a record that the store has, and what the log calls it. */
ljs_err ljs__step_record(ljs_buf *out, ljs_server *server, ljs_eui dev_eui, ljs_device_act act, const ljs_buf *old);
ljs_audit_kind ljs__act_kind(ljs_device_act act);
ljs_err ljs__route_device(ljs_server *server, ljs_eui dev_eui, const ljs_routing *routing, const uint8_t *if_tag);
/* Each DevEUI of a space from `first` to `last`, rising. */
ljs_err ljs__each_eui_in(ljs_server *server, enum space space, ljs_eui first, ljs_eui last, ljs_device_row *row,
                         void *user);
/* Each key that has a number of 64 bits from `first` to `last` behind a prefix, and whatever behind that, rising. */
ljs_err ljs__each_key_under(ljs_server *server, const struct key *prefix, uint64_t first, uint64_t last,
                            ljs_store_row *row, void *user);
/* The same where it is a DevEUI and nothing is behind it. */
ljs_err ljs__each_eui_under(ljs_server *server, const struct key *prefix, ljs_eui first, ljs_eui last,
                            ljs_device_row *row, void *user);
/* LJS_E_EXISTS for a device that is there, whatever its keys. */
ljs_err ljs__create_device(ljs_server *server, const ljs_import *import, struct once *once);

#endif
