/* What connects a process's standard streams with the supervisor: pipes, or a terminal made inside the container. */
#ifndef MAYFLY_PIPES_H
#define MAYFLY_PIPES_H

#include "ops.h"

struct pipes {
  int in[2], out[2], err[2], error[2], control[2], terminal[2], notify[2];
};

/* 0 or -1; `control`: the operation list may have a rest. */
int pipes_open(struct pipes *p, uint32_t flags, bool control);
void pipes_close(struct pipes *p);
/* Closes what the child alone needs, and makes the rest non-blocking. */
void pipes_ours(struct pipes *p);
/* In the child: standard streams as far as they are known already. */
int pipes_adopt(struct pipes *p, struct child *c);

/* One descriptor through a socket that keeps messages apart; 0 or -1. */
int descriptor_send(int socket, int fd);
/* The descriptor that came, or -1. */
int descriptor_take(int socket);

#endif
