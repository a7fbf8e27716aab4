#include "faults.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "netlink.h"
#include "requests.h"
#include "wire.h"

enum { MAX_FLOWS = 4096, LEAST_BACKLOG = 64 << 10 };
static const uint64_t SECOND = 1000000000u, NOTHING_PASSES = UINT64_MAX;

/* What one end has sent, of those whose bytes are counted. */
struct counted {
  struct counted *next;
  uint32_t source, target, first;
  uint16_t ports[2];
  uint64_t bytes; /* of datagrams, which carry no numbers */
};

struct fault {
  struct fault *next;
  uint32_t id;
  struct connection *conn;
  struct container *container;
  enum fault_kind kind;
  uint8_t directions, protocol;
  uint32_t peer;
  uint16_t port;
  uint64_t amount, jitter;
  uint64_t busy[2];
  struct counted *counted;
  size_t count;
};

static struct fault *faults;

bool faults_on(const struct container *t) {
  for (const struct fault *x = faults; x; x = x->next)
    if (x->container == t) return true;
  return false;
}

static bool concerns(const struct fault *x, const struct container *t, int direction, const struct segment *s) {
  if (x->container != t || !(x->directions & 1 << direction)) return false;
  if (x->peer && x->peer != (direction == TO_CONTAINER ? s->source : s->target)) return false;
  if (x->protocol && x->protocol != s->protocol) return false;
  return !x->port || x->port == s->source_port || x->port == s->target_port;
}

bool faults_pace(struct container *t, int direction, const struct segment *s) {
  for (const struct fault *x = faults; x; x = x->next)
    if (x->kind == FAULT_RATE && concerns(x, t, direction, s)) return true;
  return false;
}

static uint64_t random_below(uint64_t limit) {
  uint64_t v = 0;
  if (!limit || getrandom(&v, sizeof v, GRND_NONBLOCK) != sizeof v) return limit / 2;
  return v % limit;
}

/* Never out of order: the queue sees to it that who comes later leaves later. */
static void delay(const struct fault *x, struct verdict *v) {
  uint64_t most = x->amount + x->jitter, least = x->amount > x->jitter ? x->amount - x->jitter : 0;
  v->due += least + random_below(most - least + 1);
}

static void pace(struct fault *x, int direction, size_t n, uint64_t now, struct verdict *v) {
  uint64_t from = x->busy[direction] > now ? x->busy[direction] : now;
  uint64_t most = x->amount / 4 > LEAST_BACKLOG ? x->amount / 4 : LEAST_BACKLOG;
  if ((double)(from - now) * (double)x->amount / 1e9 > (double)most) {
    v->drop = true;
    return;
  }
  x->busy[direction] = from + n * SECOND / x->amount;
  if (x->busy[direction] > v->due) v->due = x->busy[direction];
}

static struct counted *counted_of(struct fault *x, const struct segment *s) {
  struct counted **last = &x->counted;
  for (struct counted **at = &x->counted; *at; last = at, at = &(*at)->next) {
    const struct counted *c = *at;
    if (c->source == s->source && c->target == s->target && c->ports[0] == s->source_port && c->ports[1] == s->target_port) return *at;
  }
  if (x->count >= MAX_FLOWS) {
    free_later(*last);
    *last = NULL;
    x->count--;
  }
  struct counted *c = xalloc(sizeof *c);
  *c = (struct counted){.next = x->counted, .source = s->source, .target = s->target, .first = s->sequence, .ports = {s->source_port, s->target_port}};
  x->count++;
  return x->counted = c;
}

static void cut(struct fault *x, const struct segment *s, size_t n, struct verdict *v) {
  if (s->flags & TCP_RST) return; /* an end is passed on */
  if (x->amount == NOTHING_PASSES) {
    v->reset = s->tcp, v->drop = v->drop || !s->tcp, v->allowed = 0;
    return;
  }
  struct counted *c = counted_of(x, s);
  if (!s->tcp) {
    c->bytes += n;
    v->drop = v->drop || c->bytes > x->amount;
    return;
  }
  if (s->flags & TCP_SYN) c->first = s->sequence + 1;
  /* By numbers, not by what went by: the same bytes can come again. */
  int32_t at = (int32_t)(s->sequence - c->first);
  uint64_t before = at > 0 ? (uint64_t)at : 0;
  if (s->flags & TCP_SYN || before + s->length <= x->amount) return;
  size_t rest = before < x->amount ? (size_t)(x->amount - before) : 0;
  if (!v->reset || rest < v->allowed) v->allowed = rest;
  v->reset = true;
}

void faults_judge(struct container *t, int direction, const struct segment *s, size_t n, struct verdict *v) {
  uint64_t now = v->due;
  for (struct fault *x = faults; x; x = x->next) {
    if (!concerns(x, t, direction, s)) continue;
    if (x->kind == FAULT_DELAY) delay(x, v);
    if (x->kind == FAULT_RATE) pace(x, direction, n, now, v);
    if (x->kind == FAULT_DROP) v->drop = true;
    if (x->kind == FAULT_CUT) cut(x, s, n, v);
    if (x->kind == FAULT_SLOW_CLOSE) v->close += x->amount;
  }
}

static void drop(struct fault **at) {
  struct fault *x = *at;
  *at = x->next;
  for (struct counted *c = x->counted; c; c = c->next) free_later(c);
  free_later(x);
}

static void settle(struct container *t) {
  const char *step;
  wires_flush(t);
  (void)wires_fit(t, &step);
}

int fault_add(struct reader *r, struct connection *c, struct failure *f) {
  uint32_t id = get_u32(r);
  struct container *t = running_container(r, "fault.add", f);
  if (!t) return -1;
  struct fault *x = xalloc(sizeof *x);
  *x = (struct fault){.next = faults, .id = id, .conn = c, .container = t, .kind = get_u8(r), .directions = get_u8(r)};
  x->protocol = get_u8(r);
  x->peer = get_u32(r);
  x->port = get_u16(r);
  x->amount = get_u64(r);
  x->jitter = get_u64(r);
  bool taken = false;
  for (const struct fault *other = faults; other; other = other->next) taken = taken || other->id == id;
  const uint64_t day = 86400 * SECOND;
  bool timed = x->kind == FAULT_DELAY || x->kind == FAULT_SLOW_CLOSE;
  if (r->bad || x->kind < FAULT_DELAY || x->kind > FAULT_SLOW_CLOSE || (x->kind == FAULT_RATE && !x->amount) || x->jitter > day || (timed && x->amount > day)) {
    free_later(x);
    return fail_with(f, EBADMSG, "fault.add", t->id, "decode");
  }
  if (taken) {
    free_later(x);
    return fail_with(f, EEXIST, "fault.add", t->id, "id");
  }
  faults = x;
  const char *step = "";
  if (wires_fit(t, &step)) {
    int saved = errno;
    drop(&faults);
    settle(t);
    return fail_with(f, saved, "fault.add", t->id, step);
  }
  if (x->kind != FAULT_CUT || x->amount != NOTHING_PASSES) return 0;
  /* Who is silent hears of it, too. Without the kernel's help only with the next packet. */
  if (container_diag(t) >= 0) (void)diag_reset(t->diag, x->peer, x->port);
  return 0;
}

int fault_remove(struct reader *r, struct failure *f) {
  uint32_t id = get_u32(r);
  if (r->bad) return fail_with(f, EBADMSG, "fault.remove", "", "decode");
  for (struct fault **at = &faults; *at; at = &(*at)->next) {
    if ((*at)->id != id) continue;
    struct container *t = (*at)->container;
    drop(at);
    settle(t);
    return 0;
  }
  return fail_with(f, ENOENT, "fault.remove", "", "no such fault");
}

int connections_reset(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = running_container(r, "connections.reset", f);
  uint32_t peer = get_u32(r);
  uint16_t port = get_u16(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "connections.reset", t->id, "decode");
  int count = container_diag(t) < 0 ? -1 : diag_reset(t->diag, peer, port);
  if (count < 0) return fail(f, "connections.reset", t->id, "SOCK_DESTROY");
  struct buffer b = {0};
  put_u32(&b, (uint32_t)count);
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

void faults_forget(struct connection *c) {
  for (struct fault **at = &faults; *at;) {
    struct container *t = (*at)->container;
    if ((*at)->conn != c) {
      at = &(*at)->next;
      continue;
    }
    drop(at);
    settle(t);
  }
}

void faults_lost(struct container *t) {
  wires_lost(t, -1);
  for (struct fault **at = &faults; *at;)
    if ((*at)->container == t) drop(at);
    else at = &(*at)->next;
}
