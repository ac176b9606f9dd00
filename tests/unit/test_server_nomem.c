/* Memory ends in the middle of a batch, at each place where the library asks for some: what was answered is saved and
 * nothing else is, and once there is memory again everything goes on.  And the store ends, after the answers were
 * written. */
#include "server_world.h"

#include "contract/faulty.h"

enum { DEVICES = 4, MESSAGES = 12, NONCES = 8 };

/* ---- memory that ends ------------------------------------------------------- */

static unsigned countdown; /* which call from now on fails; 0: none */
static bool for_good;      /* and all after it */
static bool ended;

void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);

static bool ends(void)
{
    if (!countdown || --countdown)
        return false;
    countdown = for_good;
    return ended = true;
}

void *__wrap_malloc(size_t len)
{
    return ends() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    return ends() ? NULL : __real_calloc(n, len);
}

/* ---- a batch ---------------------------------------------------------------- */

struct batch {
    char text[MESSAGES][1024];
    unsigned device[MESSAGES], nonce[MESSAGES];
    ljs_call calls[MESSAGES];
};

static ljs_eui eui_of(unsigned device)
{
    return DEV + device;
}

/* Each device once, then the first two in turns with the next DevNonces, the first with one that was used; the last
 * message changes nothing. */
static void make_batch(struct batch *b)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        b->device[i] = i < DEVICES ? i : i % 2;
        b->nonce[i] = i < MESSAGES - 2 ? 1 + i / 2 : 1;
        if (i == MESSAGES - 1) {
            strcpy(b->text[i], home_text(&(struct say){ .dev_eui = eui_of(0), .transaction = i }));
        } else {
            const ljs_frame frame = {
                .kind = LJS_FRAME_JOIN, .join_eui = EUI, .dev_eui = eui_of(b->device[i]), .nonce = b->nonce[i]
            };
            ljs_join_req req = request(LJS_MAC_1_0_3);

            set_phy(&req, &frame, nwk);
            strcpy(b->text[i], join_text(&(struct say){ .dev_eui = frame.dev_eui, .transaction = i }, &req));
        }
    }
}

static void add_devices(struct world *w)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        ljs_device d = device_of(LJS_MAC_1_0_3);

        d.dev_eui = eui_of(i);
        added(w, &d);
    }
}

static bool has(const ljs_buf *out, const char *text)
{
    return out->len && memmem(out->data, out->len, text, strlen(text));
}

/* How many sessions were answered. */
static unsigned ask(struct batch *b, struct world *w, int64_t now)
{
    bool seen[DEVICES][NONCES] = { { false } };
    unsigned sessions = 0;

    for (unsigned i = 0; i < MESSAGES; i++)
        b->calls[i] = (ljs_call){ .now = now, .in = (const uint8_t *)b->text[i], .in_len = strlen(b->text[i]) };
    ljs_server_handle_batch(w->server, b->calls, MESSAGES);
    countdown = 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        const ljs_buf *out = &b->calls[i].out;
        bool *one = &seen[b->device[i]][b->nonce[i]];
        char transaction[32];

        if (b->calls[i].err)
            assert_int_equal(out->len, 0);
        else
            assert_true(out->len > 0);
        snprintf(transaction, sizeof transaction, "\"TransactionID\":%u,", i);
        if (out->len && b->calls[i].result != LJS_E_NOMEM)
            assert_true(has(out, transaction));
        assert_int_equal(has(out, "\"Success\""), has(out, "\"AESKey\":\""));
        if (has(out, "\"Success\"") && !*one) {
            *one = true;
            sessions++;
        }
    }
    return sessions;
}

static void forget(struct batch *b)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        ljs_buf_free(&b->calls[i].out);
}

/* Did memory end? */
static bool ends_at(unsigned nth, bool good)
{
    static struct batch b;
    struct world w;
    unsigned answered, saved = 0;

    make_batch(&b);
    lab_begin(&w, NULL);
    add_devices(&w);
    ended = false;
    for_good = good;
    countdown = nth;
    answered = ask(&b, &w, 1700000000);
    forget(&b);
    for (unsigned i = 0; i < DEVICES; i++)
        saved += device_in(&w, eui_of(i)).next_join_nonce - 1;
    assert_int_equal(answered, saved);
    ask(&b, &w, 1700000001);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(b.calls[i].err, LJS_OK);
    for (unsigned i = 2; i < DEVICES; i++) /* of which there is one request */
        assert_int_equal(b.calls[i].result, LJS_OK);
    forget(&b);
    server_end(&w);
    return ended;
}

static void test_memory_ends(void **state)
{
    unsigned most[2];

    (void)state;
    for (int good = 0; good < 2; good++)
        for (most[good] = 1; ends_at(most[good], good); most[good]++)
            ;
    assert_true(most[0] > 3 * MESSAGES && most[0] == most[1]);
}

/* A refusal is to the message that it answers, although others were looked at since. */
static void test_store_ends(void **state)
{
    static struct batch b;
    ljs_store *inner, *store;
    struct faulty *f;
    struct world w;

    (void)state;
    make_batch(&b);
    assert_int_equal(ljs_store_memory(&inner), LJS_OK);
    assert_int_equal(faulty_new(&store, &f, inner), LJS_OK);
    lab_begin(&w, store);
    add_devices(&w);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_BEFORE, 1);
    assert_int_equal(ask(&b, &w, 1700000000), 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(b.calls[i].err, LJS_OK);
        assert_true(has(&b.calls[i].out, "\"Other\""));
    }
    forget(&b);
    faulty_arm(f, FAULTY_COMMIT, 1, FAULT_NONE, 0);
    assert_int_equal(ask(&b, &w, 1700000001), MESSAGES - 2); /* but for the copy, and what is no join */
    forget(&b);
    server_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory_ends), cmocka_unit_test(test_store_ends) };
    int failed = cmocka_run_group_tests(tests, world_begin, world_end);

    world_audit = LJS_AUDIT_ON;
    return failed + cmocka_run_group_tests(tests, world_begin, world_end);
}
