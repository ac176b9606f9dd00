#include "keys/gcrypt.h"

#include "keys/es256.h"

#include <gcrypt.h>
#include <stdlib.h>

enum {
    /* What libgcrypt 1.10 takes for an AES handle, with its block header, rounded up. */
    HANDLE_LEN = 2048,
    /* Grown by this when more rings are in use than the pool was made for. */
    POOL_STEP = 64 * 1024,
};

static ljs_err err_of(gcry_error_t error)
{
    switch (gcry_err_code(error)) {
    case GPG_ERR_NO_ERROR:
        return LJS_OK;
    case GPG_ERR_ENOMEM:
        return LJS_E_NOMEM;
    default:
        return LJS_E_CRYPTO;
    }
}

ljs_err ljs__aes_init(size_t handles)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return LJS_OK;
    /* A library neither prints nor drops privileges that its host may still need. */
    gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
    gcry_control(GCRYCTL_DISABLE_PRIV_DROP);
    if (!gcry_check_version(GCRYPT_VERSION))
        return LJS_E_CRYPTO;
    if (gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, (unsigned)POOL_STEP, 0))
        return LJS_E_CRYPTO;
    if (gcry_control(GCRYCTL_INIT_SECMEM, (unsigned)(handles * HANDLE_LEN), 0))
        return LJS_E_NOMEM; /* there is a pool, but it could not be locked: RLIMIT_MEMLOCK */
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return LJS_OK;
}

ljs_err ljs__aes_open(struct aes *out, size_t key_len)
{
    static const int algos[] = { GCRY_CIPHER_AES128, GCRY_CIPHER_AES192, GCRY_CIPHER_AES256 };
    gcry_error_t error;

    *out = (struct aes){ .key_len = key_len };
    error = gcry_cipher_open(&out->handle, algos[key_len / 8 - 2], GCRY_CIPHER_MODE_ECB, GCRY_CIPHER_SECURE);
    if (error)
        out->handle = NULL;
    return err_of(error);
}

void ljs__aes_close(struct aes *aes)
{
    gcry_cipher_close(aes->handle);
    *aes = (struct aes){ .handle = NULL };
}

/* The schedule for decrypting is made when it is first used, and its last round key is the
 * key itself.  Setting another key neither replaces it nor spares it the copy that
 * libgcrypt keeps of the context for a reset.  So reset first: that puts the context back
 * to when its key was set, before there was such a schedule. */
static gcry_error_t set_key(struct aes *aes, const uint8_t *key)
{
    gcry_error_t error = aes->decrypted ? gcry_cipher_reset(aes->handle) : 0;

    if (!error)
        error = gcry_cipher_setkey(aes->handle, key, aes->key_len);
    if (!error)
        aes->decrypted = false;
    return error;
}

ljs_err ljs__aes_key(struct aes *aes, const uint8_t *key)
{
    aes->keyed = true;
    return err_of(set_key(aes, key));
}

ljs_err ljs__aes_encrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len)
{
    return err_of(gcry_cipher_encrypt(aes->handle, out, in_len, in, in_len));
}

ljs_err ljs__aes_decrypt(struct aes *aes, uint8_t *out, const uint8_t *in, size_t in_len)
{
    aes->decrypted = true;
    return err_of(gcry_cipher_decrypt(aes->handle, out, in_len, in, in_len));
}

ljs_err ljs__aes_forget(struct aes *aes)
{
    static const uint8_t zero[32];
    gcry_error_t error;

    if (!aes->keyed)
        return LJS_OK;
    error = set_key(aes, zero);
    if (!error)
        aes->keyed = false;
    return err_of(error);
}

/* ---- ES256 ------------------------------------------------------------------ */

ljs_err ljs__sha256(uint8_t out[32], const struct part *parts, size_t parts_len)
{
    gcry_buffer_t buffers[SHA256_PARTS_MAX];

    if (parts_len > SHA256_PARTS_MAX)
        return LJS_E_INVAL;
    memset(buffers, 0, sizeof buffers);
    for (size_t i = 0; i < parts_len; i++) {
        memcpy(&buffers[i].data, &parts[i].at, sizeof buffers[i].data); /* it is read alone, and not const there */
        buffers[i].len = buffers[i].size = parts[i].len;
    }
    return err_of(gcry_md_hash_buffers(GCRY_MD_SHA256, 0, out, buffers, (int)parts_len));
}

struct sha256 {
    gcry_md_hd_t md;
};

ljs_err ljs__sha256_new(struct sha256 **out)
{
    struct sha256 *hash = calloc(1, sizeof *hash);
    ljs_err err = hash ? err_of(gcry_md_open(&hash->md, GCRY_MD_SHA256, 0)) : LJS_E_NOMEM;

    *out = err ? NULL : hash;
    if (err)
        free(hash);
    return err;
}

void ljs__sha256_add(struct sha256 *hash, const uint8_t *in, size_t in_len)
{
    gcry_md_write(hash->md, in, in_len);
}

ljs_err ljs__sha256_now(uint8_t out[32], const struct sha256 *hash)
{
    gcry_md_hd_t copy; /* reading ends it */
    ljs_err err = err_of(gcry_md_copy(&copy, hash->md));

    if (err)
        return err;
    memcpy(out, gcry_md_read(copy, GCRY_MD_SHA256), 32);
    gcry_md_close(copy);
    return LJS_OK;
}

void ljs__sha256_free(struct sha256 *hash)
{
    if (hash)
        gcry_md_close(hash->md);
    free(hash);
}

/* [SEC 1 §2.3.3]  04 | x | y */
static void point_of(uint8_t out[65], const uint8_t key[64])
{
    out[0] = 0x04;
    memcpy(out + 1, key, 64);
}

ljs_err ljs__p256_check(const uint8_t key[64])
{
    uint8_t octets[65];
    gcry_ctx_t curve = NULL;
    gcry_mpi_t q = NULL;
    gcry_mpi_point_t point = NULL;
    gcry_error_t error = gcry_mpi_ec_new(&curve, NULL, "NIST P-256");
    ljs_err err = err_of(error);

    if (err)
        return err;
    point_of(octets, key);
    q = gcry_mpi_set_opaque_copy(NULL, octets, 8 * sizeof octets);
    point = gcry_mpi_point_new(0);
    if (!q || !point)
        err = LJS_E_NOMEM;
    else if (gcry_mpi_ec_decode_point(point, q, curve) || !gcry_mpi_ec_curve_point(point, curve))
        err = LJS_E_INVAL;
    gcry_mpi_point_release(point);
    gcry_mpi_release(q);
    gcry_ctx_release(curve);
    return err;
}

/* A number as libgcrypt reads it, signed: never below zero. */
static void number_of(uint8_t out[33], const uint8_t in[32])
{
    out[0] = 0;
    memcpy(out + 1, in, 32);
}

ljs_err ljs__es256_verify(const uint8_t key[64], const uint8_t signature[64], const uint8_t digest[32])
{
    uint8_t point[65], r[33], s[33], e[33];
    gcry_sexp_t pub = NULL, sig = NULL, data = NULL;
    gcry_error_t error;

    point_of(point, key);
    number_of(r, signature);
    number_of(s, signature + 32);
    number_of(e, digest);
    error = gcry_sexp_build(&pub, NULL, "(public-key(ecc(curve \"NIST P-256\")(q %b)))", (int)sizeof point, point);
    if (!error)
        error = gcry_sexp_build(&sig, NULL, "(sig-val(ecdsa(r %b)(s %b)))", (int)sizeof r, r, (int)sizeof s, s);
    if (!error)
        error = gcry_sexp_build(&data, NULL, "(data(flags raw)(value %b))", (int)sizeof e, e);
    if (!error) {
        error = gcry_pk_verify(sig, data, pub);
        if (gcry_err_code(error) != GPG_ERR_ENOMEM &&
            error) /* out of range, or not the key's: it does not matter which */
            error = gcry_error(GPG_ERR_BAD_SIGNATURE);
    }
    gcry_sexp_release(data);
    gcry_sexp_release(sig);
    gcry_sexp_release(pub);
    return gcry_err_code(error) == GPG_ERR_BAD_SIGNATURE ? LJS_E_SEAL : err_of(error);
}

/* ---- JWE -------------------------------------------------------------------- */

/* A number in libgcrypt's secure memory: it puts there what it reads from there.  NULL: no memory. */
static gcry_mpi_t secret_number(const uint8_t in[32])
{
    uint8_t *copy = gcry_malloc_secure(32);
    gcry_mpi_t number = NULL;

    if (!copy)
        return NULL;
    memcpy(copy, in, 32);
    if (gcry_mpi_scan(&number, GCRYMPI_FMT_USG, copy, 32, NULL))
        number = NULL;
    gcry_free(copy); /* which wipes */
    return number;
}

/* 32 octets, however small it is. */
static gcry_error_t write_number(uint8_t out[32], gcry_mpi_t number)
{
    uint8_t *copy = gcry_malloc_secure(32);
    size_t len = 0;
    gcry_error_t error = copy ? gcry_mpi_print(GCRYMPI_FMT_USG, copy, 32, &len, number) : gcry_error(GPG_ERR_ENOMEM);

    if (!error) {
        memset(out, 0, 32 - len);
        memcpy(out + 32 - len, copy, len);
    }
    gcry_free(copy);
    return error;
}

/* The coordinates of `made` are in secure memory, too. */
static ljs_err agree(uint8_t z[32], gcry_mpi_t d, gcry_mpi_point_t point, gcry_ctx_t curve)
{
    gcry_mpi_point_t made = gcry_mpi_point_snatch_set(NULL, gcry_mpi_snew(256), gcry_mpi_snew(256), gcry_mpi_snew(256));
    gcry_mpi_t n = gcry_mpi_ec_get_mpi("n", curve, 1), x = gcry_mpi_snew(256);
    ljs_err err = LJS_E_INVAL;

    if (!made || !n || !x) {
        err = LJS_E_NOMEM;
    } else if (gcry_mpi_cmp_ui(d, 0) > 0 && gcry_mpi_cmp(d, n) < 0) {
        gcry_mpi_ec_mul(made, d, point, curve);
        if (!gcry_mpi_ec_get_affine(x, NULL, made, curve))
            err = err_of(write_number(z, x));
    }
    gcry_mpi_release(x);
    gcry_mpi_release(n);
    gcry_mpi_point_release(made);
    return err;
}

ljs_err ljs__p256_agree(uint8_t z[32], const uint8_t secret[32], const uint8_t key[64])
{
    uint8_t octets[65];
    gcry_ctx_t curve = NULL;
    gcry_mpi_t q = NULL, d = NULL;
    gcry_mpi_point_t point = NULL;
    ljs_err err = err_of(gcry_mpi_ec_new(&curve, NULL, "NIST P-256"));

    if (err)
        return err;
    point_of(octets, key);
    q = gcry_mpi_set_opaque_copy(NULL, octets, 8 * sizeof octets);
    point = gcry_mpi_point_new(0);
    d = secret_number(secret);
    if (!q || !point || !d)
        err = LJS_E_NOMEM;
    else if (gcry_mpi_ec_decode_point(point, q, curve) || !gcry_mpi_ec_curve_point(point, curve))
        err = LJS_E_INVAL; /* a point of another curve would tell of the secret, bit by bit */
    else
        err = agree(z, d, point, curve);
    gcry_mpi_release(d);
    gcry_mpi_point_release(point);
    gcry_mpi_release(q);
    gcry_ctx_release(curve);
    return err;
}

ljs_err ljs__gcm_open(uint8_t *out, const uint8_t key[32], const uint8_t iv[12], struct part aad,
                      struct part ciphertext, const uint8_t tag[16])
{
    gcry_cipher_hd_t handle = NULL;
    gcry_error_t error = gcry_cipher_open(&handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, GCRY_CIPHER_SECURE);

    if (error)
        return err_of(error);
    error = gcry_cipher_setkey(handle, key, 32);
    if (!error)
        error = gcry_cipher_setiv(handle, iv, 12);
    if (!error)
        error = gcry_cipher_authenticate(handle, aad.at, aad.len);
    if (!error)
        error = gcry_cipher_final(handle);
    if (!error)
        error = gcry_cipher_decrypt(handle, out, ciphertext.len, ciphertext.at, ciphertext.len);
    if (!error)
        error = gcry_cipher_checktag(handle, tag, 16);
    gcry_cipher_close(handle);
    if (error)
        memset(out, 0, ciphertext.len);
    return gcry_err_code(error) == GPG_ERR_CHECKSUM ? LJS_E_SEAL : err_of(error);
}
