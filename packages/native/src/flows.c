/* Datagrams of a published port: each client has a socket of its own to the container, so that answers find back. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ports.h"

enum { MAX_FLOWS = 512, DATAGRAM = 65536 };

struct flow {
  struct flow *next; /* the one used last comes first */
  struct port *port;
  struct source target;
  int listener;
  struct sockaddr_storage client;
  socklen_t client_size;
};

static uint8_t datagram[DATAGRAM];

static void flow_end(struct flow **at) {
  struct flow *f = *at;
  *at = f->next;
  source_close(&f->target);
  free_later(f);
}

void flows_close(struct port *p) {
  while (p->flows) flow_end(&p->flows);
}

static void answered(struct source *s, uint32_t events) {
  (void)events;
  struct flow *f = s->owner;
  ssize_t n = recv(s->fd, datagram, sizeof datagram, MSG_DONTWAIT);
  if (n < 0) return; /* ECONNREFUSED: nobody listens there yet, which a sender of datagrams bears */
  (void)sendto(f->listener, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&f->client, f->client_size);
}

static struct flow *flow_make(struct port *p, int listener, const struct sockaddr_storage *client, socklen_t size) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(p->target_number), .sin_addr.s_addr = htonl(p->target)};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return NULL;
  struct flow *f = xalloc(sizeof *f);
  *f = (struct flow){.port = p, .listener = listener, .client = *client, .client_size = size, .next = p->flows};
  if (connect(fd, (struct sockaddr *)&to, sizeof to) || source_add(&f->target, fd, EPOLLIN, answered, f)) {
    close(fd);
    free_later(f);
    return NULL;
  }
  return p->flows = f;
}

/* Known clients are found again; of too many, the one silent for longest is forgotten. */
static struct flow *flow_of(struct port *p, int listener, const struct sockaddr_storage *client, socklen_t size) {
  size_t count = 0;
  struct flow **last = NULL;
  for (struct flow **at = &p->flows; *at; at = &(*at)->next) {
    struct flow *f = *at;
    if (f->listener == listener && f->client_size == size && !memcmp(&f->client, client, size)) {
      *at = f->next;
      f->next = p->flows;
      return p->flows = f;
    }
    last = at;
    count++;
  }
  if (count >= MAX_FLOWS && last) flow_end(last);
  return flow_make(p, listener, client, size);
}

static void incoming(struct source *s, uint32_t events) {
  (void)events;
  struct port *p = s->owner;
  struct sockaddr_storage client = {0};
  socklen_t size = sizeof client;
  ssize_t n = recvfrom(s->fd, datagram, sizeof datagram, MSG_DONTWAIT, (struct sockaddr *)&client, &size);
  if (n < 0 || !p->container) return;
  struct flow *f = flow_of(p, s->fd, &client, size);
  if (!f) return;
  /* An earlier datagram that was refused is told by an error, once, in place of sending this one. */
  if (send(f->target.fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
    (void)send(f->target.fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int flows_open(struct port *p) {
  for (int i = 0; i < 2; i++) {
    int fd = p->listeners[i].fd;
    if (fd >= 0 && source_add(&p->listeners[i], fd, EPOLLIN, incoming, p)) return -1;
  }
  return 0;
}
