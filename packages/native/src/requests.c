/* What clients may ask, request by request (docs/protocol.md, Requests). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"
#include "faults.h"
#include "networks.h"
#include "ops.h"
#include "requests.h"
#include "storage.h"

enum method {
  HELLO = 1, CREATE, START, EXEC, SIGNAL, WAIT, REMOVE, LOGS, ATTACH, RESIZE, PORT_OPEN, PORT_TARGET, PORT_CLOSE,
  SOCKETS, PORT_WATCH, CGROUP_READ, CGROUP_WRITE, LIST, SHUTDOWN, LABEL, HELPER, NETDEV, RESTART,
  NETWORK_CREATE = 33, NETWORK_DELETE, NETWORK_CONNECT, NETWORK_DISCONNECT, NAMES, PORT_ALLOW, OUTBOUND,
  FAULT_ADD, FAULT_REMOVE, CONNECTIONS_RESET, FILL, SCRATCH_SAVE = 48
};

static int hello(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  uint32_t protocol = get_u32(r);
  char version[64], token[sizeof run.token];
  get_str(r, version, sizeof version);
  get_str(r, token, sizeof token);
  if (r->bad) return fail_with(f, EBADMSG, "hello", "", "decode");
  if (protocol != PROTOCOL_VERSION) return fail_with(f, EPROTO, "hello", PACKAGE_VERSION, "protocol version");
  if (c->owner) memcpy(run.token, token, sizeof token);
  else if (!run.token[0] || strcmp(token, run.token)) return fail_with(f, EACCES, "hello", "", "token");
  c->greeted = true;
  char features[1024], files[256];
  cgroups_files(&run.cgroups, files, sizeof files);
  snprintf(features, sizeof features,
           "cgroup=%s\ncontrollers=%s\nnetwork=%s\nmemory-xattrs=%s\nfiles=%s\ndevices=%s\nsealed=%s\n",
           run.cgroups.version, run.cgroups.available, run.linked ? "veth" : run.prefix ? "hub" : "none",
           run.memory_xattrs ? "yes" : "no", files, devices_control(&run.cgroups, run.rootless), run.self_fd >= 0 ? "yes" : "no");
  struct buffer b = {0};
  put_u32(&b, PROTOCOL_VERSION);
  put_str(&b, PACKAGE_VERSION);
  put_str(&b, features);
  put_u32(&b, (uint32_t)run.supervisor_pid);
  put_u32(&b, run.subnet);
  put_u8(&b, run.prefix);
  put_u32(&b, hub_address());
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

static int done(struct connection *c, uint32_t id, int result) {
  if (!result) send_reply(c, id);
  return result;
}

static int dispatch(struct connection *c, uint32_t id, uint16_t method, struct reader *r, struct failure *f) {
  switch (method) {
    case HELLO: return hello(c, id, r, f);
    case CREATE: return container_create(c, id, r, f);
    case START: return ask_start(c, id, r, f);
    case RESTART: return ask_restart(c, id, r, f);
    case EXEC: return exec_create(c, id, r, f);
    case SIGNAL: return ask_signal(c, id, r, f);
    case WAIT: return ask_wait(c, id, r, f, WAIT_EXIT);
    case REMOVE: return ask_wait(c, id, r, f, WAIT_REMOVE);
    case LOGS: return ask_logs(c, id, r, f);
    case ATTACH: return ask_attach(c, id, r, f);
    case RESIZE: return done(c, id, ask_resize(r, f));
    case PORT_OPEN: return port_open(c, id, r, f);
    case PORT_TARGET: return done(c, id, port_target(r, f));
    case OUTBOUND: return outbound_ask(c, id, r, f);
    case PORT_ALLOW: return done(c, id, port_allow(r, f));
    case PORT_CLOSE: return done(c, id, port_close(r, f));
    case SOCKETS: return ask_sockets(c, id, r, f);
    case PORT_WATCH: return ask_port_watch(c, id, r, f);
    case CGROUP_READ: return ask_cgroup(c, id, r, f, false);
    case CGROUP_WRITE: return ask_cgroup(c, id, r, f, true);
    case LIST: return ask_list(c, id);
    case LABEL: return ask_label(c, id, r, f);
    case HELPER: return helper_start(c, id, r, f);
    case SCRATCH_SAVE: return ask_save(c, id, r, f);
    case NETDEV: return ask_netdev(c, id, r, f);
    case NETWORK_CREATE: return network_create(c, id, r, f);
    case NAMES: return done(c, id, dns_names(r, f));
    case NETWORK_DELETE: return done(c, id, network_delete(r, f));
    case NETWORK_CONNECT: return done(c, id, network_connect(r, f));
    case NETWORK_DISCONNECT: return done(c, id, network_disconnect(r, f));
    case FAULT_ADD: return done(c, id, fault_add(r, c, f));
    case FAULT_REMOVE: return done(c, id, fault_remove(r, f));
    case CONNECTIONS_RESET: return connections_reset(c, id, r, f);
    case FILL: return done(c, id, storage_fill(r, f));
    case SHUTDOWN: send_reply(c, id); _exit(0);
    default: return fail_with(f, ENOSYS, "request", "", "unknown");
  }
}

void handle_request(struct connection *c, uint32_t id, struct reader *r) {
  struct failure f;
  uint16_t method = get_u16(r);
  int result = c->greeted || method == HELLO ? dispatch(c, id, method, r, &f)
                                              : fail_with(&f, EACCES, "request", "", "hello comes first");
  if (result) send_failure(c, id, &f);
}
