/* The handler, ljs_server_handle(): a JoinReq as JSON in, a JoinAns as JSON out, over the store in
 * memory, with every check and every seal.  Before each pass the store is given the devices as they
 * were, so that each join is a new one of a device with the same past. */
#include "works.h"

#include "server/internal.h"

#include <lorajs/backend.h>

#include <stdlib.h>
#include <string.h>

enum { A, B, C, C_OLD, C_AUDIT };

static const struct {
    char kind;
    struct history history;
    ljs_audit_mode audit;
} cases[HANDLERS] = {
    [A] = { 'a', { LJS_MAC_1_0_3, 2, 30 }, LJS_AUDIT_AS_STORE },
    [B] = { 'b', { LJS_MAC_1_1, 2, 0 }, LJS_AUDIT_AS_STORE },
    [C] = { 'c', { LJS_MAC_1_1, 2, 0 }, LJS_AUDIT_AS_STORE },
    [C_AUDIT] = { 'c', { LJS_MAC_1_1, 2, 0 }, LJS_AUDIT_ON }, /* the worst case: a link for each join */
    [C_OLD] = { 'c',
                { LJS_MAC_1_1, 8, 0 },
                LJS_AUDIT_AS_STORE }, /* a device that has long been there: its record is full of sessions */
};

static struct {
    ljs_store *store;
    ljs_server *server;
    ljs_buf *records;
    char (*messages)[MESSAGE_MAX];
    size_t lens[JOINS];
} world[HANDLERS];

static bool begin(int which)
{
    const struct keys *keys = keys_ready();
    const ljs_server_opts opts = { .struct_size = sizeof opts, .audit = (uint8_t)cases[which].audit };

    MUST(!ljs_store_memory(&world[which].store));
    MUST(!ljs_server_new(&world[which].server, keys->vault, world[which].store, &opts));
    peers_ready(world[which].server, cases[which].kind == 'c');
    world[which].records = records_of(&cases[which].history);
    MUST(world[which].messages = calloc(joins, MESSAGE_MAX));
    for (size_t i = 0; i < joins; i++)
        world[which].lens[i] = fixture_message(world[which].messages[i], &fixtures->join[i], cases[which].kind);
    return true;
}

static void before(int which, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        struct key key = ljs__key_eui(SPACE_DEVICE, be(fixtures->join[i].dev_eui, 8));
        ljs_change change = {
            .key = key.at, .key_len = key.len, .in = world[which].records[i].data, .in_len = world[which].records[i].len
        };
        ljs_buf now;
        ljs_err err = ljs_store_get(&now, &change.if_version, world[which].store, key.at, key.len);

        MUST(!err || err == LJS_E_NOTFOUND);
        ljs_buf_free(&now);
        MUST(!ljs_store_commit(world[which].store, &change, 1) && !change.result);
    }
}

static ljs_err handle(ljs_buf *out, int which, size_t i)
{
    return ljs_server_handle(out, world[which].server, "ns", 1700000000, (const uint8_t *)world[which].messages[i],
                             world[which].lens[i]);
}

static void pass(int which, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        ljs_buf out;

        MUST(!handle(&out, which, i));
        ljs_buf_free(&out);
    }
    MUST(!ljs_server_count(world[which].server, LJS_MSG_JOIN_REQ, LJS_E_REPLAY));
}

static bool check(int which, const struct fixture *f, size_t i)
{
    ljs_buf out;
    bool good = !handle(&out, which, i) && fixture_answered(f, cases[which].kind, out.data, out.len);

    ljs_buf_free(&out);
    return good;
}

_Static_assert((int)C == HANDLER_WRAPPED, "works.h says so");

const struct work handler_works[HANDLERS] = {
    { .name = "handler-a", .which = A, .begin = begin, .check = check, .before = before, .pass = pass },
    { .name = "handler-b", .which = B, .begin = begin, .check = check, .before = before, .pass = pass },
    { .name = "handler-c", .which = C, .begin = begin, .check = check, .before = before, .pass = pass },
    { .name = "handler-c-audit", .which = C_AUDIT, .begin = begin, .check = check, .before = before, .pass = pass },
    { .name = "handler-c-old", .which = C_OLD, .begin = begin, .check = check, .before = before, .pass = pass },
};
