#include "pipes.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run.h"

/* As many bytes as a client may have on their way; where the user's share of pipe memory is used up, the default stays. */
enum { ROOMY = 256 << 10 };

static void close_pair(int *pair) {
  for (int i = 0; i < 2; i++)
    if (pair[i] >= 0) close(pair[i]);
}

void pipes_close(struct pipes *p) {
  close_pair(p->in), close_pair(p->out), close_pair(p->err), close_pair(p->error), close_pair(p->control);
  close_pair(p->terminal), close_pair(p->notify);
}

int pipes_open(struct pipes *p, uint32_t flags, bool control) {
  *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
  bool terminal = flags & FLAG_TERMINAL, streams = !terminal && !(flags & FLAG_DETACHED);
  if ((streams && (pipe2(p->out, O_CLOEXEC) || pipe2(p->err, O_CLOEXEC))) || pipe2(p->error, O_CLOEXEC) ||
      (flags & FLAG_STDIN && !terminal && pipe2(p->in, O_CLOEXEC)) || (control && pipe2(p->control, O_CLOEXEC)) ||
      (terminal && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->terminal)) ||
      (control && flags & FLAG_NOTIFY && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->notify))) {
    pipes_close(p);
    return -1;
  }
  if (p->in[1] >= 0) (void)fcntl(p->in[1], F_SETPIPE_SZ, (int)ROOMY);
  if (p->out[1] >= 0 && flags & (FLAG_STDIN | FLAG_HELD | FLAG_FILES)) (void)fcntl(p->out[1], F_SETPIPE_SZ, (int)ROOMY);
  return 0;
}

void pipes_ours(struct pipes *p) {
  int ours[] = {p->out[0], p->err[0], p->error[0], p->in[1], p->terminal[0], p->notify[0]};
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
    int flags = ours[i] < 0 ? -1 : fcntl(ours[i], F_GETFL);
    if (flags >= 0) (void)fcntl(ours[i], F_SETFL, flags | O_NONBLOCK);
  }
  int theirs[] = {p->out[1], p->err[1], p->error[1], p->in[0], p->control[0], p->terminal[1], p->notify[1]};
  for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
    if (theirs[i] >= 0) close(theirs[i]);
}

/* A child that waits for its list's rest would keep what is others' open: standard input, which then never ends, mounts
   and changes in memory, which then stay. */
static void close_others(const struct child *c) {
  for (struct container *t = run.containers; t; t = t->next) {
    if (t->mounts_fd >= 0 && t->mounts_fd != c->mounts_fd) close(t->mounts_fd);
    if (t->before_fd >= 0) close(t->before_fd);
    if (t->scratch_fd >= 0 && t->scratch_fd != c->scratch_fd) close(t->scratch_fd);
    if (t->main && t->main->input.source.fd >= 0) close(t->main->input.source.fd);
    for (struct process *p = t->execs; p; p = p->next)
      if (p->input.source.fd >= 0) close(p->input.source.fd);
  }
}

int pipes_adopt(struct pipes *p, struct child *c) {
  close_others(c);
  c->terminal_fd = p->terminal[1];
  c->notify_fd = p->notify[1];
  int in = p->in[0] >= 0 ? p->in[0] : run.null_fd, out = p->out[1] >= 0 ? p->out[1] : run.null_fd;
  return dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(p->err[1] >= 0 ? p->err[1] : out, 2) < 0 ? -1 : 0;
}

int descriptor_send(int socket, int fd) {
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(h), &fd, sizeof fd);
  return sendmsg(socket, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int descriptor_take(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1) return -1;
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
    memcpy(&fd, CMSG_DATA(h), sizeof fd);
  return fd;
}
