/** @file admin.h
 *  The administrative interface without its HTTP: a request in, an answer out.
 *
 *  Devices, their routing, KEKs, decisions and exports, as docs/openapi.yaml describes them: JSON,
 *  problems by RFC 9457, credentials and roles by roles.h.  Whoever has HTTP of any kind hands
 *  each request to ljs_admin_handle() and sends what comes of it; `lorajs serve --admin` does.
 *
 *  Who asks is settled first: without a credential every request has the same answer, whatever
 *  it asks for.  Then what is asked for, then whether a role of the credential allows it.  Keys
 *  only ever go in: no answer has a key, and none repeats what it was given.
 *
 *  One thread at a time for one server, since the audit log is told who acts by
 *  ljs_server_set_actor(); joins go on beside it in any number of threads. */
#ifndef LORAJS_ADMIN_H
#define LORAJS_ADMIN_H

#include <lorajs/manifest.h>
#include <lorajs/roles.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LJS_ADMIN_BODY_MAX = 512 * 1024, /**< octets of a body: a device with all its used DevNonces */ };

/** One request.  Texts end in NUL; "" is a header that there was none of.  It has a token in it: wipe it. */
typedef struct ljs_admin_req {
    size_t struct_size;                        /**< sizeof(ljs_admin_req) */
    int64_t now;                               /**< Unix time in seconds */
    char method[8];                            /**< "GET" */
    char target[512];                          /**< path and query, as they were sent */
    char authorization[256];                   /**< of that header: "Bearer ljs_..." */
    char certificate[LJS_CREDENTIAL_NAME_MAX]; /**< a name in a client certificate that the transport has verified;
                                                *   looked at where there is no authorization */
    char content_type[64];                     /**< of that header */
    char if_match[128];                        /**< of that header */
    char idempotency_key[128];                 /**< of that header */
    const ljs_key *signer;                     /**< Ed25519 (parcel.h), for exports; NULL: there are none */
    const ljs_manifest *manifest; /**< whose signers, roots and JoinEUIs manifests are believed by, which is
                                   *   never read from; NULL: Microchip's alone */
} ljs_admin_req;

/** Its answer. */
typedef struct ljs_admin_ans {
    unsigned status;                   /**< of HTTP */
    char type[40];                     /**< Content-Type; "" without a body */
    char etag[40];                     /**< ETag; "" for none, as for the rest */
    char location[64];                 /**< Location */
    char allow[64];                    /**< Allow */
    char who[LJS_CREDENTIAL_NAME_MAX]; /**< whose request it was; "" for nobody's.  For your log, not for the answer */
    ljs_buf body;                      /**< ljs_buf_free() wipes it */
} ljs_admin_ans;

/** With a status of 401 send `WWW-Authenticate: Bearer`, with 503 a Retry-After.
 *  @param in  the body, at most ::LJS_ADMIN_BODY_MAX octets
 *  @return ::LJS_OK with an answer, refusals included; ::LJS_E_NOMEM, ::LJS_E_INVAL for a request of another
 *  struct_size, ::LJS_E_STATE */
LJS_MUST ljs_err ljs_admin_handle(ljs_admin_ans *out, ljs_server *server, const ljs_admin_req *req, const uint8_t *in,
                                  size_t in_len);

/** The i-th of what can be asked for: "GET /v1/devices/{DevEUI}"; "" past the last. */
LJS_API const char *ljs_admin_route(unsigned i);
/** The act that it takes; 0 where any credential will do, and past the last. */
LJS_API int ljs_admin_route_act(unsigned i);

/** A problem [RFC 9457] that never came that far, as that function makes them.
 *  @param code  what went wrong, for programs, as "too-many-tries" */
LJS_MUST ljs_err ljs_admin_problem(ljs_buf *out, unsigned status, const char *code, const char *detail);

#ifdef __cplusplus
}
#endif
#endif
