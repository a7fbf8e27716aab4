/* Faults a test asks for: what they make of a frame. */
#ifndef MAYFLY_FAULTS_H
#define MAYFLY_FAULTS_H

#include "frame.h"
#include "run.h"

enum fault_kind { FAULT_DELAY = 1, FAULT_RATE, FAULT_DROP, FAULT_CUT, FAULT_SLOW_CLOSE };
/* Bits of a fault's directions, and indexes of what there is one of for each. */
enum { TO_CONTAINER, FROM_CONTAINER };

/* Judged one fault after the other, in the order they were asked for. */
struct verdict {
  bool drop, reset;
  bool paced;      /* a rate counts it: in pieces the size of a packet */
  uint64_t due;    /* when it goes on */
  uint64_t close;  /* when the end that it carries does */
  size_t allowed;  /* of its payload, before the reset */
};

void faults_judge(struct container *t, int direction, const struct segment *s, size_t n, struct verdict *v);
/* Whether a rate applies, which wants small pieces. */
bool faults_pace(struct container *t, int direction, const struct segment *s);
bool faults_on(const struct container *t);

int fault_add(struct reader *r, struct connection *c, struct failure *f);
int fault_remove(struct reader *r, struct failure *f);
/* Ends the connections a container has, as seen by both sides; answers how many, or -1. */
int connections_reset(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
void faults_forget(struct connection *c);
void faults_lost(struct container *t);

#endif
