/* Requests that are about one container, by what they are (docs/protocol.md, Requests). 0, or -1 with `f` filled; those with an id answer themselves. */
#ifndef MAYFLY_REQUESTS_H
#define MAYFLY_REQUESTS_H

#include "run.h"

/* The container whose name comes next; NULL with `f` filled. */
struct container *named_container(struct reader *r, const char *request, struct failure *f);
/* The same, if it runs. */
struct container *running_container(struct reader *r, const char *request, struct failure *f);
/* exec 0: the container's own process. NULL where there is none. */
struct process *process_of(struct container *t, uint32_t exec);

/* what changes it */
int ask_start(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_restart(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_save(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_signal(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_wait(struct connection *c, uint32_t id, struct reader *r, struct failure *f, enum wait_kind kind);
int ask_resize(struct reader *r, struct failure *f);

/* its streams */
int ask_logs(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_attach(struct connection *c, uint32_t id, struct reader *r, struct failure *f);

/* what is known of it */
int ask_sockets(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_port_watch(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_cgroup(struct connection *c, uint32_t id, struct reader *r, struct failure *f, bool writes);
int ask_list(struct connection *c, uint32_t id);
int ask_label(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int ask_netdev(struct connection *c, uint32_t id, struct reader *r, struct failure *f);

#endif
