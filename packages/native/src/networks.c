#include "networks.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"
#include "routes.h"

enum { RANGE = 0xC6120000u, RANGE_PREFIX = 15 }; /* every run's addresses (janitor.c) */

static void bridge_name(char out[IFNAMSIZ], uint32_t id) { snprintf(out, IFNAMSIZ, "n%u", id); }

static int internal_routes(uint32_t table, uint32_t host) {
  struct route to_host = {.table = table, .destination = host, .prefix = 32, .index = run.bridge};
  struct route range = {.table = table, .destination = RANGE, .prefix = RANGE_PREFIX};
  struct route rest = {.table = table, .metric = 1000};
  return (run.linked && route_add(run.route, &to_host)) || route_add(run.route, &range) || route_add(run.route, &rest) ? -1 : 0;
}

/* Every client of a published port costs a port of the hub's, for a minute after its end: the kernel's usual 28,000 would be
 * gone after as many, and the next ones broken. Frames of a bridge need not pass the hooks of iptables, where nobody waits for them
 * and each costs a microsecond; before Linux 5.3 that is the machine's to say. */
void hub_settings(void) {
  static const char *const settings[][2] = {
    {"sys/net/ipv4/ip_local_port_range", "1024 65535"}, {"sys/net/ipv4/tcp_tw_reuse", "1"}, {"sys/net/bridge/bridge-nf-call-iptables", "0"}};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    int fd = openat(run.proc_fd, settings[i][0], O_WRONLY | O_CLOEXEC);
    if (fd < 0) continue; /* a read-only /proc/sys, as in a container */
    (void)!write(fd, settings[i][1], strlen(settings[i][1]));
    close(fd);
  }
}

int hub_routes(void) {
  const uint32_t host = run.gateway;
  if (internal_routes(TABLE_OUTBOUND, host) || internal_routes(TABLE_INTERNAL, host)) return -1;
  const struct rule from_host = {.priority = RULE_HOST, .table = TABLE_MAIN, .interface = "mayfly", .source = host, .prefix = 32};
  /* What else comes in there comes through the host: answers from outside. */
  const struct rule from_hub = {.priority = RULE_HUB, .table = TABLE_OUTBOUND, .interface = "mayfly", .source = run.subnet, .prefix = run.prefix};
  if ((run.linked && rule_change(run.route, true, &from_host)) || rule_change(run.route, true, &from_hub)) return -1;
  return link_forwarding(run.route, run.bridge, true);
}

struct network *network_find(uint32_t id) {
  for (struct network *n = run.networks; n; n = n->next)
    if (n->id == id) return n;
  return NULL;
}

static uint32_t table_of(const struct network *n) { return n->internal ? TABLE_INTERNAL : TABLE_OUTBOUND; }

static int make(struct network *n, const char **step) {
  char name[IFNAMSIZ];
  bridge_name(name, n->id);
  *step = "bridge";
  int bridge = bridge_create(run.route, name);
  if (bridge < 0) return -1;
  n->bridge = (uint32_t)bridge;
  *step = "address";
  if (link_address(run.route, n->bridge, n->gateway, n->prefix)) return -1;
  *step = "rule";
  const struct rule own = {.priority = RULE_NETWORK, .table = table_of(n), .interface = name};
  if (rule_change(run.route, true, &own)) return -1;
  *step = "forwarding";
  return link_forwarding(run.route, n->bridge, true);
}

static void unmake(struct network *n) {
  char name[IFNAMSIZ];
  bridge_name(name, n->id);
  const struct rule own = {.priority = RULE_NETWORK, .table = table_of(n), .interface = name};
  (void)rule_change(run.route, false, &own);
  if (n->bridge) (void)link_delete(run.route, n->bridge);
}

int network_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct network *n = xalloc(sizeof *n);
  n->conn = c;
  n->id = get_u32(r);
  n->gateway = get_u32(r);
  n->prefix = get_u8(r);
  n->internal = get_u32(r) & NETWORK_INTERNAL;
  const char *step = "decode";
  char name[16];
  snprintf(name, sizeof name, "%u", n->id);
  int result = 0;
  if (r->bad || !n->id || n->prefix < 8 || n->prefix > 30) result = fail_with(f, EBADMSG, "network.create", name, step);
  else if (network_find(n->id)) result = fail_with(f, EEXIST, "network.create", name, "id");
  else if (make(n, &step)) result = fail(f, "network.create", name, step), unmake(n);
  if (result) {
    free_later(n);
    return -1;
  }
  n->next = run.networks;
  run.networks = n;
  struct buffer b = {0};
  put_u32(&b, n->bridge);
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

static void drop(struct network **at) {
  struct network *n = *at;
  *at = n->next;
  dns_close(n->id);
  unmake(n);
  free_later(n);
}

int network_delete(struct reader *r, struct failure *f) {
  uint32_t id = get_u32(r);
  for (struct network **at = &run.networks; *at; at = &(*at)->next) {
    if ((*at)->id != id) continue;
    drop(at);
    return 0;
  }
  return fail_with(f, ENOENT, "network.delete", "", "no such network");
}

void networks_forget(struct connection *c) {
  for (struct network **at = &run.networks; *at;)
    if ((*at)->conn == c) drop(at);
    else at = &(*at)->next;
}
