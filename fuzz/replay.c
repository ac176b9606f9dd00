/* replay.c -- runs a fuzz target without libFuzzer: over every file it is given (a
 * directory stands for the files in it), and over a fixed number of mutations of each,
 * the same in every run.  So any compiler checks the laws, and what a fuzzing campaign
 * once found stays found. */
#include "fuzz.h"

#include "../tests/random.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MUTATIONS = 200, LONGEST = 1 << 16 };

/* What runs now, for the message of who finds it broken. */
static struct {
    char name[PATH_MAX + 32];
    const uint8_t *data;
    size_t size;
} now;

static size_t runs;

static void say(const char *text, size_t len)
{
    ssize_t ignored = write(STDERR_FILENO, text, len);

    (void)ignored;
}

static void on_abort(int number)
{
    static const char digits[] = "0123456789abcdef";

    (void)number;
    say(now.name, strlen(now.name));
    say(": ", 2);
    for (size_t i = 0; i < now.size && i < 4096; i++) {
        const char hex[2] = { digits[now.data[i] >> 4], digits[now.data[i] & 15] };

        say(hex, sizeof hex);
    }
    say("\n", 1);
}

/* In memory of its own, exactly as long as it is, so that a sanitizer sees who reads
 * past its end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy) {
        perror("replay");
        exit(2);
    }
    if (size)
        memcpy(copy, data, size);
    now.data = copy;
    now.size = size;
    (void)LLVMFuzzerTestOneInput(copy, size);
    now.data = NULL;
    now.size = 0;
    free(copy);
    runs++;
}

static size_t mutate(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
    size_t at = size ? random_next(state) % size : 0;

    switch (random_next(state) % 6) {
    case 0: /* flip a bit */
        if (size)
            data[at] ^= (uint8_t)(1u << random_next(state) % 8);
        return size;
    case 1: /* any octet */
        if (size)
            data[at] = (uint8_t)random_next(state);
        return size;
    case 2: /* an octet that is on some edge */
        if (size)
            data[at] = edges[random_next(state) % sizeof edges];
        return size;
    case 3: /* cut the end off */
        return at;
    case 4: /* take one out */
        if (!size)
            return size;
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    default: /* put one in */
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)random_next(state);
        return size + 1;
    }
}

static int replay_file(const char *path)
{
    static uint8_t seed[LONGEST], data[LONGEST + 16];
    uint64_t state = 1;
    FILE *f = fopen(path, "rb");
    size_t size;

    if (!f) {
        perror(path);
        return -1;
    }
    size = fread(seed, 1, sizeof seed, f);
    if (ferror(f) || (size == sizeof seed && fgetc(f) != EOF)) {
        fprintf(stderr, "%s: cannot be read, or is longer than %d octets\n", path, LONGEST);
        fclose(f);
        return -1;
    }
    fclose(f);
    snprintf(now.name, sizeof now.name, "%s", path);
    run(seed, size);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t len = size;

        memcpy(data, seed, size);
        for (uint64_t n = 1 + random_next(&state) % 4; n > 0; n--)
            len = mutate(data, len, &state);
        snprintf(now.name, sizeof now.name, "%s, mutation %u", path, i);
        run(data, len);
    }
    return 0;
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* How many files; below zero when something could not be read. */
static int replay(const char *path)
{
    struct dirent **names;
    struct stat st;
    int n, failed = 0;

    if (stat(path, &st)) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path) ? -1 : 1;
    if ((n = scandir(path, &names, is_file, alphasort)) < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char file[PATH_MAX];

        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        failed |= replay_file(file);
        free(names[i]);
    }
    free(names);
    if (n == 0)
        fprintf(stderr, "%s: no seeds\n", path);
    return failed || n == 0 ? -1 : n;
}

int main(int argc, char **argv)
{
    int seeds = 0;

    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);

        if (n < 0)
            return 1;
        seeds += n;
    }
    if (seeds == 0) {
        fprintf(stderr, "usage: %s DIRECTORY|FILE...\n", argv[0]);
        return 2;
    }
    printf("%d seeds, %d mutations of each\n%zu passed, 0 failed\n", seeds, (int)MUTATIONS, runs);
    return 0;
}
