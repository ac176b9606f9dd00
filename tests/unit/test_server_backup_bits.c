/* A backup with a bit of it turned is no backup: each bit of what stands behind the database, and one
 * in so many of the database itself, whose every octet is under one digest. */
#include <lorajs/backup.h>
#include <lorajs/store.h>

#include "contract/contract.h"
#include "server_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOW = 1767225600, ONE_IN = 509 }; /* a prime, so that each bit of an octet has its turn */

static void every_bit(void **state)
{
    char *dir = contract_dir(), file[256], path[256];
    ljs_device d = device_of(LJS_MAC_1_1);
    ljs_backup made, read;
    ljs_store *store;
    struct world w;
    struct stat st;
    size_t bits = 0;
    int fd;

    (void)state;
    snprintf(file, sizeof file, "%s/lorajs.db", dir);
    snprintf(path, sizeof path, "%s/backup", dir);
    assert_int_equal(ljs_store_sqlite(&store, file), LJS_OK);
    lab_begin(&w, store);
    added(&w, &d);
    assert_int_equal(ljs_server_put_kek(w.server, "ns", ns_kek, 0), LJS_OK);
    assert_int_equal(ljs_backup_make(&made, vault, store, path, NOW), LJS_OK);
    assert_int_equal(ljs_backup_check(&read, vault, path), LJS_OK);
    assert_int_equal(read.devices, 1);

    assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0 && !fstat(fd, &st));
    assert_true(made.size && (uint64_t)st.st_size > made.size + 16);
    for (size_t bit = 0; bit < 8 * (size_t)st.st_size; bit += bit / 8 < made.size ? ONE_IN : 1) {
        const off_t at = (off_t)(bit / 8);
        uint8_t octet, turned;
        ljs_err err;

        assert_int_equal(pread(fd, &octet, 1, at), 1);
        turned = octet ^ (uint8_t)(1U << bit % 8);
        assert_int_equal(pwrite(fd, &turned, 1, at), 1);
        err = ljs_backup_check(&read, vault, path);
        if (err != LJS_E_SEAL && err != LJS_E_VERSION)
            fail_msg("bit %zu: %s", bit, ljs_errname(err));
        assert_int_equal(pwrite(fd, &octet, 1, at), 1);
        bits++;
    }
    assert_true(bits > 100);
    for (off_t len = st.st_size - 1; len > 0; len -= 1 + len / 64) { /* and none that was cut short */
        assert_int_equal(ftruncate(fd, len), 0);
        assert_int_equal(ljs_backup_check(&read, vault, path), LJS_E_SEAL);
    }
    assert_int_equal(close(fd), 0);
    server_end(&w);
    contract_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_bit) };

    return cmocka_run_group_tests(tests, world_begin, world_end);
}
