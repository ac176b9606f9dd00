/* cryptoki.h -- p11-kit's only user: a token by its RFC 7512 URI, and what is computed in it
 * [PKCS#11 v2.40].  [DESIGN rule: one foreign library, one adapter]
 *
 * Nothing here keeps state but what a token itself does; token.h shares one among rings.  A
 * session is one thread's at a time.  A build without p11-kit has ljs__cryptoki_open() alone,
 * which says so. */
#ifndef LJS_KEYS_CRYPTOKI_H
#define LJS_KEYS_CRYPTOKI_H

#include <lorajs/token.h>

#include <stdbool.h>

/* What a key in the token may be used for; each is one attribute. */
enum token_use {
    USE_SIGN = 1 << 0, /* AES-CMAC */
    USE_ENCRYPT = 1 << 1,
    USE_DECRYPT = 1 << 2,
    USE_DERIVE = 1 << 3,
    USE_WRAP = 1 << 4,
    USE_UNWRAP = 1 << 5,
    USE_LEAVE = 1 << 6,   /* under another key, never in clear */
    USE_TRUSTED = 1 << 7, /* and under none but one that the security officer trusts */
    USE_CLEAR = 1 << 8,   /* in clear: what nobody may get, and a check asks for */
};

enum { TOKEN_VERSIONS = 8, /* of a key, in use at once */ };

typedef unsigned long token_session, token_object; /* an object is 0 when there is none */

/* What is to be made for good by ljs__cryptoki_open()'s caller. */
struct token_key {
    const char *label;
    uint16_t version;
    unsigned uses;
    bool opens_clear; /* no unwrap template: for tests that the attack works where it can */
};

struct cryptoki;

/* Each returns LJS_E_TOKEN when the token is gone or failed in a way of its own, LJS_E_NOMEM when it
 * is full, LJS_E_CRYPTO when it refused what was asked. */
struct cryptoki_ops {
    void (*close)(struct cryptoki *c); /* with all sessions, and the objects they made */
    ljs_err (*session)(token_session *out, struct cryptoki *c);
    /* Keys of the token by label, and the versions that they have. */
    ljs_err (*find)(token_object out[TOKEN_VERSIONS], uint16_t versions[TOKEN_VERSIONS], size_t *out_len,
                    struct cryptoki *c, token_session s, const char *label);
    /* A random AES-256 key that stays; the session was opened for writing. */
    ljs_err (*generate)(token_object *out, struct cryptoki *c, token_session s, const struct token_key *key);
    /* The others are gone with their session.  NULL for octets: random ones, which never leave it in clear. */
    ljs_err (*create)(token_object *out, struct cryptoki *c, token_session s, const uint8_t *octets, size_t len,
                      unsigned uses);
    ljs_err (*destroy)(struct cryptoki *c, token_session s, token_object key);
    ljs_err (*retire)(struct cryptoki *c, token_object key); /* one that was to stay */
    ljs_err (*cmac)(uint8_t out[16], struct cryptoki *c, token_session s, token_object key, const uint8_t *in,
                    size_t in_len);
    ljs_err (*ecb)(uint8_t *out, struct cryptoki *c, token_session s, token_object key, bool decrypt, const uint8_t *in,
                   size_t in_len);
    /* A key of 16 octets: in, encrypted. */
    ljs_err (*derive)(token_object *out, struct cryptoki *c, token_session s, token_object root, const uint8_t in[16],
                      unsigned uses);
    /* [RFC 3394]; *out_len is the room, then what was written. */
    ljs_err (*wrap)(uint8_t *out, size_t *out_len, struct cryptoki *c, token_session s, token_object kek,
                    token_object key);
    ljs_err (*unwrap)(token_object *out, struct cryptoki *c, token_session s, token_object kek, const uint8_t *in,
                      size_t in_len, unsigned uses);

    /* For ljs_token_check(): what is there, and what should be refused. */
    bool (*has_mechanisms)(struct cryptoki *c);
    bool (*may)(struct cryptoki *c, token_session s, token_object key, unsigned use); /* as its attribute says */
    bool (*is_public)(struct cryptoki *c, token_session s, token_object key);         /* it needs no PIN */
    ljs_err (*read)(uint8_t out[32], struct cryptoki *c, token_session s, token_object key);
    ljs_err (*allow)(struct cryptoki *c, token_session s, token_object key, unsigned use);
    ljs_err (*copy)(token_object *out, struct cryptoki *c, token_session s, token_object key); /* that can be changed */
    void (*describe)(ljs_token_report *out, struct cryptoki *c);
};

struct cryptoki {
    const struct cryptoki_ops *ops;
    bool leaks;    /* what an object took comes back with the whole library alone */
    char name[64]; /* the object of the URI, "lorajs" unless it has one */
};

enum token_login { LOGIN_USER, LOGIN_MAKER /* the user, to write */, LOGIN_OFFICER };

/* LJS_E_INVAL: no such URI, or one with a PIN in it; LJS_E_MISSING: a build without p11-kit;
 * LJS_E_NOTFOUND: no such module or token; LJS_E_EXISTS: more than one token of this description;
 * LJS_E_PIN. */
ljs_err ljs__cryptoki_open(struct cryptoki **out, const char *uri, const uint8_t *pin, size_t pin_len,
                           enum token_login as);

#endif
