/* Fills a container's writable layer. */
#ifndef MAYFLY_STORAGE_H
#define MAYFLY_STORAGE_H

#include "run.h"

/* Leaves it so many bytes; UINT64_MAX gives everything back. */
int storage_fill(struct reader *r, struct failure *f);
void storage_release(struct container *t);

#endif
