#include "dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns_message.h"
#include "networks.h"

enum { PORT = 53, MAX_CLIENTS = 32, MAX_PENDING = 256, MAX_RECORDS = 8192, MAX_UPSTREAMS = 1024, MESSAGE = 65535 };

struct upstream {
  uint32_t source; /* of the client it is for; 0: everybody's */
  uint32_t server;
  uint16_t port;
};

struct client { /* over TCP */
  struct client *next;
  struct server *server;
  struct source source;
  struct buffer in;
  uint32_t address;
};

struct server {
  struct server *next;
  uint32_t network;
  struct source udp, tcp;
  struct dns_table table;
  struct upstream *upstreams;
  size_t upstream_count;
  struct client *clients;
};

/* A question that was passed on. The slot's number and a random half make its new id. */
struct pending {
  struct server *server;
  struct client *client; /* NULL: over UDP, from `from` */
  struct sockaddr_in from, to;
  uint16_t id, asked, tries;
};

static struct server *servers;
static struct pending pending[MAX_PENDING];
static unsigned next_pending;
static struct source outside = {.fd = -1};
static uint8_t answer[MESSAGE];

static void client_end(struct client *c) {
  for (size_t i = 0; i < MAX_PENDING; i++)
    if (pending[i].client == c) pending[i] = (struct pending){0};
  for (struct client **at = &c->server->clients; *at; at = &(*at)->next)
    if (*at == c) {
      *at = c->next;
      break;
    }
  source_close(&c->source);
  buffer_free(&c->in);
  free_later(c);
}

static void client_send(struct client *c, const uint8_t *message, size_t n) {
  uint8_t head[2] = {(uint8_t)(n >> 8), (uint8_t)n};
  /* Answers are far smaller than a socket's buffer: who does not read them is not waited for. */
  if (send(c->source.fd, head, sizeof head, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) != sizeof head ||
      send(c->source.fd, message, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
    client_end(c);
}

/* The `turn`-th server to ask for this client, from the start again after the last. */
static const struct upstream *upstream_of(const struct server *s, uint32_t client, uint32_t turn) {
  size_t own = 0, all = 0;
  for (size_t i = 0; i < s->upstream_count; i++) own += s->upstreams[i].source == client, all += !s->upstreams[i].source;
  if (!own && !all) return NULL;
  size_t wanted = turn % (own ? own : all);
  for (size_t i = 0; i < s->upstream_count; i++)
    if (s->upstreams[i].source == (own ? client : 0) && !wanted--) return &s->upstreams[i];
  return NULL;
}

static struct pending *asked_before(const struct server *s, const struct sockaddr_in *from, uint16_t id) {
  for (size_t i = 0; i < MAX_PENDING; i++)
    if (pending[i].server == s && !pending[i].client && pending[i].id == id && pending[i].from.sin_port == from->sin_port &&
        pending[i].from.sin_addr.s_addr == from->sin_addr.s_addr)
      return &pending[i];
  return NULL;
}

/* A question that is repeated goes to the next server. */
static void forward(struct server *s, struct client *c, const struct sockaddr_in *from, uint8_t *query, size_t n) {
  uint16_t id = (uint16_t)(query[0] << 8 | query[1]);
  struct pending *p = c ? NULL : asked_before(s, from, id);
  uint16_t tries = p ? (uint16_t)(p->tries + 1) : 0;
  if (!p) p = &pending[next_pending++ % MAX_PENDING];
  const struct upstream *up = upstream_of(s, c ? c->address : ntohl(from->sin_addr.s_addr), tries);
  uint8_t half;
  if (!up || outside.fd < 0 || getrandom(&half, 1, GRND_NONBLOCK) != 1) return;
  *p = (struct pending){.server = s, .client = c, .id = id, .tries = tries, .asked = (uint16_t)(half << 8 | (uint8_t)(p - pending))};
  if (!c) p->from = *from;
  p->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(up->port), .sin_addr.s_addr = htonl(up->server)};
  query[0] = (uint8_t)(p->asked >> 8);
  query[1] = (uint8_t)p->asked;
  (void)sendto(outside.fd, query, n, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&p->to, sizeof p->to);
}

static void answered(struct source *s, uint32_t events) {
  (void)events;
  struct sockaddr_in from = {0};
  socklen_t size = sizeof from;
  ssize_t n = recvfrom(s->fd, answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (n < DNS_HEADER || !(answer[2] & 0x80)) return;
  uint16_t id = (uint16_t)(answer[0] << 8 | answer[1]);
  struct pending *p = &pending[id % MAX_PENDING], was = *p;
  if (!p->server || p->asked != id || from.sin_port != p->to.sin_port || from.sin_addr.s_addr != p->to.sin_addr.s_addr) return;
  *p = (struct pending){0};
  answer[0] = (uint8_t)(was.id >> 8);
  answer[1] = (uint8_t)was.id;
  if (was.client) client_send(was.client, answer, (size_t)n);
  else (void)sendto(was.server->udp.fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&was.from, sizeof was.from);
}

void dns_outside(int fd) {
  if (outside.fd >= 0 || source_add(&outside, fd, EPOLLIN, answered, NULL)) close(fd);
}

static bool reaches_outside(const struct server *s, uint32_t client) { return outside.fd >= 0 && upstream_of(s, client, 0); }

static void datagram(struct source *source, uint32_t events) {
  (void)events;
  struct server *s = source->owner;
  static uint8_t query[MESSAGE];
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  ssize_t n = recvfrom(source->fd, query, sizeof query, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (n < 0 || size != sizeof from || from.sin_family != AF_INET) return;
  size_t length;
  enum dns_verdict v = dns_answer(&s->table, reaches_outside(s, ntohl(from.sin_addr.s_addr)), query, (size_t)n, answer, DNS_UDP, &length);
  if (v == DNS_FORWARD) forward(s, NULL, &from, query, (size_t)n);
  if (v == DNS_ANSWER) (void)sendto(source->fd, answer, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&from, size);
}

static void readable(struct source *source, uint32_t events) {
  (void)events;
  struct client *c = source->owner;
  uint8_t chunk[4096];
  ssize_t n = recv(source->fd, chunk, sizeof chunk, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    client_end(c);
    return;
  }
  buffer_append(&c->in, chunk, (size_t)n);
  while (c->source.fd >= 0 && c->in.length >= 2) {
    size_t whole = (size_t)(c->in.data[0] << 8 | c->in.data[1]), length;
    if (c->in.length - 2 < whole) break;
    uint8_t *query = c->in.data + 2;
    enum dns_verdict v = dns_answer(&c->server->table, reaches_outside(c->server, c->address), query, whole, answer, sizeof answer, &length);
    if (v == DNS_FORWARD) forward(c->server, c, NULL, query, whole);
    if (v == DNS_DROP) client_end(c);
    if (v == DNS_ANSWER) client_send(c, answer, length);
    if (c->source.fd >= 0) buffer_consume(&c->in, 2 + whole);
  }
}

/* The one who has been here longest makes room. */
static void make_room(struct server *s) {
  size_t count = 0;
  for (struct client *c = s->clients; c; c = c->next)
    if (++count == MAX_CLIENTS) {
      while (c->next) c = c->next;
      client_end(c);
      return;
    }
}

static void connected(struct source *source, uint32_t events) {
  (void)events;
  struct server *s = source->owner;
  struct sockaddr_in from = {0};
  socklen_t size = sizeof from;
  int fd = accept4(source->fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  make_room(s);
  struct client *c = xalloc(sizeof *c);
  *c = (struct client){.next = s->clients, .server = s, .address = ntohl(from.sin_addr.s_addr)};
  if (source_add(&c->source, fd, EPOLLIN, readable, c)) {
    close(fd);
    free(c);
    return;
  }
  s->clients = c;
}

/* Seen by its own network alone: the hub would answer at this address wherever it is asked. */
static int bind_on(const char *device, uint32_t address, int type) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(address)};
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1) ||
      bind(fd, (struct sockaddr *)&a, sizeof a) || (type == SOCK_STREAM && listen(fd, 16))) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

static struct server *server_find(uint32_t network) {
  for (struct server *s = servers; s; s = s->next)
    if (s->network == network) return s;
  return NULL;
}

static struct server *server_open(uint32_t network, struct failure *f) {
  const struct network *n = network_find(network);
  char device[IFNAMSIZ];
  if (network) snprintf(device, sizeof device, "n%u", network);
  else snprintf(device, sizeof device, "mayfly");
  if ((network && !n) || !hub_address()) {
    fail_with(f, ENOENT, "names", device, "no such network");
    return NULL;
  }
  uint32_t address = n ? n->gateway : hub_address();
  struct server *s = xalloc(sizeof *s);
  *s = (struct server){.network = network, .udp.fd = -1, .tcp.fd = -1};
  int udp = bind_on(device, address, SOCK_DGRAM), tcp = udp < 0 ? -1 : bind_on(device, address, SOCK_STREAM);
  if (tcp < 0 || source_add(&s->udp, udp, EPOLLIN, datagram, s) || source_add(&s->tcp, tcp, EPOLLIN, connected, s)) {
    fail(f, "names", device, "bind");
    if (udp >= 0) close(udp);
    if (tcp >= 0) close(tcp);
    free(s);
    return NULL;
  }
  s->next = servers;
  servers = s;
  return s;
}

static void ask_for_socket(void) {
  static bool asked;
  if (asked || outside.fd >= 0) return;
  struct janitor_message m = {.word = JANITOR_SOCKET, .kind = SOCKET_DNS};
  asked = send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL) == sizeof m;
}

int dns_names(struct reader *r, struct failure *f) {
  uint32_t network = get_u32(r);
  uint16_t count = get_u16(r);
  if (count > MAX_RECORDS) r->bad = true;
  struct dns_record *records = xalloc((r->bad ? 0 : (size_t)count) * sizeof *records + 1);
  for (uint16_t i = 0; i < count && !r->bad; i++) {
    get_str(r, records[i].name, sizeof records[i].name);
    records[i].address = get_u32(r);
  }
  uint16_t ups = get_u16(r);
  if (ups > MAX_UPSTREAMS) r->bad = true;
  struct upstream *upstreams = xalloc((r->bad ? 0 : (size_t)ups) * sizeof *upstreams + 1);
  for (uint16_t i = 0; i < ups && !r->bad; i++) {
    upstreams[i].source = get_u32(r);
    upstreams[i].server = get_u32(r);
    upstreams[i].port = get_u16(r);
  }
  struct server *s = server_find(network);
  if (r->bad) fail_with(f, EBADMSG, "names", "", "decode");
  else if (!s) s = server_open(network, f);
  if (r->bad || !s) {
    free(records), free(upstreams);
    return -1;
  }
  free(s->table.records), free(s->upstreams);
  s->table.records = records;
  s->table.count = count;
  s->upstreams = upstreams;
  s->upstream_count = ups;
  if (ups) ask_for_socket();
  return 0;
}

void dns_close(uint32_t network) {
  for (struct server **at = &servers; *at; at = &(*at)->next) {
    struct server *s = *at;
    if (s->network != network) continue;
    while (s->clients) client_end(s->clients);
    for (size_t i = 0; i < MAX_PENDING; i++)
      if (pending[i].server == s) pending[i] = (struct pending){0};
    source_close(&s->udp), source_close(&s->tcp);
    free(s->table.records), free(s->upstreams);
    *at = s->next;
    free_later(s);
    return;
  }
}
