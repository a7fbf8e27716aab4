#include "nlmessage.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int netlink_socket(int family) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  if (fd < 0) return -1;
  /* A reply that never comes must not hold up every container of the run. */
  struct timeval limit = {.tv_sec = 2};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)) {
    close(fd);
    return -1;
  }
  return fd;
}

void message_begin(struct message *m, uint16_t type, uint16_t flags, const void *fixed, size_t n) {
  memset(m, 0, sizeof *m);
  m->header.nlmsg_type = type;
  m->header.nlmsg_flags = NLM_F_REQUEST | flags;
  m->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(n);
  memcpy(m->body, fixed, n);
}

struct rtattr *message_add(struct message *m, uint16_t type, const void *value, size_t n) {
  struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)m + NLMSG_ALIGN(m->header.nlmsg_len));
  a->rta_type = type;
  a->rta_len = (uint16_t)RTA_LENGTH(n);
  if (n) memcpy(RTA_DATA(a), value, n);
  m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
  return a;
}

void message_end(struct message *m, struct rtattr *nest) {
  nest->rta_len = (uint16_t)((uint8_t *)m + m->header.nlmsg_len - (uint8_t *)nest);
}

uint32_t message_sequence(void) {
  static uint32_t sequence;
  return ++sequence;
}

int message_ask(int fd, struct message *m, void *reply, size_t size) {
  m->header.nlmsg_seq = message_sequence();
  if (send(fd, m, m->header.nlmsg_len, 0) < 0) return -1;
  for (;;) {
    ssize_t n = recv(fd, reply, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    struct nlmsghdr *h = reply;
    if ((size_t)n < sizeof *h || h->nlmsg_seq != m->header.nlmsg_seq) continue;
    if (h->nlmsg_type != NLMSG_ERROR) return 0;
    int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
    if (!error) return 0;
    errno = -error;
    return -1;
  }
}

int message_command(int fd, struct message *m) {
  m->header.nlmsg_flags |= NLM_F_ACK;
  _Alignas(struct nlmsghdr) uint8_t reply[4096];
  return message_ask(fd, m, reply, sizeof reply);
}
