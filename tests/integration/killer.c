/* Ends the process it is loaded into just before the KILL_AT-th call that makes something durable or
 * gives it a name; without KILL_AT it counts them, into the file COUNT_TO.  With KILL_SYNCS writes are no such calls:
 * of those before a sync all or none count, when who reads them is SQLite.  With OLD_RENAME the file system knows of no
 * rename that replaces nothing; where a file has NO_ROOM in its name, there is none
 * behind its first ROOM octets. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int calls;

static void reach(const char *name)
{
    const char *at = getenv("KILL_AT");

    if (!strncmp(name, "pwrite", 6) && getenv("KILL_SYNCS"))
        return;
    if (++calls == (at ? atoi(at) : 0))
        kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("COUNT_TO");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (file) {
        fprintf(file, "%d", calls);
        fclose(file);
    }
}

#define POINT(result, name, parameters, arguments)                                                                     \
    result name parameters                                                                                             \
    {                                                                                                                  \
        result(*next) parameters = (result(*) parameters)dlsym(RTLD_NEXT, #name);                                      \
                                                                                                                       \
        reach(#name);                                                                                                  \
        return next arguments;                                                                                         \
    }

ssize_t write(int fd, const void *in, size_t len)
{
    ssize_t (*next)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    const char *name = getenv("NO_ROOM");
    char link[64], path[4096];
    ssize_t n;

    if (name) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
        if (strstr(path, name) && lseek(fd, 0, SEEK_CUR) >= atoi(getenv("ROOM"))) {
            errno = ENOSPC;
            return -1;
        }
    }
    return next(fd, in, len);
}

POINT(int, fsync, (int fd), (fd))
POINT(int, fdatasync, (int fd), (fd))
POINT(int, ftruncate, (int fd, off_t len), (fd, len))
POINT(int, ftruncate64, (int fd, off64_t len), (fd, len))
POINT(ssize_t, pwrite, (int fd, const void *in, size_t len, off_t at), (fd, in, len, at))
POINT(ssize_t, pwrite64, (int fd, const void *in, size_t len, off64_t at), (fd, in, len, at))
POINT(int, unlink, (const char *path), (path))
POINT(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
POINT(int, link, (const char *from, const char *to), (from, to))
POINT(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
POINT(int, rename, (const char *from, const char *to), (from, to))
POINT(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    int (*next)(int, const char *, int, const char *, unsigned) =
        (int (*)(int, const char *, int, const char *, unsigned))dlsym(RTLD_NEXT, "renameat2");

    if (flags && getenv("OLD_RENAME")) {
        errno = EINVAL;
        return -1;
    }
    reach("renameat2");
    return next(a, from, b, to, flags);
}
