#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 8, WAITS = 50, WAIT_MS = 20, FOLDER_ROOM = sizeof((struct newfile *)0)->path };

static int complain_errno(const char *path)
{
    complain("%s: %s", path, strerror(errno));
    return FAILED;
}

/* Is it one that we may write to, and does it still stand there?  Else 0, with errno, or 0 and errno 0: try again. */
static bool is_ours(const struct newfile *f, mode_t mode)
{
    struct stat file, there;

    if (fstat(f->fd, &file))
        return false;
    if (!S_ISREG(file.st_mode) || file.st_uid != geteuid()) {
        errno = EEXIST;
        return false;
    }
    errno = 0;
    if (lstat(f->beside, &there) || there.st_ino != file.st_ino || there.st_dev != file.st_dev) {
        errno = 0; /* who wrote it has given it its name meanwhile */
        return false;
    }
    /* It has its name, and was not to have this one any more; or others could open it, and may have it open still. */
    if (file.st_nlink != 1 || file.st_mode & 0777 & ~mode) {
        if (!unlink(f->beside))
            errno = 0;
        return false;
    }
    return !(file.st_size && ftruncate(f->fd, 0));
}

/* Whoever replaces a file has done so in a moment. */
static bool lock(const struct newfile *f)
{
    bool locked = false, waits = true;

    for (int i = 0; !locked && waits && i < (f->over ? WAITS : 1); i++) {
        if (i)
            nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000 }, NULL);
        locked = !flock(f->fd, LOCK_EX | LOCK_NB);
        waits = errno == EWOULDBLOCK;
    }
    return locked || !waits; /* a file system without locks has none to respect */
}

/* O_NONBLOCK: what stands there may be a pipe. */
static int open_beside(struct newfile *f, mode_t mode)
{
    for (int i = 0; i < TRIES; i++) {
        int why;

        f->fd = open(f->beside, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
        if (f->fd < 0)
            return complain_errno(f->beside);
        if (!lock(f)) {
            complain("%s: somebody is writing to it", f->beside);
            close(f->fd);
            f->fd = -1;
            return FAILED;
        }
        if (is_ours(f, mode))
            return DONE;
        why = errno;
        close(f->fd);
        f->fd = -1;
        errno = why ? why : EBUSY;
        if (why)
            break;
    }
    return complain_errno(f->beside);
}

static int names(struct newfile *f, const char *path, bool over)
{
    struct stat there;

    f->fd = -1;
    f->over = over;
    if ((size_t)snprintf(f->path, sizeof f->path, "%s", path) >= sizeof f->path ||
        (size_t)snprintf(f->beside, sizeof f->beside, "%s.part", path) >= sizeof f->beside) {
        errno = ENAMETOOLONG;
        return complain_errno(path);
    }
    if (over || lstat(path, &there))
        return DONE;
    errno = EEXIST;
    return complain_errno(path);
}

static void folder_of(char out[FOLDER_ROOM], const char *path)
{
    const char *slash = strrchr(path, '/');

    snprintf(out, FOLDER_ROOM, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
}

int newfile_look(const char *path)
{
    struct newfile f;
    char dir[FOLDER_ROOM];

    if (names(&f, path, false))
        return FAILED;
    folder_of(dir, path);
    return access(dir, W_OK | X_OK) ? complain_errno(f.beside) : DONE;
}

static int open_new(struct newfile *f, const char *path, mode_t mode, bool over)
{
    return names(f, path, over) ? FAILED : open_beside(f, mode);
}

int newfile_open(struct newfile *f, const char *path, mode_t mode)
{
    return open_new(f, path, mode, false);
}

int newfile_open_over(struct newfile *f, const char *path, mode_t mode)
{
    return open_new(f, path, mode, true);
}

bool newfile_write(struct newfile *f, const void *in, size_t in_len)
{
    for (const uint8_t *at = in; in_len;) {
        ssize_t n = write(f->fd, at, in_len);

        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? n : 0;
        in_len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

int newfile_complain(const struct newfile *f)
{
    return complain_errno(f->path);
}

/* Not in the place of another.  Not every file system knows of that at a rename, nor each of links. */
static bool give_name(const struct newfile *f)
{
    if (f->over)
        return !rename(f->beside, f->path);
    if (!renameat2(AT_FDCWD, f->beside, AT_FDCWD, f->path, RENAME_NOREPLACE))
        return true;
    if ((errno != EINVAL && errno != ENOSYS) || link(f->beside, f->path))
        return false;
    (void)!unlink(f->beside);
    return true;
}

/* A new name is there after a crash when its directory is on the disk, too. */
static bool sync_folder(const char *path)
{
    char dir[FOLDER_ROOM];
    int dir_fd;
    bool done;

    folder_of(dir, path);
    if ((dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return false;
    done = !fsync(dir_fd);
    close(dir_fd);
    return done;
}

int newfile_keep(struct newfile *f)
{
    int code = DONE;

    if (fsync(f->fd) || !give_name(f)) {
        code = complain_errno(f->path);
        newfile_drop(f);
    } else if (!sync_folder(f->path)) {
        code = complain_errno(f->path);
        if (!f->over)
            (void)!unlink(f->path);
    }
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    return code;
}

/* While we hold the lock, so that nobody has begun to write there. */
void newfile_drop(struct newfile *f)
{
    if (f->fd < 0)
        return;
    (void)!unlink(f->beside);
    close(f->fd);
    f->fd = -1;
}
