/* The hub's way to the outside, which the janitor opens when it is asked for. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "networks.h"
#include "outbound.h"
#include "routes.h"

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
