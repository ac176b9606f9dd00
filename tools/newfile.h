/* newfile.h -- a file that somebody wants to keep: keys, devices, a label.
 *
 * It is written beside its name, as FILE.part, and has the name only when all of it is on the disk, so whoever finds it
 * has the whole.  What stands under the name is not replaced, unless that was asked for.  Killed before, the command
 * leaves FILE.part, which the next one to write there takes over; two do not write there at once. */
#ifndef LORAJS_TOOLS_NEWFILE_H
#define LORAJS_TOOLS_NEWFILE_H

#include "tool.h"

struct newfile {
    char path[4200], beside[4200];
    int fd;    /* to be written, while it is open */
    bool over; /* in the place of what stands there */
};
#define NEWFILE_NONE                                                                                                   \
    {                                                                                                                  \
        .fd = -1                                                                                                       \
    }

/* Complains itself.  DONE, or FAILED. */
int newfile_open(struct newfile *f, const char *path, mode_t mode);
/* Without opening it: could it be made, and does nothing stand there?  Complains itself.  DONE, or FAILED. */
int newfile_look(const char *path);
/* As newfile_open() of a file that is written whole again and again, and of which all writers keep what others wrote:
 * from here until it is kept or dropped, nobody else's is under way.  The one that stands there is replaced. */
int newfile_open_over(struct newfile *f, const char *path, mode_t mode);
/* All of it, or false with errno. */
bool newfile_write(struct newfile *f, const void *in, size_t in_len);
/* Of errno; FAILED. */
int newfile_complain(const struct newfile *f);
/* Gives it its name, for good, and closes it.  Complains itself; FAILED has dropped it. */
int newfile_keep(struct newfile *f);
/* Nothing of it is left; of one that is not open nothing happens. */
void newfile_drop(struct newfile *f);

#endif
