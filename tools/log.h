/* log.h -- what the daemon says on standard error: one line for each event, of text or
 * JSON, whole in one write.  Decisions are written from ljs_event, which has no room for a
 * key. */
#ifndef LORAJS_TOOLS_LOG_H
#define LORAJS_TOOLS_LOG_H

#include "tool.h"

enum log_level { SAY_ERROR, SAY_WARNING, SAY_INFO, SAY_DEBUG };

struct log;

struct log *log_new(void); /* NULL when there is no memory */
void log_free(struct log *log);
/* "error" .. "debug", "text" or "json"; at any time. */
void log_setup(struct log *log, const char *level, const char *format);

void say(struct log *log, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A ljs_log_fn; user is the log.  The same refusal over and over is written once in ten
 * seconds, and refusals at all no faster than 100 in a second: a flood of forged requests
 * must not fill the disk.  log_tick() tells how many were left out; call it every second or so,
 * and a last time. */
void log_event(void *log, const ljs_event *event);
void log_tick(struct log *log, bool last);
uint64_t log_left_out(struct log *log);

#endif
