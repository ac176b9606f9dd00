/** @file backup.h
 *  Backups of a store, and what keeps a restored one from giving a JoinNonce twice.
 *
 *  A backup is the past: the store that it is restored to has forgotten what it gave since.
 *  So a store has a *generation*, which rises with each restore by more JoinNonces than one
 *  device can have been given, and a record passes over as many at its next step there
 *  (ljs_device_raise()).  How many that are is known by a *marker*: a file that is not where the
 *  store is, not in its backups either, and runs ahead of what the store commits.  A store that
 *  is behind its marker has been put back by other means, and is refused.
 *
 *  While serving:       ljs_store_marked() around the store, before ljs_server_new()
 *  A backup:            ljs_backup_make(), at any time; ljs_backup_check()
 *  Restoring:           ljs_backup_check(), ljs_backup_plan(), ljs_marker_reserve(),
 *                       ljs_backup_extract(), and the new file takes the old one's place
 *  A store of one's own: ljs_standing_raise() after putting it back
 *
 *  Whoever keeps records without a store does the same with a generation of his own, as
 *  ljs_join_req.generation.  No clock here: the caller brings the time. */
#ifndef LORAJS_BACKUP_H
#define LORAJS_BACKUP_H

#include <lorajs/keys.h>
#include <lorajs/store.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /** JoinNonces that a restore passes over, at least: as many as a device takes that joins every minute
     *  for almost three days, and one in 4096 of all it has. */
    LJS_GUARD = 4096,
    /** Changes that other processes may be about to commit when a marker is read. */
    LJS_GUARD_MARGIN = 1024,
    /** Without a marker: as often as a device at the slowest data rate can ask, in seconds. */
    LJS_GUARD_SECONDS = 16,
    /** How far a marker runs ahead of the changes that are committed. */
    LJS_MARKER_EVERY = 256,
};

/** Where a store stands. */
typedef struct ljs_standing {
    uint8_t name[16]; /**< of the store: random, the same in its backups */
    uint64_t count;   /**< of the changes that were committed, in earlier generations too; 0: the store counts none */
    uint32_t generation; /**< 0 in a store that was never restored */
    uint8_t marked;      /**< 1: a marker goes with it */
} ljs_standing;

/** @return ::LJS_E_NOTFOUND for a store that no server has used, ::LJS_E_SEAL, ::LJS_E_VERSION, ::LJS_E_STORE */
LJS_MUST ljs_err ljs_standing_read(ljs_standing *out, ljs_vault *vault, ljs_store *store);
/** Begin a generation.  Servers over the store are to be made after that.
 *  @param generation  above the one that the store has
 *  @param count   what count is to be at least
 *  @param marked  1: a marker goes with it from now on
 *  @return ::LJS_E_INVAL for a generation that is not above */
LJS_MUST ljs_err ljs_standing_raise(ljs_vault *vault, ljs_store *store, uint32_t generation, uint64_t count,
                                    int marked);

/* ---- the marker ------------------------------------------------------------- */

/** What a marker says of a store. */
typedef enum ljs_marker_verdict {
    LJS_MARKER_GOOD = 0,   /**< the store is where the marker saw it, or further */
    LJS_MARKER_NEW = 1,    /**< there is none, and the store never had one */
    LJS_MARKER_LOST = 2,   /**< there is none, though the store goes with one */
    LJS_MARKER_BROKEN = 3, /**< it is damaged, or of another master key */
    LJS_MARKER_OTHER = 4,  /**< it is of another store */
    LJS_MARKER_BEFORE = 5, /**< the store is of an earlier generation */
    LJS_MARKER_BEHIND = 6, /**< the store has fewer changes than the marker saw: it was put back */
} ljs_marker_verdict;

/** A marker as it was read; zero where there was nothing to be read. */
typedef struct ljs_marker {
    ljs_marker_verdict verdict; /**< of the store that it was compared with */
    uint8_t name[16];           /**< of the store it belongs to */
    uint32_t generation;        /**< in which it was written */
    uint32_t reserved;          /**< the highest that a restore was about to begin */
    uint64_t at;                /**< changes that the store had when it was written */
    uint64_t bound;             /**< changes that the store has at most, as long as every commit is marked */
} ljs_marker;

/** @param against  the store to be compared with; NULL: none, and the verdict is ::LJS_MARKER_GOOD for whatever can be
 * read
 *  @return ::LJS_E_STORE when the file cannot be read, ::LJS_E_VERSION when a newer lorajs wrote it */
LJS_MUST ljs_err ljs_marker_look(ljs_marker *out, ljs_vault *vault, ljs_store *against, const char *path);
/** A store that writes its marker before it commits what the marker does not cover.  The file is made when
 *  the store never had one; it has mode 0600 and two places that are written in turns, so that a crash
 *  leaves one that is whole.  Several processes may use one marker.
 *  @param store  which counts its changes (backend.h); borrowed, as the vault is: free what comes of this first
 *  @param every  how many changes the marker runs ahead: a store that was put back by fewer may go unnoticed
 *                (none after an ordinary end); each costs one more sync.  0 means ::LJS_MARKER_EVERY
 *  @return ::LJS_E_STATE for a verdict other than good or new, ::LJS_E_MISSING for a store that does not
 *  count, ::LJS_E_STORE when the file cannot be written */
LJS_MUST ljs_err ljs_store_marked(ljs_store **out, ljs_store *store, ljs_vault *vault, const char *path,
                                  unsigned every);
/** A generation is about to begin: noted in the marker, which is made when it is not there, so that none
 *  begins twice.  What the marker says of a store does not change.
 *  @param in  the store's name, 16 octets
 *  @return ::LJS_E_STATE for the marker of another store, ::LJS_E_SEAL */
LJS_MUST ljs_err ljs_marker_reserve(ljs_vault *vault, const char *path, uint32_t generation, const uint8_t *in,
                                    size_t in_len);

/* ---- backups ---------------------------------------------------------------- */

/** What a backup says of itself. */
typedef struct ljs_backup {
    ljs_standing standing; /**< of the store at that moment */
    int64_t at;            /**< when, Unix time in seconds */
    uint64_t devices;      /**< records, tombstones too */
    uint64_t size;         /**< octets of the database in it */
} ljs_backup;

/** All of the store at one moment, while others go on using it, in a new file of mode 0600, durable, and
 *  checked: each record, KEK and decision, and then every octet of the file.  Root keys and KEKs in it are
 *  sealed as in the store.
 *  Until it is whole it is PATH.copy, and PATH.part keeps others from that.
 *  @param now  Unix time in seconds
 *  @return ::LJS_E_EXISTS when the file is there, ::LJS_E_SEAL when the store has a record without its tag,
 *  ::LJS_E_MISSING for a store that makes no copies, ::LJS_E_STORE */
LJS_MUST ljs_err ljs_backup_make(ljs_backup *out, ljs_vault *vault, ljs_store *store, const char *path, int64_t now);
/** Reads all of it.  @return ::LJS_E_SEAL when an octet is not as it was written, or it is none of this master
 *  key, ::LJS_E_NOTFOUND, ::LJS_E_VERSION, ::LJS_E_STORE */
LJS_MUST ljs_err ljs_backup_check(ljs_backup *out, ljs_vault *vault, const char *path);
/** Which generation a restore begins, and at which count: above any that the store can have had.
 *  @param marker  of the store, whatever its verdict; NULL: none, or one that says nothing
 *  @param known   the database that is to be replaced; NULL: none.  With neither, the JoinNonces that may have
 *                 been given are reckoned from the time since the backup, one in ::LJS_GUARD_SECONDS
 *  @param guard   JoinNonces to pass over, at least; 0 means ::LJS_GUARD
 *  @return ::LJS_E_SPENT when there are not as many generations */
LJS_MUST ljs_err ljs_backup_plan(ljs_standing *out, const ljs_backup *backup, const ljs_marker *marker,
                                 const ljs_standing *known, uint32_t guard, int64_t now);
/** The database of a backup as a new file of mode 0600 that stands as `standing` says, durable.  It is checked
 *  again on the way; what fails leaves no file.
 *  @return as ljs_backup_check(), and ::LJS_E_EXISTS when `to` is there */
LJS_MUST ljs_err ljs_backup_extract(ljs_backup *out, ljs_vault *vault, const char *path, const char *to,
                                    const ljs_standing *standing);

#ifdef __cplusplus
}
#endif
#endif
