/* fixtures.h -- the joins that everything is measured with, as fixtures.py lays them out. */
#ifndef BENCH_FIXTURES_H
#define BENCH_FIXTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOINS = 1024 };

/* Numbers have their most significant octet first; fixtures.py tells what a, b and c are. */
struct fixture {
    uint8_t join_eui[8], dev_eui[8], net_id[3], dev_addr[4], join_nonce[3], dev_nonce[2];
    uint8_t rx_delay, dl_settings_a, dl_settings_b;
    uint8_t nwk_key[16], app_key[16], cf_list[16];
    uint8_t request[23];
    uint8_t accept_a[33], nwk_s_key_a[16], app_s_key_a[16];
    uint8_t accept_b[33], f_nwk_s_int_b[16], s_nwk_s_int_b[16], nwk_s_enc_b[16], app_s_key_b[16];
    uint8_t f_nwk_s_int_c[24], s_nwk_s_int_c[24], nwk_s_enc_c[24], app_s_key_c[24];
};
_Static_assert(sizeof(struct fixture) == 360, "fixtures.py says so");

struct fixtures {
    uint8_t magic[8], ns_kek[16], as_kek[16];
    struct fixture join[JOINS];
};

/* Read the file; whoever has none cannot go on, and ends. */
const struct fixtures *fixtures_read(const char *path);

static inline uint64_t be(const uint8_t *in, size_t len)
{
    uint64_t v = 0;

#pragma GCC unroll 8
    for (size_t i = 0; i < len; i++)
        v = v << 8 | in[i];
    return v;
}

/* What a network server makes of a join: a JoinReq, ended by a NUL.  `kind` is 'a', 'b' or 'c'. */
enum { MESSAGE_MAX = 512 };
size_t fixture_message(char out[MESSAGE_MAX], const struct fixture *f, char kind);
/* Is `answer` the JoinAns to it, with this accept and these keys? */
bool fixture_answered(const struct fixture *f, char kind, const uint8_t *answer, size_t answer_len);

#endif
