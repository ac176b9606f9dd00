/* Versions of the master key: what the newest seals, what the others still open, and what is carried from
 * one to the next. */
#include "keys/vault.h"

#include <lorajs/master.h>

#include "base/secret.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const enum key_id ids[] = { KEY_NWK };
static const enum key_role roles[] = { ROLE_NWK };
static const uint8_t owner[] = "owner";

static ljs_key *master(uint8_t first)
{
    uint8_t octets[32] = { first };
    ljs_key *key;

    assert_int_equal(ljs_key_import(&key, octets, sizeof octets), LJS_OK);
    return key;
}

static ljs_vault *vault_of(uint8_t first)
{
    ljs_key *key = master(first);
    ljs_vault *vault;

    assert_int_equal(ljs_vault_from_key(&vault, key), LJS_OK);
    ljs_key_free(key);
    return vault;
}

static ljs_err add(ljs_vault *vault, uint8_t first)
{
    ljs_key *key = master(first);
    ljs_err err = ljs_vault_add(vault, key);

    ljs_key_free(key);
    return err;
}

static ljs_buf pack(const ljs_vault *vault)
{
    ljs_buf out;

    assert_int_equal(ljs_vault_pack(&out, vault), LJS_OK);
    return out;
}

static ljs_err unpack(ljs_vault *vault, const ljs_buf *in)
{
    return ljs_vault_unpack(vault, in->data, in->len);
}

static void expect(const ljs_vault *vault, unsigned version, unsigned versions)
{
    assert_int_equal(ljs_vault_version(vault), version);
    assert_int_equal(ljs_vault_versions(vault), versions);
}

/* A key, sealed; and a few octets with their tag. */
struct made {
    struct wr sealed, tagged, record, link;
    uint8_t print[16];
};

static struct made make(const ljs_vault *vault, struct ring *ring)
{
    struct made m = { 0 };

    assert_int_equal(ljs__vault_seal(&m.sealed, vault, ring, ids, roles, 1, owner, sizeof owner), LJS_OK);
    ljs__wr(&m.tagged, "what is tagged", 14);
    assert_int_equal(ljs__vault_tag(&m.tagged, vault, TAG_DEVICE), LJS_OK);
    ljs__wr(&m.record, "a record", 8);
    assert_int_equal(ljs__vault_tag(&m.record, vault, TAG_RECORD), LJS_OK);
    ljs__wr(&m.link, "a link", 6);
    assert_int_equal(ljs__vault_tag(&m.link, vault, TAG_AUDIT), LJS_OK);
    assert_int_equal(ljs__vault_fingerprint(m.print, vault, ring, ids, roles, 1), LJS_OK);
    return m;
}

static void drop(struct made *m)
{
    ljs__wr_drop(&m->sealed);
    ljs__wr_drop(&m->tagged);
    ljs__wr_drop(&m->record);
    ljs__wr_drop(&m->link);
}

enum is { GONE, OLD, NOW };

static void opens(const ljs_vault *vault, const struct made *m, enum is is)
{
    struct ring *ring;
    bool now;
    ljs_err want = is == GONE ? LJS_E_SEAL : LJS_OK;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs__vault_open(vault, ring, ids, roles, 1, owner, sizeof owner, m->sealed.data, m->sealed.len),
                     want);
    assert_int_equal(ljs__vault_check(vault, TAG_DEVICE, m->tagged.data, m->tagged.len), want);
    assert_int_equal(ljs__vault_tagged(&now, vault, TAG_DEVICE, m->tagged.data, m->tagged.len), want);
    assert_int_equal(now, is == NOW);
    assert_int_equal(ljs__vault_tagged(&now, vault, TAG_RECORD, m->record.data, m->record.len), want);
    assert_int_equal(now, is == NOW);
    assert_int_equal(ljs__vault_sealed_now(vault, m->sealed.data, m->sealed.len), is == NOW);
    assert_int_equal(ljs__vault_check(vault, TAG_KEK, m->tagged.data, m->tagged.len), LJS_E_SEAL);
    ljs__ring_give(ring);
}

static struct ring *ring_with_key(void)
{
    struct ring *ring;
    ljs_key *key;

    assert_int_equal(ljs__ring_take(&ring), LJS_OK);
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs__ring_load(ring, KEY_NWK, key), LJS_OK);
    ljs_key_free(key);
    return ring;
}

static void the_newest_seals(void **state)
{
    ljs_vault *vault = vault_of(1);
    struct ring *ring = ring_with_key();
    struct made made[LJS_MASTERS_MAX];

    (void)state;
    for (unsigned n = 0; n < LJS_MASTERS_MAX; n++) {
        if (n)
            assert_int_equal(add(vault, (uint8_t)(1 + n)), LJS_OK);
        expect(vault, n + 1, n + 1);
        made[n] = make(vault, ring);
        assert_int_equal(made[n].sealed.data[1] | made[n].sealed.data[2] << 8, n + 1);
        for (unsigned k = 0; k <= n; k++)
            opens(vault, &made[k], k == n ? NOW : OLD);
        assert_memory_equal(made[n].print, made[0].print, 16); /* tombstones are known for ever */
        assert_memory_equal(made[n].link.data, made[0].link.data, made[0].link.len);
        for (unsigned k = 0; k <= n; k++)
            assert_int_equal(add(vault, (uint8_t)(1 + k)), LJS_E_EXISTS);
    }
    assert_int_equal(add(vault, 99), LJS_E_STATE);
    expect(vault, LJS_MASTERS_MAX, LJS_MASTERS_MAX);
    assert_int_equal(ljs_vault_retire(vault), LJS_OK);
    expect(vault, LJS_MASTERS_MAX, 1);
    for (unsigned n = 0; n < LJS_MASTERS_MAX; n++)
        opens(vault, &made[n], n == LJS_MASTERS_MAX - 1 ? NOW : GONE);
    assert_int_equal(ljs_vault_retire(vault), LJS_OK);
    assert_int_equal(add(vault, 99), LJS_OK);
    expect(vault, LJS_MASTERS_MAX + 1, 2);
    for (unsigned n = 0; n < LJS_MASTERS_MAX; n++)
        drop(&made[n]);
    ljs__ring_give(ring);
    ljs_vault_free(vault);
}

static void lengths(void **state)
{
    ljs_vault *vault = vault_of(1);
    ljs_key *key;

    (void)state;
    assert_int_equal(ljs_key_generate(&key, 16), LJS_OK);
    assert_int_equal(ljs_vault_add(vault, key), LJS_E_INVAL);
    expect(vault, 1, 1);
    ljs_key_free(key);
    ljs_vault_free(vault);
}

/* Who has one of the keys has what the pack has; a stranger has nothing. */
static void each_key_opens_the_pack(void **state)
{
    ljs_vault *vault = vault_of(1), *stranger = vault_of(9);
    struct ring *ring = ring_with_key();
    struct made first = make(vault, ring), last;
    ljs_buf in;

    (void)state;
    assert_int_equal(add(vault, 2), LJS_OK);
    assert_int_equal(add(vault, 3), LJS_OK);
    last = make(vault, ring);
    in = pack(vault);
    assert_int_equal(unpack(stranger, &in), LJS_E_SEAL);
    expect(stranger, 1, 1);
    for (uint8_t k = 1; k <= 3; k++) {
        ljs_vault *other = vault_of(k);
        struct made more;

        expect(other, 1, 1);
        assert_int_equal(unpack(other, &in), LJS_OK);
        assert_int_equal(unpack(other, &in), LJS_OK);
        expect(other, 3, 3);
        opens(other, &first, OLD);
        opens(other, &last, NOW);
        more = make(other, ring);
        opens(vault, &more, NOW);
        assert_memory_equal(more.print, first.print, 16);
        drop(&more);
        ljs_vault_free(other);
    }
    ljs_buf_free(&in);

    /* Once the others are gone, the pack is worth nothing to who has them. */
    assert_int_equal(ljs_vault_retire(vault), LJS_OK);
    in = pack(vault);
    for (uint8_t k = 1; k <= 3; k++) {
        ljs_vault *other = vault_of(k);

        assert_int_equal(unpack(other, &in), k == 3 ? LJS_OK : LJS_E_SEAL);
        expect(other, k == 3 ? 3 : 1, 1);
        opens(other, &last, k == 3 ? NOW : GONE);
        if (k == 3) {
            struct made more = make(other, ring);

            assert_memory_equal(more.print, first.print, 16); /* that of the very first */
            assert_int_equal(ljs__vault_check(other, TAG_AUDIT, first.link.data, first.link.len), LJS_OK);
            drop(&more);
        }
        ljs_vault_free(other);
    }
    ljs_buf_free(&in);
    drop(&first);
    drop(&last);
    ljs__ring_give(ring);
    ljs_vault_free(vault);
    ljs_vault_free(stranger);
}

static void a_pack_tampered_with(void **state)
{
    ljs_vault *vault = vault_of(1), *other = vault_of(1);
    ljs_buf in;

    (void)state;
    assert_int_equal(add(vault, 2), LJS_OK);
    in = pack(vault);
    for (size_t bit = 0; bit < 8 * in.len; bit += 1 + bit / 64) {
        ljs_err err;

        in.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        err = unpack(other, &in);
        /* The half that is not ours may be altered: who has the other key sees it. */
        if (bit >= 8 * (2 + (in.len - 2) / 2))
            assert_int_equal(err, LJS_E_SEAL);
        else
            assert_true(err == LJS_E_SEAL || err == LJS_E_VERSION || bit >= 16);
        in.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (!err) { /* begin again as one that has its own key alone */
            ljs_vault_free(other);
            other = vault_of(1);
        }
        expect(other, 1, 1);
    }
    for (size_t len = 0; len < in.len; len += 1 + len / 16)
        assert_int_equal(ljs_vault_unpack(other, in.data, len), LJS_E_SEAL);
    in.data[0] = 2;
    assert_int_equal(unpack(other, &in), LJS_E_VERSION);
    in.data[0] = 1;
    assert_int_equal(unpack(other, &in), LJS_OK);
    ljs_buf_free(&in);
    ljs_vault_free(vault);
    ljs_vault_free(other);
}

struct work {
    ljs_vault *vault;
    struct ring *ring;
    atomic_bool stop;
    atomic_uint rounds, failed;
};

static void *at_work(void *arg)
{
    struct work *w = arg;
    struct ring *ring;

    if (ljs__ring_take(&ring))
        return NULL;
    while (!atomic_load(&w->stop)) {
        struct wr tagged = { 0 };

        ljs__wr(&tagged, "x", 1);
        if (ljs__vault_tag(&tagged, w->vault, TAG_KEK) || ljs__vault_check(w->vault, TAG_KEK, tagged.data, tagged.len))
            atomic_fetch_add(&w->failed, 1);
        ljs__wr_drop(&tagged);
        atomic_fetch_add(&w->rounds, 1);
    }
    ljs__ring_give(ring);
    return NULL;
}

/* What one thread has just tagged is good for it, whatever another adds meanwhile. */
static void changed_while_in_use(void **state)
{
    struct work w = { .vault = vault_of(1) };
    pthread_t thread[2];

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, at_work, &w), 0);
    for (unsigned n = 1; n < LJS_MASTERS_MAX; n++) {
        unsigned rounds = atomic_load(&w.rounds);
        ljs_buf in;

        assert_int_equal(add(w.vault, (uint8_t)(n + 1)), LJS_OK);
        in = pack(w.vault);
        assert_int_equal(unpack(w.vault, &in), LJS_OK);
        ljs_buf_free(&in);
        while (atomic_load(&w.rounds) - rounds < 100)
            ;
    }
    atomic_store(&w.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&w.failed), 0);
    ljs_vault_free(w.vault);
}

static int dead_in_child(ljs_vault *vault, ljs_key *key, const ljs_buf *in)
{
    ljs_buf out;

    return ljs_vault_add(vault, key) == LJS_E_STATE && ljs_vault_retire(vault) == LJS_E_STATE &&
           ljs_vault_pack(&out, vault) == LJS_E_STATE && unpack(vault, in) == LJS_E_STATE &&
           !ljs_vault_version(vault) && !ljs_vault_versions(vault);
}

static void after_fork(void **state)
{
    ljs_vault *vault = vault_of(1);
    ljs_buf in = pack(vault);
    ljs_key *key = master(2);
    int status;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(dead_in_child(vault, key, &in) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ljs_buf_free(&in);
    ljs_key_free(key);
    ljs_vault_free(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_seals),        cmocka_unit_test(lengths),
        cmocka_unit_test(each_key_opens_the_pack), cmocka_unit_test(a_pack_tampered_with),
        cmocka_unit_test(changed_while_in_use),    cmocka_unit_test(after_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
