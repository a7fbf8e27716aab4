#include "networks.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "ops.h"
#include "outbound.h"
#include "routes.h"
#include "wire.h"

enum { INTERNAL_BEYOND = 30 }; /* host and hub; to them an internal network can answer */
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

/* --- interfaces of containers --- */

struct interface {
  uint8_t number, prefix;
  uint32_t bridge, address, gateway; /* 0: leads nowhere */
  uint32_t beyond; /* what lies behind the gateway */
  uint8_t beyond_prefix;
};

void interface_name(char out[IFNAMSIZ], uint32_t veth, uint8_t number) {
  if (number) snprintf(out, IFNAMSIZ, "v%un%u", veth, number);
  else snprintf(out, IFNAMSIZ, "v%u", veth);
}

static int lead(int route, const struct interface *i, uint32_t index) {
  struct route r = {.table = TABLE_MAIN, .destination = i->beyond, .prefix = i->beyond_prefix, .gateway = i->gateway, .index = index};
  return route_add(route, &r);
}

/* Made from the hub's side, so that its end is up and in the bridge within the same message; done standing in the container's namespace. */
static int plug(int hub, uint32_t veth, const struct interface *i, const char **step) {
  char name[IFNAMSIZ], inside[IFNAMSIZ];
  interface_name(name, veth, i->number);
  snprintf(inside, sizeof inside, "eth%u", i->number);
  *step = "open namespace";
  int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (self < 0) return -1;
  *step = "create";
  int result = veth_create(hub, name, i->bridge, inside, self), saved = errno;
  close(self);
  errno = saved;
  if (result) return -1;
  int route = route_socket();
  uint32_t index = if_nametoindex(inside);
  *step = "index";
  if (route < 0 || !index) result = -1;
  *step = result ? *step : "address";
  if (!result) result = link_address(route, index, i->address, i->prefix);
  *step = result ? *step : "up";
  if (!result) result = link_up(route, index);
  *step = result ? *step : "route";
  if (!result && i->gateway) result = lead(route, i, index);
  saved = errno;
  if (route >= 0) close(route);
  if (!result) link_settle(hub, name);
  errno = saved;
  return result;
}

/* eth0 of a prepared place goes from one network to another. */
static int replug(int hub, uint32_t veth, const struct interface *i, uint32_t old, uint8_t old_prefix, const char **step) {
  char name[IFNAMSIZ];
  interface_name(name, veth, i->number);
  *step = "move";
  if (link_move(hub, name, i->bridge)) return -1;
  snprintf(name, sizeof name, "eth%u", i->number);
  int route = route_socket();
  uint32_t index = if_nametoindex(name);
  *step = "index";
  int result = route < 0 || !index ? -1 : 0;
  *step = result ? *step : "address";
  if (!result) result = link_address_delete(route, index, old, old_prefix) || link_address(route, index, i->address, i->prefix);
  *step = result ? *step : "route";
  if (!result && i->gateway) result = lead(route, i, index);
  int saved = errno;
  if (route >= 0) close(route);
  errno = saved;
  return result ? -1 : 0;
}

int op_loopback(struct child *c) {
  int route = route_socket();
  if (route < 0 || link_up(route, 1)) return fail(&c->failure, "loopback", "lo", "up");
  close(route);
  return 0;
}

int op_veth(struct child *c, struct reader *r) {
  struct interface i = {.bridge = c->bridge};
  i.address = get_u32(r);
  i.prefix = get_u8(r);
  i.gateway = get_u32(r);
  if (r->bad) return 0;
  const char *step;
  return plug(c->hub_route_fd, c->veth_index, &i, &step) ? fail(&c->failure, "veth", "eth0", step) : 0;
}

int op_link(struct child *c, struct reader *r) {
  struct interface i = {.number = get_u8(r)};
  i.bridge = get_u32(r);
  i.address = get_u32(r);
  i.prefix = get_u8(r);
  i.gateway = get_u32(r);
  i.beyond = get_u32(r);
  i.beyond_prefix = get_u8(r);
  uint32_t old = get_u32(r);
  uint8_t old_prefix = get_u8(r);
  if (r->bad) return 0;
  char name[IFNAMSIZ];
  snprintf(name, sizeof name, "eth%u", i.number);
  const char *step;
  int result = old ? replug(c->hub_route_fd, c->veth_index, &i, old, old_prefix, &step)
                   : plug(c->hub_route_fd, c->veth_index, &i, &step);
  return result ? fail(&c->failure, "link", name, step) : 0;
}

static struct container *running(struct reader *r, const char *request, struct failure *f) {
  char name[80];
  get_str(r, name, sizeof name);
  struct container *t = r->bad ? NULL : container_find(name);
  if (t && t->main && t->main->exit.fd >= 0 && t->state == STATE_RUNNING) return t;
  fail_with(f, r->bad ? EBADMSG : t ? ESRCH : ENOENT, request, name, r->bad ? "decode" : t ? "not running" : "no such container");
  return NULL;
}

int network_connect(struct reader *r, struct failure *f) {
  struct container *t = running(r, "network.connect", f);
  struct interface i = {.number = get_u8(r)};
  struct network *n = network_find(get_u32(r));
  i.address = get_u32(r);
  i.gateway = get_u32(r) ? 1 : 0;
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "network.connect", t->id, "decode");
  if (!n) return fail_with(f, ENOENT, "network.connect", t->id, "no such network");
  i.bridge = n->bridge;
  i.prefix = n->prefix;
  i.gateway = i.gateway ? n->gateway : 0;
  if (n->internal) i.beyond = run.subnet, i.beyond_prefix = INTERNAL_BEYOND;
  const char *step = "setns";
  if (setns(t->main->exit.fd, CLONE_NEWNET)) return fail(f, "network.connect", t->id, step);
  int result = plug(run.route, t->veth, &i, &step), saved = errno;
  if (setns(run.hub_ns, CLONE_NEWNET)) _exit(71);
  /* A container with faults has them there, too. */
  if (!result) return wires_fit(t, &step) ? fail(f, "network.connect", t->id, step) : 0;
  char name[IFNAMSIZ];
  interface_name(name, t->veth, i.number);
  if (strcmp(step, "create")) (void)link_delete_named(run.route, name);
  return fail_with(f, saved, "network.connect", t->id, step);
}

int network_disconnect(struct reader *r, struct failure *f) {
  struct container *t = running(r, "network.disconnect", f);
  uint8_t number = get_u8(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "network.disconnect", t->id, "decode");
  char name[IFNAMSIZ];
  interface_name(name, t->veth, number);
  wires_lost(t, number);
  return link_delete_named(run.route, name) ? fail(f, "network.disconnect", t->id, name) : 0;
}

/* --- the way out --- */

static int lead_outside(void) {
  struct route out = {.table = TABLE_OUTBOUND, .gateway = run.gateway, .index = run.bridge};
  return route_add(run.route, &out) && errno != EEXIST ? -1 : 0;
}

/* What comes out of a program's interface, in its address's name: the packets of all containers. */
static struct {
  char interface[IFNAMSIZ];
  uint32_t gateway;
  int table;
} relay = {.table = -1};

static int lead_through(void) {
  struct route out = {.table = TABLE_OUTBOUND, .gateway = relay.gateway, .index = if_nametoindex(relay.interface)};
  if (!out.index || link_forwarding(run.route, out.index, true)) return -1;
  if (relay.table < 0) relay.table = outbound_open(relay.interface, WAY_HUB, run.subnet, (uint8_t)(run.prefix - 1));
  if (relay.table < 0) return -1;
  return route_add(run.route, &out) && errno != EEXIST ? -1 : 0;
}

int outbound_ask(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct janitor_message m = {.word = JANITOR_OUTBOUND};
  char interface[IFNAMSIZ];
  get_str(r, interface, sizeof interface);
  uint32_t gateway = get_u32(r);
  uint16_t words = get_u16(r);
  size_t used = 0;
  for (uint16_t i = 0; i < words && !r->bad; i++) {
    char *word = get_str_dup(r);
    size_t n = word ? strlen(word) + 1 : 0;
    if (n < 2 || (!used && *word != '/') || used + n + 1 > sizeof m.path) r->bad = true;
    else memcpy(m.path + used, word, n), used += n;
    free(word);
  }
  if (r->bad || (words && !*interface)) return fail_with(f, EBADMSG, "outbound", "", "decode");
  if (run.linked == (words > 0)) return fail_with(f, EOPNOTSUPP, "outbound", "", "no link to the host");
  if (words) {
    snprintf(relay.interface, sizeof relay.interface, "%s", interface);
    relay.gateway = gateway;
  }
  if (send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL) < 0) return fail(f, "outbound", "", "janitor");
  waiter_add(WAIT_OUTBOUND, c, id, NULL);
  return 0;
}

void outbound_answered(uint32_t errnum) {
  const char *step = "host";
  if (!errnum && (run.linked ? lead_outside() : lead_through())) errnum = (uint32_t)errno, step = "route";
  for (struct waiter *w = run.waiters; w; w = w->next) {
    if (w->done || w->kind != WAIT_OUTBOUND) continue;
    w->done = true;
    struct failure f;
    fail_with(&f, (int)errnum, "outbound", "", step);
    if (errnum) send_failure(w->conn, w->request, &f);
    else send_reply(w->conn, w->request);
  }
}
