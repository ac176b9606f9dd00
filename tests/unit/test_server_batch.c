/* Many at once, over stores that fail: whatever happens, never two sessions for one nonce, and
 * nothing answered that is not durable. */
#include "server_world.h"

#include "contract/contract.h"
#include "contract/faulty.h"
#include "random.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEVICES = 4, TEXT = 1024 };

static ljs_eui eui_of(unsigned device)
{
    return DEV + device;
}

/* ---- what end devices and their network server do --------------------------- */

static ljs_join_req join_of(ljs_eui dev_eui, ljs_mac mac, uint16_t nonce)
{
    const ljs_frame frame = { .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = dev_eui, .nonce = nonce };
    ljs_join_req req = request(mac);

    set_phy(&req, &frame, nwk);
    req.dl_settings = 0;
    req.dev_addr = (ljs_devaddr)(nonce + 0x1000);
    return req;
}

static void text_of(char out[TEXT], ljs_eui dev_eui, uint16_t nonce, uint32_t transaction)
{
    ljs_join_req req = join_of(dev_eui, LJS_MAC_1_0_3, nonce);
    const char *text = join_text(&(struct say){ .dev_eui = dev_eui, .transaction = transaction }, &req);

    assert_true(strlen(text) < TEXT);
    strcpy(out, text);
}

static void add_devices(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);

        d.dev_eui = eui_of(i);
        added(w, &d);
    }
}

/* The JoinNonce that a device reads in an answer; 0 when it is a refusal. */
static uint32_t join_nonce_in(const ljs_buf *out, uint16_t nonce, uint8_t id[16])
{
    const ljs_accept_of of = { .scheme = LJS_SCHEME_1_0, .kind = LJS_FRAME_JOIN, .join_eui = EUI, .nonce = nonce };
    ljs_message msg;
    ljs_accept accept;

    if (ljs_message_parse(&msg, out->data, out->len) != LJS_OK || msg.err != LJS_OK)
        abort();
    if (msg.result != LJS_OK)
        return 0;
    if (msg.session_key_id_len != 16 || ljs_accept_open(&accept, &of, nwk, nwk, msg.phy, msg.phy_len) != LJS_OK ||
        accept.join_nonce == 0)
        abort();
    memcpy(id, msg.session_key_id, 16);
    return accept.join_nonce;
}

/* ---- the judge: what was answered, device by device ------------------------- */

enum { NONCES = 4096 };

struct journal {
    pthread_mutex_t lock;
    struct {
        uint32_t join_nonce[NONCES]; /* by DevNonce; 0: not answered */
        uint8_t id[NONCES][16];
    } device[DEVICES];
};

static struct journal *journal_new(void)
{
    struct journal *j = calloc(1, sizeof *j);

    assert_non_null(j);
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

static void journal_free(struct journal *j)
{
    pthread_mutex_destroy(&j->lock);
    free(j);
}

/* One DevNonce has one session, and one JoinNonce too. */
static void note(struct journal *j, unsigned device, uint16_t nonce, uint32_t join_nonce, const uint8_t id[16])
{
    pthread_mutex_lock(&j->lock);
    if (j->device[device].join_nonce[nonce]) {
        if (j->device[device].join_nonce[nonce] != join_nonce || memcmp(j->device[device].id[nonce], id, 16) != 0)
            abort();
    } else {
        for (unsigned i = 0; i < NONCES; i++)
            if (j->device[device].join_nonce[i] == join_nonce)
                abort();
        j->device[device].join_nonce[nonce] = join_nonce;
        memcpy(j->device[device].id[nonce], id, 16);
    }
    pthread_mutex_unlock(&j->lock);
}

/* What was answered is durable: JoinNonce has passed it, the DevNonce is used, and where the session
 * is among those kept it is the very one. */
static void audit(const struct journal *j, struct world *w, unsigned devices)
{
    for (unsigned d = 0; d < devices; d++) {
        ljs_buf record = record_of(w, eui_of(d)), used;
        ljs_device dev = read_device(&record);
        uint32_t oldest = dev.sessions ? read_session(&record, dev.sessions - 1U).join_nonce : 0;

        assert_int_equal(ljs_device_dev_nonces(&used, 0, record.data, record.len), LJS_OK);
        assert_int_equal(used.len / 2, dev.next_join_nonce - 1); /* a session for each, and one for each */
        for (unsigned nonce = 0; nonce < NONCES; nonce++) {
            uint32_t join_nonce = j->device[d].join_nonce[nonce];
            bool found = false, kept = false;

            if (!join_nonce)
                continue;
            assert_true(join_nonce < dev.next_join_nonce);
            for (size_t k = 0; k < used.len; k += 2)
                found |= (unsigned)(used.data[k] | used.data[k + 1] << 8) == nonce;
            assert_true(found);
            for (unsigned s = 0; s < dev.sessions; s++) {
                ljs_session session = read_session(&record, s);

                if (session.join_nonce == join_nonce) {
                    kept = true;
                    assert_int_equal(session.nonce, nonce);
                    assert_memory_equal(session.session_key_id, j->device[d].id[nonce], 16);
                }
            }
            assert_true(kept || join_nonce < oldest);
        }
        ljs_buf_free(&used);
        ljs_buf_free(&record);
    }
}

/* ---- a store that is watched ------------------------------------------------ */

struct watched {
    ljs_store *inner;
    atomic_uint commits, changes, gets;
    void (*before)(void *user); /* each commit */
    void *user;
};

static ljs_err watch_get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    struct watched *s = self;

    atomic_fetch_add(&s->gets, 1);
    return ljs_store_get(out, version, s->inner, key, key_len);
}

static ljs_err watch_commit(void *self, ljs_change *changes, size_t changes_len)
{
    struct watched *s = self;

    if (s->before)
        s->before(s->user);
    atomic_fetch_add(&s->commits, 1);
    atomic_fetch_add(&s->changes, (unsigned)changes_len);
    return ljs_store_commit(s->inner, changes, changes_len);
}

static ljs_err watch_each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    struct watched *s = self;

    return ljs_store_each(s->inner, prefix, prefix_len, row, user);
}

static void watch_close(void *self)
{
    struct watched *s = self;

    ljs_store_free(s->inner);
}

static ljs_store *watch(struct watched *s)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = watch_get, .commit = watch_commit, .each = watch_each, .close = watch_close
    };
    ljs_store *store;

    memset(s, 0, sizeof *s);
    assert_int_equal(ljs_store_memory(&s->inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, s), LJS_OK);
    return store;
}

static void reset(struct watched *s)
{
    atomic_store(&s->commits, 0);
    atomic_store(&s->changes, 0);
}

/* ---- batches ---------------------------------------------------------------- */

struct seen {
    const ljs_call *calls;
    size_t len;
    unsigned times;
};

/* While the store works, not one of the calls that wait for it is answered. */
static void nothing_answered(void *user)
{
    struct seen *seen = user;

    if (seen->times++ == 0)
        for (size_t i = 0; i < seen->len; i++)
            if (seen->calls[i].out.data)
                abort();
}

static void test_one_commit(void **state)
{
    static char text[64][TEXT];
    struct watched s;
    struct world w;
    ljs_call calls[64];
    struct seen seen = { calls, 64, 0 };

    (void)state;
    lab_begin(&w, watch(&s));
    for (unsigned i = 0; i < 64; i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);

        d.dev_eui = eui_of(i);
        added(&w, &d);
        text_of(text[i], eui_of(i), 1, i);
        calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
    }
    reset(&s);
    s.before = nothing_answered;
    s.user = &seen;
    ljs_server_handle_batch(w.server, calls, 64);
    assert_int_equal(atomic_load(&s.commits), 1);
    assert_int_equal(atomic_load(&s.changes), 64);
    for (unsigned i = 0; i < 64; i++) {
        uint8_t id[16];

        assert_int_equal(calls[i].err, LJS_OK);
        assert_int_equal(join_nonce_in(&calls[i].out, 1, id), 1);
        ljs_buf_free(&calls[i].out);
    }
    reset(&s);
    s.before = NULL;
    ljs_server_handle_batch(w.server, calls, 64); /* repeats change nothing */
    assert_int_equal(atomic_load(&s.commits), 0);
    for (unsigned i = 0; i < 64; i++)
        ljs_buf_free(&calls[i].out);
    for (unsigned i = 0; i < 64; i++) /* each device twice */
        text_of(text[i], eui_of(i / 2), (uint16_t)(2 + i % 2), i);
    reset(&s);
    for (unsigned i = 0; i < 64; i++)
        calls[i].in_len = strlen(text[i]);
    ljs_server_handle_batch(w.server, calls, 64);
    assert_int_equal(atomic_load(&s.commits), 2);
    for (unsigned i = 0; i < 64; i++) {
        uint8_t id[16];

        assert_int_equal(join_nonce_in(&calls[i].out, (uint16_t)(2 + i % 2), id), 2 + i % 2); /* in their order */
        ljs_buf_free(&calls[i].out);
    }
    ljs_server_handle_batch(w.server, calls, 0);
    ljs_server_handle_batch(w.server, NULL, 0);
    server_end(&w);
}

/* A batch answers as one message after another would, but for what is drawn at random. */
static void test_batch_as_one_by_one(void **state)
{
    static char text[200][TEXT];
    uint64_t seed = 11;

    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        struct world a, b;
        ljs_call calls[200];
        unsigned n = (unsigned)(random_next(&seed) % 200 + 1);

        lab_begin(&a, NULL);
        lab_begin(&b, NULL);
        add_devices(&a, 2);
        add_devices(&b, 2);
        for (unsigned i = 0; i < n; i++) {
            uint64_t dice = random_next(&seed);

            text_of(text[i], eui_of(dice % 8 ? dice / 8 % 2 : 9), (uint16_t)(dice >> 20 & 15), i);
            if (dice >> 32 & 1 && i) /* the last one once more, and some that are forged or no message */
                strcpy(text[i], text[i - 1]);
            else if ((dice >> 33 & 15) == 0)
                memcpy(strstr(text[i], "PHYPayload") + 40, "0", 1);
            else if ((dice >> 33 & 15) == 1)
                text[i][0] = '[';
            calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]), .now = 5 };
        }
        ljs_server_handle_batch(a.server, calls, n);
        for (unsigned i = 0; i < n; i++) {
            ljs_buf out;
            ljs_message x, y;

            assert_int_equal(ljs_server_handle(&out, b.server, NULL, 5, calls[i].in, calls[i].in_len), calls[i].err);
            assert_int_equal(ljs_message_parse(&x, calls[i].out.data, calls[i].out.len), LJS_OK);
            assert_int_equal(ljs_message_parse(&y, out.data, out.len), LJS_OK);
            memset(x.session_key_id, 0, sizeof x.session_key_id);
            memset(y.session_key_id, 0, sizeof y.session_key_id);
            assert_memory_equal(&x, &y, sizeof x);
            ljs_buf_free(&out);
            ljs_buf_free(&calls[i].out);
        }
        server_end(&a);
        server_end(&b);
    }
}

/* ---- a thousand copies ------------------------------------------------------ */

static void thousand_in_batches(ljs_store *store)
{
    static char text[1000][TEXT];
    ljs_call *calls = calloc(1000, sizeof *calls);
    uint8_t id[16], first[16];
    struct world w;

    lab_begin(&w, store);
    add_devices(&w, 2);
    for (unsigned i = 0; i < 1000; i++) {
        text_of(text[i], eui_of(i % 2), 77, i);
        calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
    }
    ljs_server_handle_batch(w.server, calls, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(calls[i].err, LJS_OK);
        assert_int_equal(join_nonce_in(&calls[i].out, 77, id), 1);
        if (i < 2) {
            if (i == 0)
                memcpy(first, id, 16);
        } else if (i % 2 == 0) {
            assert_memory_equal(id, first, 16);
        }
        ljs_buf_free(&calls[i].out);
    }
    for (unsigned d = 0; d < 2; d++) {
        assert_int_equal(device_in(&w, eui_of(d)).next_join_nonce, 2);
        assert_int_equal(device_in(&w, eui_of(d)).sessions, 1);
    }
    assert_int_equal(w.events, 1000);
    free(calls);
    server_end(&w);
}

static void test_thousand_copies_memory(void **state)
{
    (void)state;
    thousand_in_batches(NULL);
}

static void test_thousand_copies_sqlite(void **state)
{
    char *dir = contract_dir(), path[200];
    ljs_store *store;

    (void)state;
    snprintf(path, sizeof path, "%s/db", dir);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    thousand_in_batches(store);
    contract_dir_remove(dir);
}

/* ---- threads ---------------------------------------------------------------- */

static void quiet(void *user, const ljs_event *event)
{
    atomic_uint *count = user;

    (void)event;
    atomic_fetch_add(count, 1);
}

struct crowd {
    ljs_server *server;
    struct journal *journal;
    unsigned seed, messages, batch;
    bool copies; /* all of them the same request */
    unsigned granted, other;
};

static void *one_of_the_crowd(void *user)
{
    struct crowd *c = user;
    uint64_t seed = c->copies ? 1 : c->seed;
    char(*text)[TEXT] = calloc(c->batch, TEXT);
    ljs_call *calls = calloc(c->batch, sizeof *calls);
    unsigned *device = calloc(c->batch, sizeof *device);
    uint16_t *nonce = calloc(c->batch, sizeof *nonce);

    for (unsigned n = 0; n < c->messages; n += c->batch) {
        for (unsigned i = 0; i < c->batch; i++) {
            uint64_t dice = random_next(&seed);

            device[i] = c->copies ? 0 : dice % DEVICES;
            nonce[i] = c->copies ? 9 : (uint16_t)(dice >> 8 & 127);
            text_of(text[i], eui_of(device[i]), nonce[i], c->seed * 1000 + n + i);
            calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
        }
        ljs_server_handle_batch(c->server, calls, c->batch);
        for (unsigned i = 0; i < c->batch; i++) {
            uint8_t id[16];
            uint32_t join_nonce;

            if (calls[i].err)
                abort();
            if ((join_nonce = join_nonce_in(&calls[i].out, nonce[i], id))) {
                note(c->journal, device[i], nonce[i], join_nonce, id);
                c->granted++;
            } else if (memmem(calls[i].out.data, calls[i].out.len, "\"Other\"", 7)) {
                c->other++;
            }
            ljs_buf_free(&calls[i].out);
        }
    }
    free(text);
    free(calls);
    free(device);
    free(nonce);
    return NULL;
}

static void crowd(ljs_store *store, unsigned threads, unsigned messages, unsigned batch, bool copies)
{
    atomic_uint logged = 0;
    const ljs_server_opts opts = { .struct_size = sizeof opts,
                                   .anonymous = 1,
                                   .clear = LJS_CLEAR_NS | LJS_CLEAR_AS,
                                   .log = quiet,
                                   .log_user = &logged };
    struct journal *journal = journal_new();
    struct crowd each[32];
    pthread_t thread[32];
    struct world w;
    unsigned granted = 0, other = 0;

    server_begin(&w, store, &opts);
    add_devices(&w, DEVICES);
    for (unsigned i = 0; i < threads; i++) {
        each[i] = (struct crowd){ .server = w.server,
                                  .journal = journal,
                                  .seed = i + 1,
                                  .messages = messages,
                                  .batch = batch,
                                  .copies = copies };
        assert_int_equal(pthread_create(&thread[i], NULL, one_of_the_crowd, &each[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) { /* and what else a daemon does meanwhile */
        assert_int_equal(ljs_server_flush(w.server), LJS_OK);
        assert_int_equal(ljs_server_put_kek(w.server, "k", i % 2 ? ns_kek : as_kek, 1), LJS_OK);
        assert_int_equal(ljs_server_ready(w.server), LJS_OK);
        (void)ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_OK);
    }
    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        granted += each[i].granted;
        other += each[i].other;
    }
    assert_int_equal(atomic_load(&logged), threads * messages);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_OK), granted);
    audit(journal, &w, DEVICES);
    if (copies) { /* every copy is answered, with the one session there is */
        assert_int_equal(granted, threads * messages);
        assert_int_equal(device_in(&w, eui_of(0)).next_join_nonce, 2);
    }
    assert_true(granted > 0);
    assert_int_equal(other, 0); /* nobody loses the race so often */
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    journal_free(journal);
    server_end(&w);
}

static void test_crowd(void **state)
{
    (void)state;
    crowd(NULL, 8, 600, 1, false);
    crowd(NULL, 8, 600, 12, false);
}

static void test_crowd_of_copies(void **state)
{
    (void)state;
    crowd(NULL, 32, 32, 1, true);
    crowd(NULL, 8, 128, 16, true);
}

static void test_crowd_over_sqlite(void **state)
{
    char *dir = contract_dir(), path[200];
    ljs_store *store;

    (void)state;
    snprintf(path, sizeof path, "%s/db", dir);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    crowd(store, 8, 60, 4, false);
    contract_dir_remove(dir);
}

/* ---- somebody else writes the same record ----------------------------------- */

struct rival {
    ljs_server *server; /* of another process, as it were: its own handle on the same values */
    uint16_t nonce;
    unsigned times; /* how often he is first */
    bool busy;
};

static void rival_joins(void *user)
{
    struct rival *r = user;
    char text[TEXT];
    uint8_t id[16];
    ljs_buf out;

    if (r->busy || !r->times)
        return;
    r->times--;
    r->busy = true;
    text_of(text, eui_of(0), r->nonce, 1);
    assert_int_equal(ljs_server_handle(&out, r->server, NULL, 0, (const uint8_t *)text, strlen(text)), LJS_OK);
    assert_true(join_nonce_in(&out, r->nonce, id) != 0);
    r->nonce++;
    ljs_buf_free(&out);
    r->busy = false;
}

static void test_conflicts(void **state)
{
    static const struct {
        unsigned times;
        bool same; /* the rival is given the very same request first */
        const char *want;
        uint32_t join_nonce;
    } cases[] = { { 1, false, "Success", 2 },
                  { 8, false, "Success", 9 },
                  { 9, false, "Other", 10 },
                  { 50, false, "Other", 10 },
                  { 1, true, "Success", 1 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const ljs_server_opts opts = { /* once after a fault, eight times after a conflict */
                                       .struct_size = sizeof opts,
                                       .retries = 1,
                                       .anonymous = 1,
                                       .clear = LJS_CLEAR_NS | LJS_CLEAR_AS
        };
        struct rival rival = { .nonce = cases[i].same ? 500 : 100, .times = cases[i].times };
        struct watched s;
        struct world w, other;
        ljs_buf out;
        char text[TEXT];
        uint8_t id[16];
        uint32_t join_nonce;

        server_begin(&w, watch(&s), &opts);
        add_devices(&w, 1);
        lab_begin(&other, w.store);
        rival.server = other.server;
        s.before = rival_joins;
        s.user = &rival;
        text_of(text, eui_of(0), 500, 1);
        assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)), LJS_OK);
        join_nonce = join_nonce_in(&out, 500, id);
        if (strcmp(cases[i].want, "Success") == 0) {
            assert_int_equal(join_nonce, cases[i].join_nonce);
            assert_int_equal(device_in(&w, eui_of(0)).next_join_nonce, cases[i].join_nonce + 1);
            assert_int_equal(w.last.repeat, cases[i].same);
        } else {
            assert_int_equal(join_nonce, 0);
            assert_non_null(memmem(out.data, out.len, cases[i].want, strlen(cases[i].want)));
            assert_int_equal(device_in(&w, eui_of(0)).next_join_nonce, cases[i].join_nonce);
        }
        ljs_buf_free(&out);
        s.before = NULL;
        ljs_server_free(other.server);
        server_end(&w);
    }
}

/* Two processes over one file: JoinNonces are shared out between them, none twice. */
static void test_two_processes(void **state)
{
    enum { EACH = 40 };
    char *dir = contract_dir(), path[200];
    int ready[2], status;
    uint32_t mine[EACH], theirs[EACH];
    struct world w;
    ljs_store *store;
    pid_t child;

    (void)state;
    snprintf(path, sizeof path, "%s/db", dir);
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    lab_begin(&w, store);
    add_devices(&w, 1);
    server_end(&w);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    for (int i = 0; child == 0 && i < 1; i++) { /* handles of its own: those of the parent are dead here */
        world_begin(NULL);
    }
    assert_int_equal(ljs_store_sqlite(&store, path), LJS_OK);
    lab_begin(&w, store);
    for (unsigned i = 0; i < EACH; i++) {
        uint16_t nonce = (uint16_t)((child ? 0 : 1000) + i);
        uint8_t id[16];
        char text[TEXT];
        ljs_buf out;

        text_of(text, eui_of(0), nonce, i);
        assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)), LJS_OK);
        mine[i] = join_nonce_in(&out, nonce, id);
        ljs_buf_free(&out);
    }
    if (child == 0) {
        server_end(&w);
        _exit(write(ready[1], mine, sizeof mine) == sizeof mine ? 0 : 1);
    }
    assert_int_equal(read(ready[0], theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    {
        uint32_t next = device_in(&w, eui_of(0)).next_join_nonce;
        unsigned *times = calloc(next, sizeof *times), granted = 0;

        for (unsigned i = 0; i < 2 * EACH; i++) {
            uint32_t n = i < EACH ? mine[i] : theirs[i - EACH];

            assert_true(n < next);
            if (n) {
                granted++;
                assert_int_equal(++times[n], 1);
            }
        }
        assert_int_equal(granted, next - 1); /* every session that there is was answered, once */
        free(times);
    }
    close(ready[0]);
    close(ready[1]);
    server_end(&w);
    contract_dir_remove(dir);
}

/* ---- stores that fail ------------------------------------------------------- */

/* A network server that comes again after Other, as real ones do. */
static void life_over(struct world *w, struct faulty *f, struct journal *journal, enum faulty_call call, unsigned nth,
                      enum fault fault, unsigned batch)
{
    static char text[32][TEXT];
    uint64_t seed = nth * 10 + fault;
    ljs_call calls[32];
    unsigned device[32];
    uint16_t nonce[32];

    for (unsigned round = 0; round < 6; round++) {
        bool again = false;

        faulty_arm(f, call, nth, fault, 1);
        for (unsigned i = 0; i < batch; i++) {
            uint64_t dice = random_next(&seed);

            device[i] = dice % 2;
            nonce[i] = (uint16_t)(round * 8 + (dice >> 8) % 8);
            text_of(text[i], eui_of(device[i]), nonce[i], i);
        }
        for (unsigned tries = 0; tries < 3 && (tries == 0 || again); tries++) {
            again = false;
            for (unsigned i = 0; i < batch; i++)
                calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
            ljs_server_handle_batch(w->server, calls, batch);
            for (unsigned i = 0; i < batch; i++) {
                uint8_t id[16];
                uint32_t join_nonce;

                assert_int_equal(calls[i].err, LJS_OK);
                join_nonce = join_nonce_in(&calls[i].out, nonce[i], id);
                if (join_nonce)
                    note(journal, device[i], nonce[i], join_nonce, id);
                else
                    again |= memmem(calls[i].out.data, calls[i].out.len, "\"Other\"", 7) != NULL;
                ljs_buf_free(&calls[i].out);
            }
        }
        if (round % 2)
            (void)!ljs_server_flush(w->server);
        faulty_arm(f, call, 1, FAULT_NONE, 0);
        audit(journal, w, 2);
    }
}

static void test_faulty_store(void **state)
{
    (void)state;
    for (unsigned call = FAULTY_GET; call <= FAULTY_COMMIT; call++)
        for (unsigned fault = FAULT_BEFORE; fault < FAULTS; fault++)
            for (unsigned nth = 1; nth <= 5; nth++)
                for (unsigned batch = 1; batch <= 25; batch += 8) {
                    struct journal *journal = journal_new();
                    ljs_store *inner, *store;
                    struct faulty *f;
                    struct world w;

                    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
                    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
                    lab_begin(&w, store);
                    add_devices(&w, 2);
                    life_over(&w, f, journal, (enum faulty_call)call, nth, (enum fault)fault, batch);
                    journal_free(journal);
                    server_end(&w);
                }
}

/* Done, and then said to have failed: the fate is unknown, the loop loads again, and finds that it is
 * its own session.  The device is answered, and there is one. */
static void test_unknown_fate(void **state)
{
    char text[TEXT];

    (void)state;
    for (unsigned fault = FAULT_BEFORE; fault <= FAULT_AFTER; fault++) {
        ljs_store *inner, *store;
        struct faulty *f;
        struct world w;
        ljs_buf out;
        uint8_t id[16];

        assert_int_equal(ljs_store_memory(&inner), LJS_OK);
        assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
        lab_begin(&w, store);
        add_devices(&w, 1);
        faulty_arm(f, FAULTY_COMMIT, 1, (enum fault)fault, 0);
        text_of(text, eui_of(0), 5, 1);
        assert_int_equal(ljs_server_handle(&out, w.server, NULL, 0, (const uint8_t *)text, strlen(text)), LJS_OK);
        assert_int_equal(join_nonce_in(&out, 5, id), 1);
        assert_int_equal(device_in(&w, eui_of(0)).next_join_nonce, 2);
        {
            ljs_buf record = record_of(&w, eui_of(0));

            assert_memory_equal(read_session(&record, 0).session_key_id, id, 16);
            ljs_buf_free(&record);
        }
        ljs_buf_free(&out);
        server_end(&w);
    }
}

static void test_dead_store(void **state)
{
    static char text[20][TEXT];
    ljs_call calls[20];

    (void)state;
    for (unsigned call = FAULTY_GET; call <= FAULTY_COMMIT; call++)
        for (unsigned fault = FAULT_BEFORE; fault <= FAULT_TEAR; fault++) {
            ljs_store *inner, *store;
            struct faulty *f;
            struct world w;
            unsigned granted = 0;

            assert_int_equal(ljs_store_memory(&inner), LJS_OK);
            assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
            lab_begin(&w, store);
            add_devices(&w, 4);
            faulty_arm(f, (enum faulty_call)call, 1, (enum fault)fault, 1);
            for (unsigned i = 0; i < 20; i++) {
                text_of(text[i], eui_of(i % 4), (uint16_t)(i / 4), i);
                calls[i] = (ljs_call){ .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
            }
            ljs_server_handle_batch(w.server, calls, 20);
            for (unsigned i = 0; i < 20; i++) {
                bool other = memmem(calls[i].out.data, calls[i].out.len, "\"Other\"", 7) != NULL;

                assert_int_equal(calls[i].err, LJS_OK);
                granted += memmem(calls[i].out.data, calls[i].out.len, "\"Success\"", 9) != NULL;
                /* where changes come through all the same, they are found, and their nonces used */
                assert_true(other || (call == FAULTY_COMMIT && fault != FAULT_BEFORE));
                ljs_buf_free(&calls[i].out);
            }
            if (call == FAULTY_GET || fault == FAULT_BEFORE)
                assert_int_equal(granted, 0);
            (void)!ljs_server_flush(w.server);
            server_end(&w);
        }
}

/* ---- decisions -------------------------------------------------------------- */

static void ask_many(struct world *w, ljs_eui dev_eui, uint16_t nonce, bool forged, unsigned times, int64_t now)
{
    ljs_join_req req = join_of(dev_eui, LJS_MAC_1_0_3, nonce);
    const char *text;

    if (forged)
        req.phy[20] ^= 1;
    text = join_text(&(struct say){ .dev_eui = dev_eui }, &req);
    for (unsigned i = 0; i < times; i++) {
        ljs_buf out;

        assert_int_equal(ljs_server_handle(&out, w->server, NULL, now, (const uint8_t *)text, strlen(text)), LJS_OK);
        ljs_buf_free(&out);
    }
}

static void told(struct world *w, unsigned i, ljs_err err, uint16_t nonce, uint32_t count, int64_t at)
{
    ljs_event e;

    assert_int_equal(ljs_server_decision(&e, w->server, eui_of(0), i), LJS_OK);
    assert_int_equal(e.err, err);
    assert_int_equal(e.nonce, nonce);
    assert_int_equal(e.count, count);
    assert_int_equal(e.at, at);
    assert_int_equal(e.dev_eui, eui_of(0));
    assert_int_equal(e.type, LJS_MSG_JOIN_REQ);
    assert_int_equal(e.kind, LJS_FRAME_JOIN);
    assert_int_equal(e.net_id, NET);
}

static void told_no_more(struct world *w, ljs_eui dev_eui, unsigned i)
{
    ljs_event e;

    assert_int_equal(ljs_server_decision(&e, w->server, dev_eui, i), LJS_E_NOTFOUND);
    assert_int_equal(e.dev_eui, 0);
}

/* Forged requests cannot make the disk work. */
static void test_forgeries_write_nothing(void **state)
{
    struct watched s;
    struct world w;

    (void)state;
    lab_begin(&w, watch(&s));
    add_devices(&w, DEVICES);
    reset(&s);
    for (unsigned i = 0; i < 300; i++)
        ask_many(&w, eui_of(i % DEVICES), (uint16_t)i, true, 2, 7);
    ask_many(&w, 5, 1, false, 50, 7); /* unknown */
    assert_int_equal(atomic_load(&s.commits), 0);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    assert_int_equal(atomic_load(&s.commits), 1);
    assert_int_equal(atomic_load(&s.changes), DEVICES);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK); /* nothing new, nothing written */
    assert_int_equal(atomic_load(&s.commits), 1);
    told_no_more(&w, 5, 0);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_E_MIC), 600);
    assert_int_equal(ljs_server_count(w.server, LJS_MSG_JOIN_REQ, LJS_E_DEVICE), 50);
    server_end(&w);
}

static void test_decisions(void **state)
{
    struct world w;

    (void)state;
    lab_begin(&w, NULL);
    add_devices(&w, 2);
    ask_many(&w, eui_of(0), 5, false, 1, 10); /* a new session: the record itself tells of it */
    told_no_more(&w, eui_of(0), 0);
    ask_many(&w, eui_of(0), 6, true, 3, 11);
    ask_many(&w, eui_of(1), 6, true, 1, 11); /* between them, of another device */
    ask_many(&w, eui_of(0), 6, true, 2, 12);
    told_no_more(&w, eui_of(0), 0); /* in memory until it is flushed */
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    told(&w, 0, LJS_E_MIC, 6, 5, 12);
    told_no_more(&w, eui_of(0), 1);
    ask_many(&w, eui_of(0), 6, true, 4, 13); /* goes on, over a flush */
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    told(&w, 0, LJS_E_MIC, 6, 9, 13);
    told_no_more(&w, eui_of(0), 1);
    /* All within a second, and the clock put back: in the order in which it was. */
    ask_many(&w, eui_of(0), 5, false, 2, 20); /* repeats */
    ask_many(&w, eui_of(0), 6, true, 1, 20);
    ask_many(&w, eui_of(0), 7, false, 1, 20);
    ask_many(&w, eui_of(0), 5, false, 1, 19); /* of an older session now */
    ask_many(&w, eui_of(0), 6, true, 1, 18);  /* the same as before the last: not in a row */
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    told(&w, 0, LJS_E_MIC, 6, 1, 18);
    told(&w, 1, LJS_E_REPLAY, 5, 1, 19);
    told(&w, 2, LJS_E_MIC, 6, 1, 20);
    told(&w, 3, LJS_OK, 5, 2, 20);
    told(&w, 4, LJS_E_MIC, 6, 9, 13);
    told_no_more(&w, eui_of(0), 5);
    {
        ljs_event e;

        assert_int_equal(ljs_server_decision(&e, w.server, eui_of(0), 3), LJS_OK);
        assert_int_equal(e.repeat, 1);
    }
    server_end(&w);
}

static void test_decisions_are_bounded(void **state)
{
    struct world w;
    ljs_event e;
    unsigned n = 0;

    (void)state;
    lab_begin(&w, NULL);
    add_devices(&w, 2);
    for (uint16_t i = 0; i < 40; i++)
        ask_many(&w, eui_of(0), i, true, 1, i);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    while (ljs_server_decision(&e, w.server, eui_of(0), n) == LJS_OK) {
        assert_int_equal(e.nonce, 39 - n); /* the newest, and newest first */
        n++;
    }
    assert_in_range(n, 8, 32);
    /* More in one go than memory is given for: the oldest go. */
    for (uint16_t i = 0; i < 3000; i++)
        ask_many(&w, eui_of(i % 2), i, true, 1, i);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(ljs_server_decision(&e, w.server, eui_of(0), i), LJS_OK);
        assert_int_equal(e.nonce, 2998 - 2 * i);
    }
    told_no_more(&w, eui_of(0), n);
    server_end(&w);
}

static void test_decisions_at_rest(void **state)
{
    const ljs_eui eui = eui_of(0);
    uint8_t key[2][9] = { { 'w' }, { 'w' } };
    struct world w;
    ljs_buf value;
    uint64_t version;
    ljs_change change = { .key_len = 9 };
    ljs_event e;

    (void)state;
    for (int i = 0; i < 8; i++) {
        key[0][1 + i] = (uint8_t)(eui >> (56 - 8 * i));
        key[1][1 + i] = (uint8_t)((eui + 1) >> (56 - 8 * i));
    }
    lab_begin(&w, NULL);
    add_devices(&w, 2);
    ask_many(&w, eui_of(0), 1, true, 1, 1);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    assert_int_equal(ljs_store_get(&value, &version, w.store, key[0], 9), LJS_OK);
    change.key = key[1]; /* pasted under another device */
    change.in = value.data;
    change.in_len = value.len;
    assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
    assert_int_equal(ljs_server_decision(&e, w.server, eui_of(1), 0), LJS_E_SEAL);
    assert_int_equal(e.dev_eui, 0);
    for (size_t bit = 0; bit < 8 * value.len; bit++) {
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(ljs_store_get(&(ljs_buf){ NULL, 0 }, &version, w.store, (const uint8_t *)"none", 4),
                         LJS_E_NOTFOUND);
        change = (ljs_change){ .key = key[0], .key_len = 9, .in = value.data, .in_len = value.len };
        {
            ljs_buf old;

            assert_int_equal(ljs_store_get(&old, &change.if_version, w.store, key[0], 9), LJS_OK);
            ljs_buf_free(&old);
        }
        assert_int_equal(ljs_store_commit(w.store, &change, 1), LJS_OK);
        assert_int_equal(ljs_server_decision(&e, w.server, eui_of(0), 0), LJS_E_SEAL);
        value.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* What does not read stands in nobody's way. */
    ask_many(&w, eui_of(0), 2, true, 1, 2);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    told(&w, 0, LJS_E_MIC, 2, 1, 2);
    told_no_more(&w, eui_of(0), 1);
    ljs_buf_free(&value);
    server_end(&w);
}

static void test_flush_says_when_it_failed(void **state)
{
    ljs_store *inner, *store;
    struct faulty *f;
    struct world w;

    (void)state;
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
    lab_begin(&w, store);
    add_devices(&w, 1);
    for (unsigned call = FAULTY_GET; call <= FAULTY_COMMIT; call++) {
        ask_many(&w, eui_of(0), 3, true, 1, 9);
        faulty_arm(f, (enum faulty_call)call, 1, FAULT_BEFORE, 0);
        assert_int_equal(ljs_server_flush(w.server), LJS_E_STORE);
        told_no_more(&w, eui_of(0), 0);
    }
    /* What could not be written then is written when it can be. */
    ask_many(&w, eui_of(0), 4, true, 1, 10);
    assert_int_equal(ljs_server_flush(w.server), LJS_OK);
    told(&w, 0, LJS_E_MIC, 4, 1, 10);
    told(&w, 1, LJS_E_MIC, 3, 2, 9);
    told_no_more(&w, eui_of(0), 2);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_commit),
        cmocka_unit_test(test_batch_as_one_by_one),
        cmocka_unit_test(test_thousand_copies_memory),
        cmocka_unit_test(test_thousand_copies_sqlite),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_crowd_of_copies),
        cmocka_unit_test(test_crowd_over_sqlite),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_two_processes),
        cmocka_unit_test(test_faulty_store),
        cmocka_unit_test(test_unknown_fate),
        cmocka_unit_test(test_dead_store),
        cmocka_unit_test(test_forgeries_write_nothing),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_decisions_are_bounded),
        cmocka_unit_test(test_decisions_at_rest),
        cmocka_unit_test(test_flush_says_when_it_failed),
    };

    /* Once more with an audit log, which is whole at the end of each. */
    const struct CMUnitTest audited[] = {
        cmocka_unit_test(test_batch_as_one_by_one), cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_conflicts),           cmocka_unit_test(test_two_processes),
        cmocka_unit_test(test_faulty_store),        cmocka_unit_test(test_unknown_fate),
    };
    int failed = cmocka_run_group_tests(tests, world_begin, world_end);

    world_audit = LJS_AUDIT_ON;
    return failed + cmocka_run_group_tests(audited, world_begin, world_end);
}
