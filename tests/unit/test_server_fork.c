/* A store, a row or the log forks, and the child returns into the call while threads of the parent's had every lock of
 * the server: of the calls here it has LJS_E_STATE, waits for nobody, and tells nobody. */
#include "server/internal.h"

#include "audit_world.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 10 };

static struct forking {
    ljs_store *inner;
    ljs_server *server;
    unsigned left; /* the call that forks, 1 for the next; 0: none does */
    pid_t child;   /* -1: nothing forked yet; 0: here it is */
    bool told;     /* the child went on to somebody outside */
} f;

/* ---- who has the locks --------------------------------------------------------- */

struct holder {
    sem_t held, done;
};

static void *hold(void *user)
{
    pthread_mutex_t *const locks[] = { &f.server->audit.lock, &f.server->waiting.lock, &f.server->alarms.lock,
                                       &f.server->claims.lock, &f.server->lock };
    struct holder *h = user;

    for (size_t i = 0; i < COUNT_OF(locks); i++)
        pthread_mutex_lock(locks[i]);
    ljs__wide_write(&f.server->keks.lock);
    ljs__wide_write(&f.server->peers_lock);
    sem_post(&h->held);
    sem_wait(&h->done);
    ljs__wide_write_end(&f.server->peers_lock);
    ljs__wide_write_end(&f.server->keks.lock);
    for (size_t i = COUNT_OF(locks); i-- > 0;)
        pthread_mutex_unlock(locks[i]);
    return NULL;
}

static void fork_here(void)
{
    struct holder h;
    pthread_t thread;

    sem_init(&h.held, 0, 0);
    sem_init(&h.done, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
    sem_wait(&h.held);
    f.child = fork();
    if (f.child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(CHILD_SECONDS); /* who waits does so for ever */
        return;
    }
    assert_true(f.child > 0);
    sem_post(&h.done);
    pthread_join(thread, NULL);
}

static void count_call(void)
{
    if (f.child == 0)
        f.told = true;
    else if (f.left && !--f.left)
        fork_here();
}

/* ---- a store that forks ---------------------------------------------------------- */

static ljs_err get(ljs_buf *out, uint64_t *version, void *self, const uint8_t *key, size_t key_len)
{
    ljs_err err = ljs_store_get(out, version, f.inner, key, key_len);

    (void)self;
    count_call();
    return err;
}

static ljs_err commit(void *self, ljs_change *changes, size_t changes_len)
{
    ljs_err err = ljs_store_commit(f.inner, changes, changes_len);

    (void)self;
    count_call();
    return err;
}

static ljs_err each(void *self, const uint8_t *prefix, size_t prefix_len, ljs_store_row *row, void *user)
{
    ljs_err err = ljs_store_each(f.inner, prefix, prefix_len, row, user);

    (void)self;
    if (f.child) /* none of the rows forked */
        count_call();
    return err;
}

static void close_forking(void *self)
{
    (void)self;
    ljs_store_free(f.inner);
}

static void on_event(void *user, const ljs_event *event)
{
    (void)user, (void)event;
    count_call();
}

/* A device whose session keys go wrapped, and one whose do not; nothing is armed. */
static void begin(struct world *w, bool audit)
{
    static const ljs_store_ops ops = {
        .struct_size = sizeof ops, .get = get, .commit = commit, .each = each, .close = close_forking
    };
    const ljs_server_opts opts = { .struct_size = sizeof opts,
                                   .audit = audit ? LJS_AUDIT_ON : LJS_AUDIT_AS_STORE,
                                   .anonymous = 1,
                                   .clear = LJS_CLEAR_NS | LJS_CLEAR_AS,
                                   .log = on_event };
    ljs_device d = device_of(LJS_MAC_1_0_3);
    ljs_store *store;

    f = (struct forking){ .child = -1 };
    assert_int_equal(ljs_store_memory(&f.inner), LJS_OK);
    assert_int_equal(ljs_store_custom(&store, &ops, NULL), LJS_OK);
    server_begin(w, store, &opts);
    f.server = w->server;
    add_devices(w, 1);
    d.dev_eui = DEV + 1;
    strcpy(d.ns_kek_label, "kek");
    added(w, &d);
    assert_int_equal(ljs_server_put_kek(w->server, "kek", ns_kek, 0), LJS_OK);
}

/* ---- calls --------------------------------------------------------------------------- */

/* A good join, a refusal, a join whose keys go wrapped, and no message. */
static ljs_err batch(struct world *w)
{
    static char text[4][2048];
    ljs_call calls[4];
    ljs_err err = LJS_OK;

    for (unsigned i = 0; i < COUNT_OF(calls); i++) {
        strcpy(text[i], i == 3 ? "{}" : join_of(i == 2, i == 2 ? 5 : 6, i == 1));
        calls[i] = (ljs_call){ .now = 1700000000, .in = (const uint8_t *)text[i], .in_len = strlen(text[i]) };
    }
    ljs_server_handle_batch(w->server, calls, COUNT_OF(calls));
    for (unsigned i = 0; i < COUNT_OF(calls); i++) {
        if (f.child == 0 && (calls[i].err != LJS_E_STATE || calls[i].result != LJS_E_STATE || calls[i].out.data))
            return LJS_E_INVAL;
        ljs_buf_free(&calls[i].out);
        err = err ? err : calls[i].err;
    }
    return err;
}

static ljs_err wrapped(struct world *w)
{
    const char *text = join_of(1, 5, false);
    ljs_buf out;
    ljs_err err = ljs_server_handle(&out, w->server, NULL, 1700000000, (const uint8_t *)text, strlen(text));

    if (f.child == 0 && out.data)
        return LJS_E_INVAL;
    ljs_buf_free(&out);
    return err;
}

/* The KEK is open, and the join of it a repeat. */
static ljs_err again(struct world *w)
{
    ljs_err err = wrapped(w);

    return err ? err : batch(w);
}

/* What waited is written after the answer is made. */
static ljs_err late(struct world *w)
{
    const char *text;
    ljs_buf out;
    ljs_err err = batch(w);

    if (err)
        return err;
    text = join_of(0, 9, true);
    err = ljs_server_handle(&out, w->server, NULL, 1700000600, (const uint8_t *)text, strlen(text));
    if (f.child == 0 && out.data)
        return LJS_E_INVAL;
    ljs_buf_free(&out);
    return err;
}

static ljs_err flush(struct world *w)
{
    ljs_err err = again(w);

    if (!err)
        err = ljs_server_flush(w->server);
    return err ? err : ljs_server_flush_audit(w->server, 0);
}

static ljs_err administer(struct world *w)
{
    ljs_err err = ljs_server_put_kek(w->server, "kek", as_kek, 1);

    if (!err)
        err = ljs_server_step_device(w->server, DEV, LJS_DEVICE_BLOCK);
    if (!err)
        err = ljs_server_note(w->server, LJS_AUDIT_NOTE, DEV, LJS_OK, "by hand");
    return err ? err : ljs_server_del_kek(w->server, "kek");
}

static void child_was_right(void)
{
    int status;

    assert_int_equal(waitpid(f.child, &status, 0), f.child);
    if (WIFSIGNALED(status))
        fail_msg("the child ended by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Whichever call of the store, or of the log, it is that forks. */
static void from_every_call(ljs_err (*call)(struct world *), bool audit)
{
    for (unsigned nth = 1, forked = 1; forked; nth++) {
        struct world w;
        ljs_err err;

        begin(&w, audit);
        f.left = nth;
        err = call(&w);
        if (f.child == 0) {
            bool right = err == LJS_E_STATE && !f.told && ljs_server_set_actor(w.server, 0, "me") == LJS_E_STATE;

            ljs_server_free(w.server);
            _exit(right ? 0 : 1);
        }
        assert_int_equal(err, LJS_OK);
        forked = f.child > 0;
        assert_true(forked || nth > 3);
        if (forked)
            child_was_right();
        f.left = 0;
        server_end(&w);
    }
}

static void test_messages(void **state)
{
    (void)state;
    for (unsigned audit = 0; audit < 2; audit++) {
        from_every_call(wrapped, audit);
        from_every_call(batch, audit);
        from_every_call(again, audit);
        from_every_call(late, audit);
    }
}

static void test_what_waits(void **state)
{
    (void)state;
    for (unsigned audit = 0; audit < 2; audit++)
        from_every_call(flush, audit);
}

static void test_administration(void **state)
{
    (void)state;
    for (unsigned audit = 0; audit < 2; audit++)
        from_every_call(administer, audit);
}

static ljs_err fork_in_row(void *user, ljs_eui dev_eui)
{
    (void)user, (void)dev_eui;
    count_call();
    return LJS_OK;
}

/* The first row, the last, or the store after it: the child sees no other row. */
static void test_rows(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 3; nth++) {
        struct world w;
        ljs_err err;

        begin(&w, false);
        f.left = nth;
        err = ljs_server_each_device(w.server, fork_in_row, NULL);
        if (f.child == 0)
            _exit(err == LJS_E_STATE && !f.told ? 0 : 1);
        assert_int_equal(err, LJS_OK);
        assert_true(f.child > 0);
        child_was_right();
        server_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_what_waits),
        cmocka_unit_test(test_administration),
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
