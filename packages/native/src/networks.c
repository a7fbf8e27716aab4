#include "networks.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"
#include "outbound.h"
#include "routes.h"

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

/* The host's way to a foreign network; it goes with the link at the latest. Done standing in the host's namespace. */
static int lead_host(const struct network *n, uint32_t base, bool add) {
  if (!run.linked) return 0;
  if (setns(run.host_net, CLONE_NEWNET)) return -1;
  const struct route way = {.table = TABLE_MAIN, .destination = base, .prefix = n->prefix, .gateway = hub_address()};
  int route = route_socket(), result = route < 0 ? -1 : add ? route_add(route, &way) : route_delete(route, &way), saved = errno;
  if (route >= 0) close(route);
  if (setns(run.hub_ns, CLONE_NEWNET)) _exit(71);
  errno = saved;
  return result;
}

/* Unknown to the rules for the range: no other network leads there, and nothing from there is known outside. */
static int make_foreign(struct network *n, const char **step) {
  const uint32_t base = n->gateway & ~0u << (32 - n->prefix);
  *step = "host";
  if (lead_host(n, base, true)) return -1;
  *step = "unreachable";
  for (uint32_t table = TABLE_OUTBOUND; table <= TABLE_INTERNAL; table++) {
    const struct route apart = {.table = table, .destination = base, .prefix = n->prefix};
    if (route_add(run.route, &apart)) return -1;
  }
  char name[IFNAMSIZ];
  bridge_name(name, n->id);
  /* Without nf_tables there is no other way out either, and what stands in for one needs no names. */
  if (!n->internal) n->table = outbound_open(name, WAY_NETWORK, base, n->prefix);
  return 0;
}

static void unmake_foreign(struct network *n) {
  const uint32_t base = n->gateway & ~0u << (32 - n->prefix);
  for (uint32_t table = TABLE_OUTBOUND; table <= TABLE_INTERNAL; table++) {
    const struct route apart = {.table = table, .destination = base, .prefix = n->prefix};
    (void)route_delete(run.route, &apart);
  }
  (void)lead_host(n, base, false);
  if (n->table >= 0) close(n->table);
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
  if (link_forwarding(run.route, n->bridge, true)) return -1;
  return n->foreign ? make_foreign(n, step) : 0;
}

static void unmake(struct network *n) {
  char name[IFNAMSIZ];
  bridge_name(name, n->id);
  const struct rule own = {.priority = RULE_NETWORK, .table = table_of(n), .interface = name};
  (void)rule_change(run.route, false, &own);
  if (n->bridge) (void)link_delete(run.route, n->bridge);
  if (n->foreign) unmake_foreign(n);
}

int network_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct network *n = xalloc(sizeof *n);
  n->conn = c;
  n->id = get_u32(r);
  n->gateway = get_u32(r);
  n->prefix = get_u8(r);
  const uint32_t flags = get_u32(r);
  n->internal = flags & NETWORK_INTERNAL;
  n->foreign = flags & NETWORK_FOREIGN;
  n->table = -1;
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

void networks_left(const struct container *t) {
  bool foreign = false;
  for (const struct network *n = run.networks; n; n = n->next) foreign |= n->foreign;
  if (!foreign || !t->veth) return;
  for (unsigned number = 0, missed = 0; missed < 2; number++) {
    char name[IFNAMSIZ];
    interface_name(name, t->veth, (uint8_t)number);
    const uint32_t master = link_master(run.route, name);
    missed = master ? 0 : missed + 1;
    for (const struct network *n = run.networks; n && master; n = n->next)
      if (n->foreign && n->bridge == master) (void)link_delete_named(run.route, name);
  }
}

void networks_forget(struct connection *c) {
  for (struct network **at = &run.networks; *at;)
    if ((*at)->conn == c) drop(at);
    else at = &(*at)->next;
}
