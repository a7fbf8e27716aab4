/* Netlink messages: how they are built, sent and answered. */
#ifndef MAYFLY_NLMESSAGE_H
#define MAYFLY_NLMESSAGE_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "base.h"

struct message {
  struct nlmsghdr header;
  uint8_t body[2048];
};

int netlink_socket(int family);
/* A message of `type` that begins with `n` bytes of a fixed header. */
void message_begin(struct message *m, uint16_t type, uint16_t flags, const void *fixed, size_t n);
struct rtattr *message_add(struct message *m, uint16_t type, const void *value, size_t n);
/* Closes a nest that message_add began without a value. */
void message_end(struct message *m, struct rtattr *nest);
/* Sends and reads the answer into `reply`; the kernel's error becomes errno. */
int message_ask(int fd, struct message *m, void *reply, size_t size);
/* Sends and waits for the acknowledgement. */
int message_command(int fd, struct message *m);
uint32_t message_sequence(void);

#endif
