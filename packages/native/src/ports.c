/* Ports that are open: who listens at them, whose connections are taken, and which container they lead to. */
#include "handin.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct port *port_find(uint32_t id) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->id == id && !p->closed) return p;
  return NULL;
}

static bool may_connect(const struct port *p, const struct sockaddr_in *from) {
  if (p->place != PLACE_REACH) return true;
  for (size_t i = 0; i < p->allowed_count; i++)
    if ((ntohl(from->sin_addr.s_addr) & p->allowed[i].mask) == p->allowed[i].address) return true;
  return false;
}

static void incoming(struct source *s, uint32_t events) {
  (void)events;
  struct port *p = s->owner;
  struct sockaddr_in from = {0};
  socklen_t size = sizeof from;
  int fd = accept4(s->fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (may_connect(p, &from)) {
    pair_open(p, fd);
    return;
  }
  const struct linger now = {.l_onoff = 1};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

int port_listen_now(struct port *p) {
  int errnum = 0;
  if (p->listening || p->closed) return 0;
  p->listening = true;
  if (p->udp) {
    if (flows_open(p)) _exit(71);
    return 0;
  }
  for (int i = 0; i < 2; i++) {
    int fd = p->listeners[i].fd;
    if (fd >= 0 && p->handed) handin_share(fd, true); /* to be had again when the container starts again */
    if (fd < 0 || p->given >> i & 1) continue;
    if (listen(fd, 1024)) errnum = errnum ? errnum : errno;
    else if (source_add(&p->listeners[i], fd, EPOLLIN, incoming, p)) _exit(71);
  }
  return errnum;
}

/* Its number was free when it was bound, but who had bound it before, without listening, keeps us from it. */
void port_listen(struct port *p) {
  int errnum = port_listen_now(p);
  if (!errnum || !p->container) return;
  struct buffer b = {0};
  put_u16(&b, 4);
  put_str(&b, p->container->id);
  put_u32(&b, p->id);
  put_str(&b, errno_name(errnum));
  send_frame(p->conn, FRAME_EVENT, 0, &b);
  buffer_free(&b);
}

int port_allow(struct reader *r, struct failure *f) {
  struct port *p = port_find(get_u32(r));
  uint16_t count = get_u16(r);
  struct allowed *list = xalloc((size_t)count * sizeof *list + 1);
  for (uint16_t i = 0; i < count && !r->bad; i++) {
    list[i].address = get_u32(r);
    uint8_t prefix = get_u8(r);
    if (prefix > 32) r->bad = true;
    list[i].mask = prefix && prefix <= 32 ? ~0u << (32 - prefix) : 0;
    list[i].address &= list[i].mask;
  }
  if (r->bad || !p) {
    free(list);
    return fail_with(f, r->bad ? EBADMSG : ENOENT, "port.allow", "", r->bad ? "decode" : "no such port");
  }
  free(p->allowed);
  p->allowed = list;
  p->allowed_count = count;
  return 0;
}

static void aim(struct port *p, struct container *t) {
  p->container = t;
  if (p->place == PLACE_UNIX) port_listen(p);
  if (p->listening) {
    pairs_resume(p);
    return;
  }
  struct waiter *w = waiter_add(WAIT_LISTEN, NULL, 0, t);
  w->number = p->target_number;
  w->port = p;
  waiters_start();
}

void port_await(struct port *p) {
  p->listening = false;
  aim(p, p->container);
}

int port_target(struct reader *r, struct failure *f) {
  uint32_t name = get_u32(r);
  char id[80];
  get_str(r, id, sizeof id);
  uint32_t address = get_u32(r);
  uint16_t number = get_u16(r);
  char inside[sizeof ((struct port *)0)->inside];
  get_str(r, inside, sizeof inside);
  if (r->bad) return fail_with(f, EBADMSG, "port.target", "", "decode");
  struct port *p = port_find(name);
  if (!p) return fail_with(f, ENOENT, "port.target", id, "no such port");
  struct container *t = *id ? container_find(id) : NULL;
  if (*id && !t && !p->handed) return fail_with(f, ESRCH, "port.target", id, "no such container");
  p->target = address;
  p->target_number = number;
  memcpy(p->inside, inside, sizeof inside);
  memcpy(p->awaits, id, sizeof p->awaits);
  p->container = t;
  if (p->udp) {
    flows_close(p);
    port_listen(p);
    return 0;
  }
  if (t) aim(p, t);
  return 0;
}

void ports_arrived(struct container *t) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->handed && !p->closed && !p->container && !strcmp(p->awaits, t->id)) aim(p, t);
}

static void close_port(struct port *p) {
  p->closed = true;
  for (int i = 0; i < 2; i++) source_close(&p->listeners[i]);
  if (p->spare >= 0) close(p->spare);
  p->spare = -1;
  for (struct waiter *w = run.waiters; w; w = w->next)
    if (w->port == p) w->done = true;
  pairs_close(p, true);
  flows_close(p);
  if (p->place == PLACE_UNIX) (void)unlink(p->path);
  free(p->allowed);
  p->allowed = NULL;
}

void ports_sweep(void) {
  for (struct port **at = &run.ports; *at;) {
    struct port *p = *at;
    if (!p->closed) {
      at = &p->next;
      continue;
    }
    close_port(p);
    *at = p->next;
    free_later(p);
  }
}

int port_close(struct reader *r, struct failure *f) {
  struct port *p = port_find(get_u32(r));
  if (!p) return fail_with(f, ENOENT, "port.close", "", "no such port");
  p->closed = true;
  ports_sweep();
  return 0;
}

void ports_lost(struct container *t) {
  handin_end(t);
  for (struct port *p = run.ports; p; p = p->next) {
    if (p->container != t) continue;
    p->container = NULL;
    p->awaits[0] = 0;
    pairs_close(p, false);
    flows_close(p);
  }
}

void ports_forget(struct connection *c) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->conn == c) p->closed = true;
  ports_sweep();
}
