/** @file roles.h
 *  Who may administer, and what: roles, and the credentials that hold them.
 *
 *  A credential is a name with roles.  It is shown as a token, which ljs_server_add_credential()
 *  gives once and of which the store keeps a digest alone, or it is a name in a client
 *  certificate that the transport has verified.  Removed or expired, it is nothing from the next
 *  look at it on, whichever process looks.  Credentials have nothing to do with the peers of
 *  server.h: no peer may administer, and no credential gets a session key.
 *
 *  Acts are what a role allows, by one table: what is not in it is refused.  No act reads a key.
 *
 *  Any thread may call all of this. */
#ifndef LORAJS_ROLES_H
#define LORAJS_ROLES_H

#include <lorajs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What somebody is for; bits, that a credential may have several of. */
typedef enum ljs_role {
    LJS_ROLE_PROVISION = 1, /**< brings keys in: devices and KEKs, and takes them out of service */
    LJS_ROLE_CLAIM = 2,     /**< says which servers a device belongs to */
    LJS_ROLE_OPERATE = 4,   /**< blocks devices, and helps those that are stuck */
    LJS_ROLE_EXPORT = 8,    /**< sends devices, keys and all, to another Join Server */
    LJS_ROLE_AUDIT = 16,    /**< sees everything but keys, and changes nothing */
} ljs_role;

/** What can be done. */
typedef enum ljs_act {
    LJS_ACT_LIST = 1,            /**< which devices there are; ::LJS_ROLE_CLAIM: for an account, its own */
    LJS_ACT_READ = 2,            /**< the public half of one */
    LJS_ACT_PROVISION = 3,       /**< a device with its root keys */
    LJS_ACT_REMOVE = 4,          /**< ::LJS_DEVICE_REMOVE */
    LJS_ACT_ROUTE = 5,           /**< its home network, AS-ID and KEK labels */
    LJS_ACT_BLOCK = 6,           /**< ::LJS_DEVICE_BLOCK */
    LJS_ACT_UNBLOCK = 7,         /**< ::LJS_DEVICE_UNBLOCK */
    LJS_ACT_RESET_NONCES = 8,    /**< ::LJS_DEVICE_RESET_NONCES */
    LJS_ACT_EXPORT = 9,          /**< a parcel (parcel.h) */
    LJS_ACT_LIST_KEKS = 10,      /**< labels and lengths */
    LJS_ACT_PUT_KEK = 11,        /**< a KEK under a label */
    LJS_ACT_REMOVE_KEK = 12,     /**< the end of one */
    LJS_ACT_DECISIONS = 13,      /**< what was decided about a device */
    LJS_ACT_ASSIGN = 14,         /**< devices to an account, and the end of that for good */
    LJS_ACT_ENROL = 15,          /**< an owner token for a device */
    LJS_ACT_CLAIM = 16,          /**< claim, release, offer and accept, for an account */
    LJS_ACT_SUSPEND = 17,        /**< a device of an owner, or an account; and the end of that */
    LJS_ACT_LIST_CLAIMS = 18,    /**< who owns what; who acts for an account sees its own */
    LJS_ACT_ACCOUNTS = 19,       /**< make and end accounts */
    LJS_ACT_LIST_ACCOUNTS = 20,  /**< see them */
    LJS_ACT_LIST_LOTS = 21,      /**< their labels */
    LJS_ACT_LIST_DECISIONS = 22, /**< what was decided, of all devices; ::LJS_ROLE_CLAIM: for an account, of its own */
    LJS_ACT_AUDIT = 23,          /**< the audit log (audit.h) */
} ljs_act;

enum {
    LJS_ACTS = 23,
    LJS_ROLES_ALL = 31,
    LJS_CREDENTIAL_NAME_MAX = 64, /**< octets of a name, with its NUL */
    LJS_ACCOUNT_MAX = 64,         /**< octets of the name of an account (claim.h), with its NUL */
};

/** 1: one of the roles allows it; 0: none does, or there is no such act.  @param roles  LJS_ROLE_... */
LJS_API int ljs_roles_allow(unsigned roles, ljs_act act);
/** "provision"; "?" for what is no single role. */
LJS_API const char *ljs_role_text(ljs_role role);
/** "provision,operate", each once.  @return ::LJS_E_INVAL for other words, and for none */
LJS_MUST ljs_err ljs_roles_parse(uint32_t *out, const char *text);

/** Who somebody is.  It has no room for a secret. */
typedef struct ljs_credential {
    size_t struct_size;                 /**< sizeof(ljs_credential) */
    char name[LJS_CREDENTIAL_NAME_MAX]; /**< 1 to 63 letters, digits, dots and hyphens */
    uint32_t roles;                     /**< LJS_ROLE_... */
    int64_t at;                         /**< since when, Unix time in seconds */
    int64_t expires;                    /**< from when on it is nothing; 0 for never */
    uint8_t certificate;                /**< it is shown by a client certificate of this name, not by a token */
    char account[LJS_ACCOUNT_MAX];      /**< for which account (claim.h) it acts, and for nothing else; "" for none.
                                         *   Then its one role is ::LJS_ROLE_CLAIM */
} ljs_credential;

/** Make one.
 *  @param out  its token, text without a NUL; nobody can tell it a second time.  Empty for a certificate
 *  @return ::LJS_E_EXISTS when the name is taken, ::LJS_E_NOTFOUND for an account that is not there, ::LJS_E_INVAL;
 *          ::LJS_E_NOMEM, and none was made */
LJS_MUST ljs_err ljs_server_add_credential(ljs_buf *out, ljs_server *server, const ljs_credential *credential);
/** From now on it is nothing.  @return ::LJS_E_NOTFOUND, ::LJS_E_INVAL */
LJS_MUST ljs_err ljs_server_del_credential(ljs_server *server, const char *name);
/** A credential that was found; what it returns, if not ::LJS_OK, ends the visit. */
typedef ljs_err ljs_credential_row(void *user, const ljs_credential *credential);
/** Each credential, names rising, expired ones too; stops when `row` fails, with its result. */
LJS_MUST ljs_err ljs_server_each_credential(ljs_server *server, ljs_credential_row *row, void *user);

/** Whose token is it?  Unknown and wrong ones cost the same work.
 *  @param now  Unix time in seconds
 *  @param in   the token, text
 *  @return ::LJS_E_NOTFOUND for whatever is nobody's: no token, unknown, wrong, removed, expired */
LJS_MUST ljs_err ljs_server_check_token(ljs_credential *out, ljs_server *server, int64_t now, const uint8_t *in,
                                        size_t in_len);
/** The credential of a name that stands in a certificate; the transport has verified it.
 *  @return ::LJS_E_NOTFOUND likewise, and for the name of a credential that has a token */
LJS_MUST ljs_err ljs_server_check_certificate(ljs_credential *out, ljs_server *server, int64_t now, const char *name);

#ifdef __cplusplus
}
#endif
#endif
