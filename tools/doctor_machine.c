/* doctor_machine.c -- what doctor says of this machine: locked memory, core dumps, swap, clock. */
#include "doctor.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

enum { LOCK_WANTED = 1 << 20 };

void look_memory(struct visit *v)
{
    struct rlimit limit = { 0, 0 };

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (can_lock(LOCK_WANTED))
        tell(v, OK, NULL, "memory for keys can be locked");
    else
        tell(v, ERROR, "raise it to 64 MiB: LimitMEMLOCK=64M in the unit, `ulimit -l`, or limits.conf",
             "less than 1 MiB of memory can be locked (the limit is %llu KiB): keys cannot be kept from the swap",
             (unsigned long long)limit.rlim_cur / 1024);
}

void look_dumps(struct visit *v)
{
    struct rlimit limit = { 1, 1 };

    getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
        tell(v, OK, NULL, "this program allows no core dump and no debugger");
    else
        tell(v, ERROR, "see what forbids setrlimit and prctl here, such as a filter of system calls",
             "core dumps cannot be forbidden");
    if (v->has_config && v->config.dumpable)
        tell(v, ERROR, "take `dumpable` out of the configuration", "the configuration allows core dumps and debuggers");
}

/* A line of a small file of the kernel's; false when there is none. */
static bool read_line(char *out, size_t room, const char *path)
{
    FILE *in = fopen(path, "re");
    bool got = in && fgets(out, (int)room, in);

    if (in)
        fclose(in);
    if (got)
        out[strcspn(out, "\n")] = '\0';
    return got;
}

/* Does the kernel encrypt what it swaps there, or keep it in memory? */
static bool is_safe_swap(const char *device)
{
    char path[1024], uuid[256], real[256];
    ssize_t n = readlink(device, real, sizeof real - 1);
    const char *name = device;

    if (n > 0) {
        real[n] = '\0';
        name = real;
    }
    name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    snprintf(path, sizeof path, "/sys/block/%s/dm/uuid", name);
    return !strncmp(name, "zram", 4) || (read_line(uuid, sizeof uuid, path) && !strncmp(uuid, "CRYPT-", 6));
}

void look_swap(struct visit *v)
{
    FILE *in = fopen("/proc/swaps", "re");
    char line[1024], device[512];
    unsigned n = 0;

    while (in && fgets(line, sizeof line, in)) {
        if (sscanf(line, "%511s", device) != 1 || device[0] != '/' || is_safe_swap(device))
            continue;
        n++;
        tell(v, WARNING, "encrypt it, turn it off, or forbid it to the service (MemorySwapMax=0, as the unit does)",
             "%s is swap that is not encrypted: keys are locked in memory, but what the machine keeps when it "
             "hibernates, and requests with keys in clear, may reach it",
             device);
    }
    if (!in)
        tell(v, WARNING, "run it where /proc can be read", "/proc/swaps: %s", strerror(errno));
    else if (!n)
        tell(v, OK, NULL, "no swap that is not encrypted");
    if (in)
        fclose(in);
}

void look_clock(struct visit *v)
{
    struct timex t = { .modes = 0 };
    int state = adjtimex(&t);
    char when[32];
    int64_t now = now_seconds();

    if (now < INT64_C(1767225600)) /* 2026-01-01 */
        tell(v, ERROR, "set it; certificates and the times of decisions depend on it", "the clock says %s",
             time_text(when, now));
    else if (state < 0)
        tell(v, WARNING, "see that something keeps it right", "whether the clock (%s) is kept right cannot be seen: %s",
             time_text(when, now), strerror(errno));
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        tell(v, WARNING, "run systemd-timesyncd or chrony",
             "nothing keeps the clock (%s) right, as far as the kernel knows", time_text(when, now));
    else
        tell(v, OK, NULL, "the clock says %s, and is kept right", time_text(when, now));
}
