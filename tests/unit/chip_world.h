/* chip_world.h -- a server with two accounts, and entries of a manifest that it believes. */
#ifndef CHIP_WORLD_H
#define CHIP_WORLD_H

#include <lorajs/chip.h>

#include "audit_world.h"
#include "codec/element.h"

enum { NOW = 1800000000 };

static struct world w;

static inline void begin_over(ljs_store *store)
{
    static const char *const names[] = { "acme", "globex" };

    server_begin(&w, store, &lab);
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        ljs_account a = { .struct_size = sizeof a, .at = NOW };

        strcpy(a.name, names[i]);
        assert_int_equal(ljs_server_add_account(w.server, &a), LJS_OK);
    }
}

static inline void begin(void)
{
    begin_over(NULL);
}

static inline void end(void)
{
    log_is_whole(&w);
    server_end(&w);
}

static inline ljs_manifest_entry entry_of(unsigned n)
{
    ljs_manifest_entry e = { .version = 1,
                             .has_dev_eui = 1,
                             .has_join_eui = 1,
                             .has_key = 1,
                             .suffix = 0x27,
                             .dev_eui = DEV + n,
                             .join_eui = EUI,
                             .model = "ATECC608A",
                             .part_number = "ATECC608A-MAHT3",
                             .group_id = "J9AR9Z6HBA4LE67D",
                             .signer = "7cCILlAOwYo1-PChGuoyUISMK3g" };

    memset(e.public_key, (int)(n + 1), sizeof e.public_key);
    snprintf(e.unique_id, sizeof e.unique_id, "0123%012x27", n);
    return e;
}

static inline ljs_register_opts opts_of(const char *account)
{
    ljs_register_opts opts = { .struct_size = sizeof opts,
                               .now = NOW,
                               .routing = { .struct_size = sizeof opts.routing } };

    snprintf(opts.account, sizeof opts.account, "%s", account);
    return opts;
}

static inline const ljs_manifest_entry *believed(const ljs_manifest_entry *e)
{
    static ljs_manifest_entry stamped;

    stamped = *e;
    ljs__entry_stamp(stamped.stamp, &stamped);
    return &stamped;
}

/* What came of it, as letters: made, kept, assigned; or the name of why not. */
static inline const char *registered(const ljs_register_opts *opts, const ljs_manifest_entry *e)
{
    static char text[8];
    ljs_registered what;

    assert_int_equal(ljs_server_register(&what, w.server, opts, believed(e)), LJS_OK);
    snprintf(text, sizeof text, "%s%s%s", what.made ? "M" : "", what.kept ? "K" : "", what.assigned ? "A" : "");
    return what.why ? ljs_register_why_name(what.why) : text;
}

static inline ljs_claim claim_of(unsigned n)
{
    ljs_claim c;

    assert_int_equal(ljs_server_get_claim(&c, w.server, DEV + n), LJS_OK);
    return c;
}

static inline ljs_err taken(unsigned n, const char *account, ljs_claim_act what, const ljs_buf *challenge)
{
    ljs_claim_req req = { .struct_size = sizeof req,
                          .now = NOW,
                          .act = what,
                          .dev_eui = DEV + n,
                          .to = "globex",
                          .until = NOW + 60,
                          .routing = { .struct_size = sizeof req.routing,
                                       .set = LJS_ROUTE_HOME_NET_ID,
                                       .has_home_net_id = 1,
                                       .home_net_id = NET } };
    ljs_buf none;

    strcpy(req.account, account);
    if (challenge) {
        req.has_chip = 1;
        memcpy(req.challenge, challenge->data, sizeof req.challenge);
        memset(req.signature, 1, sizeof req.signature);
    }
    return ljs_server_claim(&none, w.server, &req, NULL, 0);
}

#endif
