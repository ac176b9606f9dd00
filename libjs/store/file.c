#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ljs_err sync_path(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    ljs_err err;

    if (fd < 0)
        return errno == ENOENT ? LJS_OK : LJS_E_STORE;
    err = fsync(fd) ? LJS_E_STORE : LJS_OK;
    close(fd);
    return err;
}

static ljs_err sync_with(const char *path, const char *end)
{
    char *name = malloc(strlen(path) + strlen(end) + 1), *slash;
    ljs_err err;

    if (!name)
        return LJS_E_NOMEM;
    sprintf(name, "%s%s", path, end);
    err = sync_path(name, 0);
    if ((slash = strrchr(name, '/')))
        *slash = '\0';
    if (!err)
        err = sync_path(!slash ? "." : *name ? name : "/", O_DIRECTORY);
    free(name);
    return err;
}

ljs_err ljs__sync_name(const char *path)
{
    return sync_with(path, "");
}

ljs_err ljs__sync_log(const char *path)
{
    return sync_with(path, "-wal");
}

bool ljs__is_lost(const char *path, const struct stat *st)
{
    char *name = malloc(strlen(path) + sizeof "-wal");
    struct stat log;
    bool lost = true;

    if (name) {
        sprintf(name, "%s-wal", path);
        lost = !st->st_size && !stat(name, &log) && log.st_size;
    }
    free(name);
    return lost;
}
