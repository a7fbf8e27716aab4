/* Programs of the host that serve one container from outside it: in the run's pid namespace, so they end with the run. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"
#include "sys.h"

enum { FUSE = 1, MAX_WORDS = 256, DESCRIPTOR = 3 };

static struct helper *find(const char *id) {
  for (struct helper *h = run.helpers; h; h = h->next)
    if (!strcmp(h->id, id)) return h;
  return NULL;
}

static void forget(struct helper *h) {
  for (struct helper **at = &run.helpers; *at; at = &(*at)->next)
    if (*at == h) {
      *at = h->next;
      break;
    }
  source_close(&h->exit);
  if (h->fuse >= 0) close(h->fuse);
  free_later(h);
}

static void exited(struct source *s, uint32_t events) {
  (void)events;
  struct helper *h = s->owner;
  siginfo_t info = {0};
  /* Whoever reaps orphans may have been first (ECHILD). */
  if (!waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG) && !info.si_pid) return;
  forget(h);
}

/* A device that nobody has mounted yet answers reads with EPERM, upon which the server would give up. */
static void await_mount(int fuse) {
  const struct timespec step = {.tv_nsec = 500000};
  struct pollfd p = {.fd = fuse, .events = POLLIN};
  while (poll(&p, 1, 0) >= 0 && p.revents & POLLERR) (void)nanosleep(&step, NULL);
}

static _Noreturn void become(char **argv, char **env, int fuse, int log) {
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
  (void)setsid();
  if (dup2(run.null_fd, 0) < 0 || dup2(run.null_fd, 1) < 0 || dup2(log >= 0 ? log : run.null_fd, 2) < 0) _exit(127);
  if (fuse >= 0 && dup2(fuse, DESCRIPTOR) < 0) _exit(127);
  if (sys_close_range(fuse >= 0 ? DESCRIPTOR + 1 : DESCRIPTOR, ~0u, 0)) _exit(127);
  if (fuse >= 0) await_mount(DESCRIPTOR);
  execve(argv[0], argv, env);
  _exit(127);
}

static char **words(struct reader *r) {
  uint16_t n = get_u16(r);
  if (n > MAX_WORDS) r->bad = true;
  char **list = xalloc(((size_t)(r->bad ? 0 : n) + 1) * sizeof *list);
  for (uint16_t i = 0; i < n && !r->bad; i++) list[i] = get_str_dup(r);
  return list;
}

static void words_free(char **list) {
  for (char **at = list; *at; at++) free(*at);
  free(list);
}

int helper_start(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct helper *h = xalloc(sizeof *h);
  *h = (struct helper){.exit.fd = -1, .fuse = -1, .conn = c};
  get_str(r, h->id, sizeof h->id);
  uint32_t flags = get_u32(r);
  char **argv = words(r), **env = words(r);
  int result = 0, log = -1, pidfd = -1;
  if (r->bad || !argv[0] || argv[0][0] != '/') result = fail_with(f, EBADMSG, "helper", h->id, "decode");
  else if (find(h->id)) result = fail_with(f, EEXIST, "helper", h->id, "id");
  if (!result && flags & FUSE) {
    h->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (h->fuse < 0) result = fail(f, "helper", "/dev/fuse", "open");
  }
  if (!result) {
    log = openat(run.run_dir, "helpers.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct clone3_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);
    if (pid == 0) become(argv, env, h->fuse, log);
    if (pid < 0) result = fail(f, "helper", argv[0], "clone3");
  }
  if (log >= 0) close(log);
  words_free(argv), words_free(env);
  if (result) {
    if (h->fuse >= 0) close(h->fuse);
    free(h);
    return -1;
  }
  if (source_add(&h->exit, pidfd, EPOLLIN, exited, h)) _exit(71);
  h->next = run.helpers;
  run.helpers = h;
  send_reply(c, id);
  return 0;
}

/* The descriptor a container that is being made mounts; it is the helper's alone after that. */
int helper_fuse(const char *container) {
  struct helper *h = find(container);
  return h ? h->fuse : -1;
}

void helper_serves(const char *container) {
  struct helper *h = find(container);
  if (!h || h->fuse < 0) return;
  close(h->fuse);
  h->fuse = -1;
}

static void end(struct helper *h) { (void)sys_pidfd_send_signal(h->exit.fd, SIGKILL); }

void helper_end(const char *container) {
  struct helper *h = find(container);
  if (h) end(h);
}

void helpers_forget(struct connection *c) {
  for (struct helper *h = run.helpers; h; h = h->next)
    if (h->conn == c) end(h);
}
