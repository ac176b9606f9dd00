/** @file rewrap.h
 *  Another master key for a store in use.
 *
 *  ljs_server_rotate() gives the store a new master key: from then on both open it, the new
 *  one seals and tags, and whoever serves from this store finds that out by itself.  An
 *  ljs_rewrap then writes each value again that is under the old one, and looks at all of
 *  them once more; ljs_rewrap_retire() ends the old one, when nothing is under it any more.
 *  Each change is a compare-and-swap, so nothing is lost to a join that comes between; and
 *  each can be cut off anywhere and begun again: what is done stays done.
 *
 *      ljs_server_rotate(server, to)            the new key must be durable elsewhere before
 *      ljs_rewrap_new(&r, server)
 *      do ljs_rewrap_step(&so_far, r, 64) while (!so_far.done)
 *      ljs_store_marked() and ljs_store_free()  where the store has a marker (backup.h), which opens with the
 *                                               old key and is written under the new one
 *      ljs_rewrap_retire(r, 0)                  and then the old key may be destroyed
 *
 *  Where the keys are in a token (token.h), what changes is its storage key: ljs_token_next() in the place of
 *  ljs_server_rotate(), and a walk seals every root key and KEK anew inside the token.  ljs_rewrap_retire() then
 *  destroys the older storage keys there, for good: with it go backups of before, and whatever other databases have
 *  under them.  Tags stay, since their key is another.
 *
 *  While there are two, who has the old master key and a copy of the store has the new
 *  one, too: keep no backup of that time where the old key is not trusted.
 *
 *  The server's vault follows its store (master.h): rotate a vault with one store.  What
 *  is kept under it elsewhere, such as the sessions of network.h, does not open any more
 *  when the old key has ended: give that a vault of its own.  A handle is for one
 *  thread at a time; the server may serve meanwhile. */
#ifndef LORAJS_REWRAP_H
#define LORAJS_REWRAP_H

#include <lorajs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ljs_rewrap ljs_rewrap; /**< a walk over all values of a store */

/** How far a walk has come. */
typedef struct ljs_rewrapped {
    uint64_t values;  /**< of this pass, as they were counted at its beginning */
    uint64_t looked;  /**< so many of them were opened, or tried */
    uint64_t changed; /**< written again, in all passes so far */
    uint64_t damaged; /**< of this pass, that no version of the master key opens: tampered with, or never ours */
    uint32_t passes;  /**< from 1; the last one is that in which nothing had to be written */
    uint8_t done;     /**< 1: everything but what is damaged is under the new key */
    char what[160];   /**< the last that was damaged, in words; "" for none */
} ljs_rewrapped;

/** The store's new master key.  The same again, while it is not yet retired, is no change.
 *  @param to  32 octets
 *  @return ::LJS_E_EXISTS when a change to another key is under way, or this one is the store's already */
LJS_MUST ljs_err ljs_server_rotate(ljs_server *server, const ljs_key *to);
/** Look whether the store has another master key, and take it; ljs_server_flush() does so, too, as does
 *  whoever meets a value that does not open.
 *  @return ::LJS_E_SEAL when the vault has none of the keys that open the store any more */
LJS_MUST ljs_err ljs_server_refresh(ljs_server *server);

/** Borrows the server. */
LJS_MUST ljs_err ljs_rewrap_new(ljs_rewrap **out, ljs_server *server);
/** NULL is taken. */
LJS_API void ljs_rewrap_free(ljs_rewrap *rewrap);
/** The next n values, in as few commits as possible; nothing more where it is done.
 *  @param n  1 to 1024
 *  @return ::LJS_E_STORE and other faults: what was done stays done, and the next call goes on;
 *  ::LJS_E_VERSION for a value of a newer lorajs */
LJS_MUST ljs_err ljs_rewrap_step(ljs_rewrapped *out, ljs_rewrap *rewrap, unsigned n);

enum { LJS_REWRAP_LEAVE_DAMAGED = 1 /**< retire though there are values that no key opens */ };
/** End the old master key: it does not open the store any more.  In a token, destroy the storage keys before the
 *  newest: those who seal look for that before and after, so what they wrote past the walk they bring under it.
 *  @return ::LJS_E_STATE when the walk is not done, the master key was changed since it began, or values are
 *  damaged and flags do not say to leave them; ::LJS_E_CRYPTO when a token does not let its keys be destroyed */
LJS_MUST ljs_err ljs_rewrap_retire(ljs_rewrap *rewrap, unsigned flags);

#ifdef __cplusplus
}
#endif
#endif
