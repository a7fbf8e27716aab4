#include "outbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nlmessage.h"

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 2
#endif

enum { NAT_PRIORITY = 100, FILTER_PRIORITY = -5, SOURCE_OFFSET = 12 };

struct batch {
  struct buffer bytes;
  const char *table;
  unsigned expected; /* acknowledgements */
};

static struct rtattr *nest(struct message *m, uint16_t type) { return message_add(m, type | NLA_F_NESTED, NULL, 0); }
static void add_text(struct message *m, uint16_t type, const char *text) { message_add(m, type, text, strlen(text) + 1); }
static void add_number(struct message *m, uint16_t type, uint32_t value) {
  value = htonl(value);
  message_add(m, type, &value, sizeof value);
}

static void begin(struct message *m, uint16_t type, uint16_t flags) {
  const struct nfgenmsg g = {.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0};
  message_begin(m, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags | NLM_F_CREATE | NLM_F_ACK, &g, sizeof g);
}

static void append(struct batch *b, struct message *m) {
  m->header.nlmsg_seq = message_sequence();
  const size_t length = m->header.nlmsg_len;
  static const uint8_t zeros[4];
  buffer_append(&b->bytes, m, length);
  buffer_append(&b->bytes, zeros, NLMSG_ALIGN(length) - length);
  b->expected += (m->header.nlmsg_flags & NLM_F_ACK) != 0;
}

static void edge(struct batch *b, uint16_t type) {
  struct message m;
  const struct nfgenmsg g = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
  message_begin(&m, type, 0, &g, sizeof g);
  append(b, &m);
}

static void add_table(struct batch *b) {
  struct message m;
  begin(&m, NFT_MSG_NEWTABLE, NLM_F_EXCL);
  add_text(&m, NFTA_TABLE_NAME, b->table);
  add_number(&m, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
  append(b, &m);
}

static void add_chain(struct batch *b, const char *name, const char *type, uint32_t hook, int priority) {
  struct message m;
  begin(&m, NFT_MSG_NEWCHAIN, NLM_F_EXCL);
  add_text(&m, NFTA_CHAIN_TABLE, b->table);
  add_text(&m, NFTA_CHAIN_NAME, name);
  add_text(&m, NFTA_CHAIN_TYPE, type);
  struct rtattr *at = nest(&m, NFTA_CHAIN_HOOK);
  add_number(&m, NFTA_HOOK_HOOKNUM, hook);
  add_number(&m, NFTA_HOOK_PRIORITY, (uint32_t)priority);
  message_end(&m, at);
  append(b, &m);
}

struct expression {
  struct rtattr *element, *data;
};

static struct expression express(struct message *m, const char *name) {
  struct expression e = {.element = nest(m, NFTA_LIST_ELEM)};
  add_text(m, NFTA_EXPR_NAME, name);
  e.data = nest(m, NFTA_EXPR_DATA);
  return e;
}

static void expressed(struct message *m, struct expression e) {
  message_end(m, e.data);
  message_end(m, e.element);
}

static void add_value(struct message *m, uint16_t type, const void *value, size_t n) {
  struct rtattr *at = nest(m, type);
  message_add(m, NFTA_DATA_VALUE, value, n);
  message_end(m, at);
}

static void compare(struct message *m, uint32_t operation, const void *value, size_t n) {
  struct expression e = express(m, "cmp");
  add_number(m, NFTA_CMP_SREG, NFT_REG_1);
  add_number(m, NFTA_CMP_OP, operation);
  add_value(m, NFTA_CMP_DATA, value, n);
  expressed(m, e);
}

static void load_interface(struct message *m, uint32_t key) {
  struct expression e = express(m, "meta");
  add_number(m, NFTA_META_DREG, NFT_REG_1);
  add_number(m, NFTA_META_KEY, key);
  expressed(m, e);
}

static void from_subnet(struct message *m, uint32_t subnet, uint8_t prefix) {
  const uint32_t mask = htonl(~0u << (32 - prefix)), none = 0, base = htonl(subnet);
  struct expression e = express(m, "payload");
  add_number(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
  add_number(m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
  add_number(m, NFTA_PAYLOAD_OFFSET, SOURCE_OFFSET);
  add_number(m, NFTA_PAYLOAD_LEN, sizeof base);
  expressed(m, e);
  e = express(m, "bitwise");
  add_number(m, NFTA_BITWISE_SREG, NFT_REG_1);
  add_number(m, NFTA_BITWISE_DREG, NFT_REG_1);
  add_number(m, NFTA_BITWISE_LEN, sizeof base);
  add_value(m, NFTA_BITWISE_MASK, &mask, sizeof mask);
  add_value(m, NFTA_BITWISE_XOR, &none, sizeof none);
  expressed(m, e);
  compare(m, NFT_CMP_EQ, &base, sizeof base);
}

static struct rtattr *begin_rule(struct message *m, const struct batch *b, const char *chain) {
  begin(m, NFT_MSG_NEWRULE, NLM_F_APPEND);
  add_text(m, NFTA_RULE_TABLE, b->table);
  add_text(m, NFTA_RULE_CHAIN, chain);
  return nest(m, NFTA_RULE_EXPRESSIONS);
}

static void masquerade(struct batch *b, const char *interface, enum way way, uint32_t subnet, uint8_t prefix) {
  struct message m;
  char name[IFNAMSIZ] = "";
  snprintf(name, sizeof name, "%s", interface);
  struct rtattr *list = begin_rule(&m, b, "outbound");
  from_subnet(&m, subnet, prefix);
  load_interface(&m, NFT_META_OIFNAME);
  compare(&m, way == WAY_HUB ? NFT_CMP_EQ : NFT_CMP_NEQ, name, sizeof name);
  expressed(&m, express(&m, "masq"));
  message_end(&m, list);
  append(b, &m);
}

/* From one run to another: every run's interface begins like this. */
static void separate(struct batch *b) {
  static const char ours[] = {'m', 'a', 'y', 'f', 'l', 'y'};
  struct message m;
  struct rtattr *list = begin_rule(&m, b, "apart");
  load_interface(&m, NFT_META_IIFNAME);
  compare(&m, NFT_CMP_EQ, ours, sizeof ours);
  load_interface(&m, NFT_META_OIFNAME);
  compare(&m, NFT_CMP_EQ, ours, sizeof ours);
  struct expression e = express(&m, "immediate");
  add_number(&m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  struct rtattr *data = nest(&m, NFTA_IMMEDIATE_DATA), *verdict = nest(&m, NFTA_DATA_VERDICT);
  add_number(&m, NFTA_VERDICT_CODE, NF_DROP);
  message_end(&m, verdict);
  message_end(&m, data);
  expressed(&m, e);
  message_end(&m, list);
  append(b, &m);
}

static int carry_out(int fd, struct batch *b) {
  if (send(fd, b->bytes.data, b->bytes.length, 0) < 0) return -1;
  for (unsigned seen = 0; seen < b->expected;) {
    _Alignas(struct nlmsghdr) uint8_t reply[8192];
    ssize_t n = recv(fd, reply, sizeof reply, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    size_t left = (size_t)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)reply; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type != NLMSG_ERROR) continue;
      int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
      if (error) {
        errno = -error;
        return -1;
      }
      seen++;
    }
  }
  return 0;
}

static bool host_forwards(void) {
  char text[8];
  return read_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", text, sizeof text) > 0 && text[0] == '1';
}

int outbound_open(const char *interface, enum way way, uint32_t subnet, uint8_t prefix) {
  if (way == WAY_HOST && !host_forwards()) {
    errno = ENETDOWN;
    return -1;
  }
  int fd = switched_off("nftables") ? (errno = EOPNOTSUPP, -1) : netlink_socket(NETLINK_NETFILTER);
  if (fd < 0) return -1;
  struct batch b = {.table = interface};
  edge(&b, NFNL_MSG_BATCH_BEGIN);
  add_table(&b);
  add_chain(&b, "outbound", "nat", NF_INET_POST_ROUTING, NAT_PRIORITY);
  if (way == WAY_HOST) add_chain(&b, "apart", "filter", NF_INET_FORWARD, FILTER_PRIORITY);
  masquerade(&b, interface, way, subnet, prefix);
  if (way == WAY_HOST) separate(&b);
  edge(&b, NFNL_MSG_BATCH_END);
  int result = carry_out(fd, &b), saved = errno;
  buffer_free(&b.bytes);
  if (!result) return fd;
  close(fd);
  errno = saved;
  return -1;
}
