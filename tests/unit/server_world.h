/* server_world.h -- a server over a store, and what network and application servers send it.  The
 * messages are written here by hand, so that the server is not asked in its own words. */
#ifndef SERVER_WORLD_H
#define SERVER_WORLD_H

#include <lorajs/audit.h>
#include <lorajs/backend.h>
#include <lorajs/server.h>

#include "device_world.h"

#include <pthread.h>
#include <stdio.h>

enum { EVENTS_MAX = 64 };

struct world {
    ljs_store *store;
    ljs_server *server;
    ljs_event last; /* as the log told it */
    size_t events;
};

static inline void on_log(void *user, const ljs_event *event)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* some tests have several threads */
    struct world *w = user;

    pthread_mutex_lock(&lock);
    w->last = *event;
    w->events++;
    pthread_mutex_unlock(&lock);
}

/* Of every server that says nothing of its own; where a log is kept, it is whole in the end. */
static ljs_audit_mode world_audit;

/* Over `store`, or one in memory. */
static inline void server_begin(struct world *w, ljs_store *store, const ljs_server_opts *opts)
{
    ljs_server_opts mine = opts ? *opts : (ljs_server_opts){ .struct_size = sizeof mine };

    memset(w, 0, sizeof *w);
    w->store = store;
    if (!store)
        assert_int_equal(ljs_store_memory(&w->store), LJS_OK);
    if (!mine.audit)
        mine.audit = (uint8_t)world_audit;
    if (!mine.log) {
        mine.log = on_log;
        mine.log_user = w;
    }
    assert_int_equal(ljs_server_new(&w->server, vault, w->store, &mine), LJS_OK);
}

static inline void log_is_whole(struct world *w)
{
    ljs_audit_report *report;
    ljs_audit_finding f;

    assert_int_equal(ljs_server_verify_audit(&report, w->server, NULL, 0), LJS_OK);
    if (!ljs_audit_report_finding(&f, report, 0))
        fail_msg("%s: chain %016llx, link %llu, device %016llx", ljs_audit_fault_name(f.fault),
                 (unsigned long long)f.writer, (unsigned long long)f.sequence, (unsigned long long)f.dev_eui);
    ljs_audit_report_free(report);
}

static inline void server_end(struct world *w)
{
    if (world_audit)
        log_is_whole(w);
    ljs_server_free(w->server);
    ljs_store_free(w->store);
}

/* The laboratory: whoever asks is answered, in clear. */
static inline void lab_begin(struct world *w, ljs_store *store)
{
    const ljs_server_opts opts = { .struct_size = sizeof opts, .anonymous = 1, .clear = LJS_CLEAR_NS | LJS_CLEAR_AS };

    server_begin(w, store, &opts);
}

static inline ljs_err add(struct world *w, const ljs_device *d)
{
    const ljs_root_keys keys = { .nwk = nwk, .app = app };

    return ljs_server_make_device(w->server, d, &keys, 0, NO_NONCE, NULL, 0);
}

static inline void added(struct world *w, const ljs_device *d)
{
    assert_int_equal(add(w, d), LJS_OK);
}

static inline ljs_buf record_of(struct world *w, ljs_eui dev_eui)
{
    ljs_buf record;

    assert_int_equal(ljs_server_get_device(&record, w->server, dev_eui), LJS_OK);
    return record;
}

static inline ljs_device device_in(struct world *w, ljs_eui dev_eui)
{
    ljs_buf record = record_of(w, dev_eui);
    ljs_device d = read_device(&record);

    ljs_buf_free(&record);
    return d;
}

/* What a message says; NULL where it does not say it. */
struct say {
    const char *type, *protocol, *sender, *ns_id, *mac, *extra;
    ljs_eui receiver, dev_eui;
    uint32_t transaction;
};

static inline void hex_of(char *out, const uint8_t *in, size_t len)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02X", in[i]);
    out[2 * len] = 0;
}

static inline char *head_text(const struct say *say, const char *type)
{
    static _Thread_local char text[1024];
    char ns[64] = "";

    if (say->ns_id)
        snprintf(ns, sizeof ns, ",\"SenderNSID\":\"%s\"", say->ns_id);
    snprintf(text, sizeof text,
             "{\"ProtocolVersion\":\"%s\",\"SenderID\":\"%s\",\"ReceiverID\":\"%016llX\",\"TransactionID\":%u,"
             "\"MessageType\":\"%s\"%s%s%s",
             say->protocol ? say->protocol : "1.0", say->sender ? say->sender : "000013",
             (unsigned long long)(say->receiver ? say->receiver : EUI), say->transaction, say->type ? say->type : type,
             ns, say->extra ? "," : "", say->extra ? say->extra : "");
    return text;
}

/* What a network server makes of a frame; thread by thread, good until the next. */
static inline char *join_text(const struct say *say, const ljs_join_req *req)
{
    static _Thread_local char text[2048];
    char phy[2 * LJS_FRAME_MAX + 1], cf_list[2 * LJS_CFLIST_LEN + 1], cf[64] = "";

    hex_of(phy, req->phy, req->phy_len);
    if (req->cf_list_len) {
        hex_of(cf_list, req->cf_list, LJS_CFLIST_LEN);
        snprintf(cf, sizeof cf, ",\"CFList\":\"%s\"", cf_list);
    }
    snprintf(text, sizeof text,
             "%s,\"MACVersion\":\"%s\",\"PHYPayload\":\"%s\",\"DevEUI\":\"%016llx\",\"DevAddr\":\"%08x\","
             "\"DLSettings\":\"%02x\",\"RxDelay\":%u%s}",
             head_text(say, req->rejoin ? "RejoinReq" : "JoinReq"), say->mac ? say->mac : ljs_mac_text(req->mac), phy,
             (unsigned long long)(say->dev_eui ? say->dev_eui : DEV), req->dev_addr, req->dl_settings, req->rx_delay,
             cf);
    return text;
}

static inline char *app_s_key_text(const struct say *say, const uint8_t *id, size_t id_len)
{
    static _Thread_local char text[2048];
    char hex[129];

    hex_of(hex, id, id_len);
    snprintf(text, sizeof text, "%s,\"DevEUI\":\"%016llX\",\"SessionKeyID\":\"%s\"}", head_text(say, "AppSKeyReq"),
             (unsigned long long)(say->dev_eui ? say->dev_eui : DEV), hex);
    return text;
}

static inline char *home_text(const struct say *say)
{
    static _Thread_local char text[2048];

    snprintf(text, sizeof text, "%s,\"DevEUI\":\"%016llX\"}", head_text(say, "HomeNSReq"),
             (unsigned long long)(say->dev_eui ? say->dev_eui : DEV));
    return text;
}

/* A peer of 1.0 knows these codes and no others [BI10 Table 23]; 1.1 spells two of them otherwise. */
static inline void check_code(const char *code, bool v11)
{
    static const char *const both[] = { "Success",       "MICFailed",
                                        "JoinReqFailed", "NoRoamingAgreement",
                                        "UnknownDevEUI", "ActivationDisallowed",
                                        "UnknownSender", "InvalidProtocolVersion",
                                        "Deferred",      "FrameSizeError",
                                        "Other" };
    static const char *const only[2][3] = { { "UnkownReceiver", "MalformedRequest", "" },
                                            { "UnknownReceiver", "MalformedMessage", "FrameReplayed" } };

    for (size_t i = 0; i < COUNT_OF(both); i++)
        if (!strcmp(both[i], code))
            return;
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(only[v11][i], code))
            return;
    fail_msg("code %s to a peer of %s", code, v11 ? "1.1" : "1.0");
}

static inline void code_of(char out[32], const char *body)
{
    const char *at = strstr(body, "\"ResultCode\":\"");

    assert_non_null(at);
    assert_int_equal(sscanf(at + 14, "%31[A-Za-z]", out), 1);
}

/* Ask as `peer`; what is answered is a message, and has the code that it is to have. */
static inline ljs_message asked(struct world *w, const char *peer, const char *text, const char *want)
{
    ljs_message msg;
    ljs_buf out;
    char body[4096], code[32];

    assert_int_equal(ljs_server_handle(&out, w->server, peer, 1700000000, (const uint8_t *)text, strlen(text)), LJS_OK);
    assert_true(out.len < sizeof body);
    memcpy(body, out.data, out.len);
    body[out.len] = 0;
    code_of(code, body);
    if (strcmp(code, want) != 0)
        fail_msg("%s\nanswered %s\nwanted %s", text, body, want);
    check_code(code, strstr(body, "\"ProtocolVersion\":\"1.1\"") != NULL);
    assert_int_equal(ljs_message_parse(&msg, out.data, out.len), LJS_OK);
    if (strcmp(code, "Success") != 0) {
        assert_null(strstr(body, "Key\":{")); /* no key of any name goes with a refusal */
        assert_null(strstr(body, "PHYPayload"));
    }
    ljs_buf_free(&out);
    return msg;
}

/* A network server of NetID 000013 with one KEK, and an application server with another. */
static inline ljs_peers *two_peers(void)
{
    ljs_peers *p;

    assert_int_equal(ljs_peers_new(&p), LJS_OK);
    assert_int_equal(ljs_peers_add(p, "ns", 0), LJS_OK);
    assert_int_equal(ljs_peers_add_net_id(p, "ns", NET), LJS_OK);
    assert_int_equal(ljs_peers_add_kek(p, "ns", "ns-kek"), LJS_OK);
    assert_int_equal(ljs_peers_add(p, "as", 0), LJS_OK);
    assert_int_equal(ljs_peers_add_as_id(p, "as", "as.example"), LJS_OK);
    assert_int_equal(ljs_peers_add_kek(p, "as", "as-kek"), LJS_OK);
    return p;
}

static inline void put_two_keks(struct world *w)
{
    assert_int_equal(ljs_server_put_kek(w->server, "ns-kek", ns_kek, 0), LJS_OK);
    assert_int_equal(ljs_server_put_kek(w->server, "as-kek", as_kek, 0), LJS_OK);
}

#endif
