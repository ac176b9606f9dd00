/* audit_world.h -- a server that keeps an audit log, what is sent to it, and its log as a list. */
#ifndef AUDIT_WORLD_H
#define AUDIT_WORLD_H

#include <lorajs/audit.h>

#include "server_world.h"

static const ljs_server_opts lab = {
    .struct_size = sizeof lab, .audit = LJS_AUDIT_ON, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS
};

struct told {
    ljs_server *server;
    unsigned links, entries;
    ljs_audit_entry entry[160];
    ljs_audit_link link[160]; /* of each entry */
};

static inline ljs_err tell(void *user, uint64_t writer, uint64_t sequence)
{
    struct told *t = user;
    ljs_audit_link link;
    ljs_buf octets;

    assert_int_equal(ljs_server_get_link(&octets, t->server, writer, sequence), LJS_OK);
    assert_int_equal(ljs_audit_link_read(&link, octets.data, octets.len), LJS_OK);
    assert_true(link.writer == writer && link.sequence == sequence);
    for (unsigned i = 0; i < link.entries; i++) {
        assert_true(t->entries < COUNT_OF(t->entry));
        t->link[t->entries] = link;
        assert_int_equal(ljs_audit_link_entry(&t->entry[t->entries++], i, octets.data, octets.len), LJS_OK);
    }
    assert_int_equal(ljs_audit_link_entry(&t->entry[t->entries], link.entries, octets.data, octets.len),
                     LJS_E_NOTFOUND);
    t->links++;
    ljs_buf_free(&octets);
    return LJS_OK;
}

static inline struct told log_of(ljs_server *server)
{
    struct told t = { .server = server };

    assert_int_equal(ljs_server_each_link(server, tell, &t), LJS_OK);
    return t;
}

static inline const char *join_of(unsigned device, uint16_t nonce, bool forged)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = DEV + device, .nonce = nonce };
    ljs_join_req req = request(LJS_MAC_1_0_3);

    set_phy(&req, &frame, nwk);
    req.phy[req.phy_len - 1] ^= forged;
    req.dl_settings = 0;
    req.dev_addr = 0x1000U + nonce;
    return join_text(&(struct say){ .dev_eui = DEV + device }, &req);
}

static inline void ask(struct world *w, int64_t now, const char *text, const char *want)
{
    char code[32], body[2048];
    ljs_buf out;

    assert_int_equal(ljs_server_handle(&out, w->server, NULL, now, (const uint8_t *)text, strlen(text)), LJS_OK);
    assert_true(out.len < sizeof body);
    memcpy(body, out.data, out.len);
    body[out.len] = 0;
    code_of(code, body);
    assert_string_equal(code, want);
    ljs_buf_free(&out);
}

static inline void add_devices(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);

        d.dev_eui = DEV + i;
        added(w, &d);
    }
}

static inline ljs_err count_link(void *user, uint64_t writer, uint64_t sequence)
{
    (void)writer;
    (void)sequence;
    ++*(unsigned *)user;
    return LJS_OK;
}

/* How many there are in the log. */
static inline unsigned count_links(ljs_server *server)
{
    unsigned n = 0;

    assert_int_equal(ljs_server_each_link(server, count_link, &n), LJS_OK);
    return n;
}

#endif
