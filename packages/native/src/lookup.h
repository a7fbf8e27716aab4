/* Looking up what a container would see at a path of several layers. */
#ifndef MAYFLY_LOOKUP_H
#define MAYFLY_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* An entry by its parent's descriptor, which is the caller's to close. */
struct place {
  int parent;
  char name[256];
  struct stat st;
};

/* What a container would see at `path` of the layers, top first. */
bool lookup(const int *layers, int count, const char *path, struct place *out);
/* A path below a layer's root, no link on its way. */
int lookup_open(int root, const char *path, uint64_t flags);

#endif
