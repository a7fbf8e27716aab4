/* Containers' interfaces: made with the container, and for networks it is connected to later. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "networks.h"
#include "ops.h"
#include "requests.h"
#include "routes.h"
#include "wire.h"

enum { INTERNAL_BEYOND = 30 }; /* host and hub; to them an internal network can answer */

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

/* The same whoever has it: neighbours go on sending to an address that was chosen, and reach its next holder. */
static int name_hardware(int route, const struct interface *i, uint32_t index) {
  const uint32_t a = i->address;
  if (!((a ^ RANGE) >> (32 - RANGE_PREFIX))) return 0;
  const uint8_t mac[6] = {0x02, 'm', (uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a};
  return link_hardware(route, index, mac);
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
  if (!result) result = name_hardware(route, i, index) || link_address(route, index, i->address, i->prefix) ? -1 : 0;
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
  if (!result) result = link_address_delete(route, index, old, old_prefix) || name_hardware(route, i, index) || link_address(route, index, i->address, i->prefix);
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

int network_connect(struct reader *r, struct failure *f) {
  struct container *t = running_container(r, "network.connect", f);
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
  struct container *t = running_container(r, "network.disconnect", f);
  uint8_t number = get_u8(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "network.disconnect", t->id, "decode");
  char name[IFNAMSIZ];
  interface_name(name, t->veth, number);
  wires_lost(t, number);
  return link_delete_named(run.route, name) ? fail(f, "network.disconnect", t->id, name) : 0;
}
