#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "faults.h"
#include "networks.h"
#include "routes.h"

enum { INTERFACES = 32, LARGEST = 65536 + 64, QUEUE_MAX = 16 << 20, BATCH = 64, ROOM = 4 << 20 };

struct held {
  struct held *next;
  uint64_t due;
  size_t n;
  struct virtio_net_hdr offload; /* what the card is to complete: checksum, cutting up */
  uint8_t data[];
};

struct queue {
  struct held *first, *last;
};

struct side {
  struct source source;
  struct wire *wire;
};

struct wire {
  struct wire *next;
  struct container *container;
  int number;
  uint32_t bridge;
  char end[IFNAMSIZ], name[IFNAMSIZ], peer[IFNAMSIZ];
  struct side sides[2];    /* by the direction of what comes in there: from the bridge, from the container */
  struct queue lines[2], late[2]; /* late: ends that are to be slow, overtaken by all else */
  size_t bytes[2];
  struct source timer;
  bool over;
};

/* Node's event loop takes data and a reset that come together for a peaceful end: so the data comes 10 ms earlier. */
static const uint64_t READING = 10000000;

static struct wire *wires;
static uint8_t incoming[LARGEST], made[LARGEST + FRAME_HEADERS];

static void put(struct wire *w, int direction, const struct virtio_net_hdr *offload, const uint8_t *data, size_t n) {
  struct virtio_net_hdr none = {0};
  struct iovec parts[2] = {{(void *)(uintptr_t)(offload ? offload : &none), sizeof none}, {(void *)(uintptr_t)data, n}};
  struct msghdr h = {.msg_iov = parts, .msg_iovlen = 2};
  /* As on any wire, what finds no room is lost. */
  (void)sendmsg(w->sides[!direction].source.fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A line keeps its order; what is late goes when it is due. */
static void queue_add(struct wire *w, int direction, bool late, uint64_t due, const struct virtio_net_hdr *offload, const uint8_t *data, size_t n) {
  struct queue *q = late ? &w->late[direction] : &w->lines[direction];
  if (w->bytes[direction] + n > QUEUE_MAX) return;
  struct held *h = xalloc(sizeof *h + n), **at = &q->first;
  h->due = !late && q->last && q->last->due > due ? q->last->due : due;
  h->n = n;
  h->offload = offload ? *offload : (struct virtio_net_hdr){0};
  memcpy(h->data, data, n);
  if (q->last && q->last->due <= h->due) at = &q->last->next;
  while (*at && (*at)->due <= h->due) at = &(*at)->next;
  h->next = *at;
  *at = h;
  if (!h->next) q->last = h;
  w->bytes[direction] += n;
}

static void queue_run(struct wire *w, int direction, struct queue *q, uint64_t now) {
  while (q->first && q->first->due <= now) {
    struct held *h = q->first;
    q->first = h->next;
    if (!q->first) q->last = NULL;
    w->bytes[direction] -= h->n;
    put(w, direction, &h->offload, h->data, h->n);
    free(h);
  }
}

static void run_queues(struct wire *w, uint64_t now) {
  uint64_t next = 0;
  for (int d = 0; d < 2; d++) {
    struct queue *both[2] = {&w->lines[d], &w->late[d]};
    for (int i = 0; i < 2; i++) {
      queue_run(w, d, both[i], now);
      if (both[i]->first && (!next || both[i]->first->due < next)) next = both[i]->first->due;
    }
  }
  if (!next) return;
  struct itimerspec t = {.it_value = {.tv_sec = (time_t)(next / 1000000000u), .tv_nsec = (long)(next % 1000000000u)}};
  (void)timerfd_settime(w->timer.fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void send_on(struct wire *w, int direction, uint64_t due, uint64_t now, const struct virtio_net_hdr *offload, const uint8_t *data, size_t n) {
  if (due <= now && !w->lines[direction].first) put(w, direction, offload, data, n);
  else queue_add(w, direction, false, due, offload, data, n);
}

/* The beginning of a frame's payload, and nothing of its end. */
static void send_payload(struct wire *w, int direction, const uint8_t *frame, const struct segment *s, size_t length, uint64_t at, uint64_t now) {
  const size_t most = 1400;
  for (size_t from = 0; from < length; from += most) {
    size_t n = frame_part(frame, s, from, length - from < most ? length - from : most, TCP_ACK | TCP_PSH, made);
    send_on(w, direction, at, now, NULL, made, n);
  }
}

/* What is still allowed goes on, then both ends learn that the connection is broken. */
static void reset(struct wire *w, int direction, const uint8_t *frame, const struct segment *s, const struct verdict *v, uint64_t now) {
  send_payload(w, direction, frame, s, v->allowed, v->due, now);
  struct segment end = *s;
  end.sequence += (uint32_t)v->allowed;
  if (!(s->flags & TCP_SYN) || s->flags & TCP_ACK) queue_add(w, direction, true, v->due + READING, NULL, made, frame_reset(frame, &end, false, made));
  put(w, !direction, NULL, made, frame_reset(frame, s, true, made));
}

static void pass(struct wire *w, int direction, const struct virtio_net_hdr *offload, const uint8_t *frame, size_t n, const struct segment *s, uint64_t now) {
  struct verdict v = {.due = now};
  faults_judge(w->container, direction, s, n, &v);
  if (v.drop) return;
  if (v.reset) {
    reset(w, direction, frame, s, &v, now);
    return;
  }
  if (!v.close || !(s->flags & TCP_FIN)) {
    send_on(w, direction, v.due, now, offload, frame, n);
    return;
  }
  /* The data goes ahead of the end. */
  send_payload(w, direction, frame, s, s->length, v.due, now);
  queue_add(w, direction, true, v.due + v.close, offload, frame, n);
}

/* A burst that the card was to cut up goes on packet by packet, else a slow line would move in jerks. */
static void pass_pieces(struct wire *w, int direction, size_t size, const uint8_t *frame, const struct segment *s, uint64_t now) {
  const size_t most = size < 512 ? 512 : size;
  static uint8_t piece[LARGEST + FRAME_HEADERS];
  for (size_t from = 0; from < s->length; from += most) {
    bool last = s->length - from <= most;
    uint8_t flags = (uint8_t)(s->flags & (last ? ~0 : ~(TCP_FIN | TCP_PSH)));
    size_t n = frame_part(frame, s, from, last ? s->length - from : most, flags, piece);
    struct segment one;
    if (frame_read(piece, n, &one)) pass(w, direction, NULL, piece, n, &one, now);
  }
}

static void side_ready(struct source *s, uint32_t events) {
  (void)events;
  struct side *side = s->owner;
  struct wire *w = side->wire;
  int direction = (int)(side - w->sides);
  uint64_t now = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < BATCH && !w->over; i++) {
    struct virtio_net_hdr offload;
    struct sockaddr_ll from = {0};
    struct iovec parts[2] = {{&offload, sizeof offload}, {incoming, sizeof incoming}};
    struct msghdr h = {.msg_iov = parts, .msg_iovlen = 2, .msg_name = &from, .msg_namelen = sizeof from};
    ssize_t got = recvmsg(s->fd, &h, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0) continue; /* the interface's going down, told once */
    if ((size_t)got <= sizeof offload || h.msg_flags & MSG_TRUNC || from.sll_pkttype == PACKET_OUTGOING) continue;
    size_t n = (size_t)got - sizeof offload;
    struct segment seen;
    /* What finds out where somebody is goes on: a partition is silence, not the lack of an address. */
    if (!frame_read(incoming, n, &seen)) put(w, direction, &offload, incoming, n);
    else if (offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && offload.gso_size && seen.tcp && faults_pace(w->container, direction, &seen))
      pass_pieces(w, direction, offload.gso_size, incoming, &seen, now);
    else pass(w, direction, &offload, incoming, n, &seen, now);
  }
  run_queues(w, now);
}

static void due(struct source *s, uint32_t events) {
  (void)events;
  uint64_t expirations;
  if (read(s->fd, &expirations, sizeof expirations) > 0) run_queues(s->owner, now_ns(CLOCK_MONOTONIC));
}

static int tap(struct side *side, struct wire *w, const char *name) {
  side->wire = w;
  int index = (int)if_nametoindex(name), on = 1, room = ROOM;
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
  int fd = index ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
  if (fd < 0) return -1;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (!setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) && !bind(fd, (struct sockaddr *)&at, sizeof at) &&
      !source_add(&side->source, fd, EPOLLIN, side_ready, side))
    return 0;
  int saved = errno;
  close(fd);
  errno = saved;
  side->source.fd = -1;
  return -1;
}

static int lay(struct wire *w, const char **step) {
  *step = "bridge";
  if (!(w->bridge = link_master(run.route, w->end))) return -1;
  *step = "create";
  if (veth_create(run.route, w->name, w->bridge, w->peer, run.hub_ns)) return -1;
  *step = "up";
  /* The hub itself answers nobody there. */
  if (link_arp(run.route, w->peer, false) || link_arp(run.route, w->end, false) || link_up(run.route, if_nametoindex(w->peer))) return -1;
  link_settle(run.route, w->name);
  *step = "packet";
  if (tap(&w->sides[TO_CONTAINER], w, w->peer) || tap(&w->sides[FROM_CONTAINER], w, w->end)) return -1;
  *step = "timer";
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer < 0) return -1;
  if (source_add(&w->timer, timer, EPOLLIN, due, w)) {
    close(timer);
    w->timer.fd = -1;
    return -1;
  }
  *step = "move";
  return link_move(run.route, w->end, 0);
}

static void take_up(struct wire **at) {
  struct wire *w = *at;
  *at = w->next;
  w->over = true;
  run_queues(w, UINT64_MAX);
  for (int d = 0; d < 2; d++) source_close(&w->sides[d].source);
  source_close(&w->timer);
  /* Any of it may have gone with its container or its network. */
  (void)link_delete_named(run.route, w->name);
  (void)link_arp(run.route, w->end, true);
  if (w->bridge) (void)link_move(run.route, w->end, w->bridge);
  free_later(w);
}

static bool has_wire(const struct container *t, int number) {
  for (const struct wire *w = wires; w; w = w->next)
    if (w->container == t && w->number == number) return true;
  return false;
}

static int wire_make(struct container *t, int number, const char *end, const char **step) {
  struct wire *w = xalloc(sizeof *w);
  *w = (struct wire){.next = wires, .container = t, .number = number, .timer.fd = -1};
  w->sides[0].source.fd = w->sides[1].source.fd = -1;
  snprintf(w->end, sizeof w->end, "%s", end);
  snprintf(w->name, sizeof w->name, "w%.14s", end);
  snprintf(w->peer, sizeof w->peer, "x%.14s", end);
  wires = w;
  if (!lay(w, step)) return 0;
  int saved = errno;
  take_up(&wires);
  errno = saved;
  return -1;
}

int wires_fit(struct container *t, const char **step) {
  if (!faults_on(t)) {
    wires_lost(t, -1);
    return 0;
  }
  bool any = false;
  for (int number = 0; number < INTERFACES; number++) {
    char end[IFNAMSIZ];
    interface_name(end, t->veth, (uint8_t)number);
    if (!if_nametoindex(end)) continue;
    any = true;
    if (!has_wire(t, number) && wire_make(t, number, end, step)) return -1;
  }
  *step = "interface";
  errno = ENODEV;
  return any ? 0 : -1;
}

void wires_flush(struct container *t) {
  for (struct wire *w = wires; w; w = w->next)
    if (w->container == t) run_queues(w, UINT64_MAX);
}

void wires_lost(struct container *t, int number) {
  for (struct wire **at = &wires; *at;)
    if ((*at)->container == t && (number < 0 || (*at)->number == number)) take_up(at);
    else at = &(*at)->next;
}
