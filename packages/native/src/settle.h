/* What the lower layers (top first) decide of a fresh one. Both answer 0, or say on standard error why not and answer 1. */
#ifndef MAYFLY_SETTLE_H
#define MAYFLY_SETTLE_H

/* A hard link to what lies below. */
int settle_link(int layer, const char *path, const char *target, const int *lowers, int count);
/* A directory without an entry of its own takes owner, mode, attributes and times from below. */
int settle_directory(int layer, const char *path, const int *lowers, int count);

#endif
