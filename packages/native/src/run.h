/* The supervisor's state: one run, its connections, containers and ports. One thread, one epoll. */
#ifndef MAYFLY_RUN_H
#define MAYFLY_RUN_H

#include <sys/epoll.h>

#include "base.h"
#include "cgroup.h"
#include "netlink.h"

enum frame { FRAME_REQUEST = 1, FRAME_REPLY, FRAME_ERROR, FRAME_EVENT, FRAME_DATA, FRAME_END, FRAME_CREDIT };
enum { FRAME_HEADER = 9, FRAME_MAX = 4 << 20, CHUNK = 64 << 10, INPUT_WINDOW = 256 << 10 };
/* Held: output waits for a reader that takes it all, from the start. Detached: an exec that outlives who asked for it.
   Notify: its list has the operation of this name. Files: an exec that stands in the container's mounts alone, whether the
   container runs or not. */
enum { FLAG_STDIN = 1, FLAG_TERMINAL = 2, FLAG_HELD = 4, FLAG_DETACHED = 8, FLAG_NOTIFY = 16, FLAG_FILES = 32 };
/* Of the request logs. */
enum { LOG_FOLLOW = 1, LOG_HOLD = 8, LOG_LIFE = 16 };

/* What epoll points at. Freed only between batches: one batch can hold events of what it has just ended. */
struct source {
  int fd;
  uint32_t events;
  void (*ready)(struct source *, uint32_t events);
  void *owner;
};

struct connection {
  struct connection *next;
  struct source source;
  struct buffer in, out;
  bool owner, greeted, closed;
};

struct log {
  struct buffer data; /* records {u64 time, u8 stream, bytes} from `start` on */
  size_t start;
  uint64_t first;     /* absolute offset of data[start] */
  size_t cap;
  uint64_t dropped;
  uint64_t life;      /* absolute offset at which the container's last start began */
  uint64_t written, life_written; /* bytes of output: of all, and of all before that */
};

struct input { /* a client's data on its way into a pipe */
  struct source source;
  struct buffer pending;
  struct connection *conn;
  uint32_t stream;
  bool ended, shared; /* shared: the stream is the output's too, and its end tells more than ours */
};

struct process {
  struct process *next;
  struct container *container;
  uint32_t exec; /* 0: the container's own */
  pid_t pid;
  struct source exit, error, out, err;
  struct input input;
  int control;   /* the rest after `await` is written here */
  int terminal;  /* where a terminal comes from, until the program runs */
  int notify;    /* where a listener of notifications does */
  bool tty, tty_input, detached, files;
  struct connection *conn;
  uint32_t request; /* pending reply; for an exec also its stream's id */
  bool pending, exited, reported;
  int64_t credit;
  int32_t code, signal;
  bool rests;        /* is read again in a moment (rest.c) */
  uint64_t read_at;  /* when its output was read last */
  unsigned readings; /* so often in a row */
};

enum state { STATE_WAITING = 1, STATE_RUNNING, STATE_EXITED };

struct container {
  struct container *next;
  char id[80];
  uint64_t namespaces, started_at, exited_at;
  enum state state;
  struct connection *conn; /* whose it is */
  struct buffer label;
  char *scratch;
  int cgroup_fds[MAX_HIERARCHIES];
  int diag;
  struct source handin; /* tells of its calls of bind(), when its ports are handed in */
  int scratch_fd; /* the tmpfs its root was built on, or -1 */
  int filler;     /* a file that makes its disk full, while filler_open */
  int mounts_fd;  /* its mount namespace, so that its files are there when it has ended; or -1 */
  int before_fd;  /* that of its life before, while it is being started again; or -1 */
  int64_t ooms;   /* kills for memory before its last start */
  uint32_t veth; /* names the hub's ends of its interfaces */
  struct process *main;
  struct process *execs;
  struct log log;
  char pid_of[80]; /* whose pid namespace it shares, when it has none of its own: "" for the run's */
  bool oom_killed, removing, removed, frozen, filler_open, rooted; /* rooted: its root is its own */
  bool held; /* until a reader has come that takes everything */
};

enum { WATCH_LOOPBACK = 1 };

/* A request that is answered later. */
enum wait_kind { WAIT_EXIT = 1, WAIT_REMOVE, WAIT_PORT, WAIT_LISTEN, WAIT_LOGS, WAIT_OUTBOUND };
struct waiter {
  struct waiter *next;
  enum wait_kind kind;
  struct connection *conn; /* NULL for WAIT_LISTEN */
  uint32_t request;
  struct container *container;
  uint16_t number;
  struct port *port;
  uint32_t flags; /* logs, and what is watched */
  uint64_t offset, since, passed; /* passed: bytes of output before that offset */
  int64_t credit;
  bool done;
};

/* A program outside a container that serves it. */
struct helper {
  struct helper *next;
  char id[80]; /* the container's */
  struct source exit;
  int fuse; /* until the container has mounted it */
  struct connection *conn;
};

struct run {
  int epoll, null_fd, hub_ns, pid_ns, mount_ns, route;
  int host_net, self_fd, proc_fd; /* the network outside, this program, sealed, and a procfs of ours */
  bool strays;           /* some containers share a pid namespace: their orphans are ours */
  int run_dir;
  char stage[512], socket_path[108];
  struct cgroups cgroups;
  uint32_t bridge, next_veth, next_exec;
  struct network *networks;
  pid_t supervisor_pid;
  uint32_t subnet, gateway;
  uint8_t prefix;
  bool rootless, linked, memory_xattrs;
  char token[129];
  struct source janitor, listener, timer, rest;
  struct connection *connections;
  struct container *containers;
  struct waiter *waiters;
  struct port *ports;
  struct helper *helpers;
};
extern struct run run;

/* The hub's own address: what containers send everything to that is not in their network. 0 without a network. */
uint32_t hub_address(void);

/* loop */
int source_add(struct source *s, int fd, uint32_t events, void (*ready)(struct source *, uint32_t), void *owner);
void source_want(struct source *s, uint32_t events);
void source_close(struct source *s);
void free_later(void *memory);
void timer_set(uint64_t ns);
/* One batch of events, waited for at most `timeout` ms (-1: for ever); how many there were. */
int supervisor_turn(int timeout);

/* connection */
void connection_open(int fd, bool owner);
void connection_reap(void);
void send_frame(struct connection *c, enum frame kind, uint32_t id, const struct buffer *payload);
void send_reply(struct connection *c, uint32_t id);
void send_failure(struct connection *c, uint32_t id, const struct failure *f);

/* requests */
void handle_request(struct connection *c, uint32_t id, struct reader *r);
void handle_stream(struct connection *c, enum frame kind, uint32_t id, struct reader *r);

/* processes */
int container_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int container_start(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f);
int container_restart(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f);
/* What could not be started again stays as it was. */
bool container_restore(struct container *t);
int exec_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
struct container *container_find(const char *id);
void container_remove(struct container *t);
void strays_reap(void);
void container_settle(struct container *t);
/* exec 0: the container's own process. NULL with `f` filled. */
struct process *process_spawn(struct container *t, struct connection *c, uint32_t request, uint32_t flags,
                              const uint8_t *ops, size_t n, uint32_t exec, struct failure *f);
void process_free(struct process *p);
int process_signal(struct process *p, int number);
void processes_forget(struct connection *c);
void process_output(struct process *p);
/* All that it has printed until now. */
void process_read(struct process *p);
/* Whether, after a reading of `n` bytes, it is left alone for a moment. */
bool process_rests(struct process *p, size_t n);
void rest_over(struct source *s, uint32_t events);
void input_data(struct input *i, const uint8_t *data, size_t n);
void input_end(struct input *i);
/* Nobody reads any more: its client is told. */
void input_lost(struct input *i);
void input_open(struct input *i, struct connection *c, uint32_t stream);

/* terminals */
int terminal_take(int socket);
int terminal_resize(struct process *p, uint16_t columns, uint16_t rows);

/* scratch: the tmpfs that a container's changes in memory are in */
int scratch_make(void);
void scratch_free(struct container *t);
int scratch_save(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f);
void scratch_forget(struct connection *c);

/* helpers */
int helper_start(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int helper_fuse(const char *container);
void helper_serves(const char *container);
void helper_end(const char *container);
void helpers_forget(struct connection *c);

/* logs */
void log_append(struct log *l, uint8_t stream, const uint8_t *data, size_t n);
/* Whether reading on would cost a reader that holds the output something. */
bool log_held(const struct container *t);
void logs_pump(struct container *t);
void logs_pump_one(struct waiter *w);

/* waiters */
struct waiter *waiter_add(enum wait_kind kind, struct connection *c, uint32_t request, struct container *t);
void waiters_exited(struct container *t);
void waiters_removed(struct container *t);
void waiters_tick(struct source *s, uint32_t events);
/* Looks at once who listens in the container: its published ports do from then on, and who waits for it is told. */
void waiters_check(struct container *t);
void waiters_start(void);
void waiters_forget(struct connection *c);
void waiters_sweep(void);
int container_listeners(struct container *t, struct listener *out, int max);
/* A socket that sees its network namespace: `diag`, opened when first wanted. */
int container_diag(struct container *t);

/* ports */
int port_open(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int port_target(struct reader *r, struct failure *f);
int port_close(struct reader *r, struct failure *f);
int port_allow(struct reader *r, struct failure *f);
void port_listen(struct port *p);
void ports_lost(struct container *t);
/* A container that ports were told to await is there. */
void ports_arrived(struct container *t);
void ports_forget(struct connection *c);
void ports_answer(struct source *s, uint32_t events);
void janitor_delete(const char *path);

/* What janitor and supervisor say to each other, a message a packet. */
enum janitor_word { JANITOR_NETWORK = 1, JANITOR_BIND, JANITOR_BOUND, JANITOR_DELETE, JANITOR_SOCKET, JANITOR_OUTBOUND };
/* What a socket of the outside is for. */
enum socket_kind { SOCKET_DNS = 1, SOCKET_REACH };
struct janitor_message {
  uint32_t word, port, errnum, subnet, gateway, kind;
  uint16_t number;
  uint8_t udp, family; /* 0: both addresses of the loopback; else AF_INET or AF_INET6 of `host` */
  uint8_t host[16];
  uint8_t prefix, linked; /* linked: a veth leads from the host into the hub */
  uint8_t spare; /* asked for, or there: the last socket is an unbound one for both families */
  uint32_t supervisor;
  char path[512];
};

_Noreturn void supervisor_main(int owner, int janitor);

#endif
