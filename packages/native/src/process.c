/* Processes of containers: how they start, what they print, how their end is noticed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "handin.h"
#include "inject.h"
#include "ops.h"
#include "pipes.h"
#include "run.h"
#include "storage.h"
#include "sys.h"

static _Noreturn void child_main(struct child *c, struct pipes *p, const uint8_t *ops, size_t length) {
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
  (void)setsid();
  if (pipes_adopt(p, c)) _exit(127);
  ops_run(c, ops, length);
}

static void process_settle(struct process *p);
static void out_ready(struct source *s, uint32_t events);

/* The terminal came through its socket before the program was executed. */
static int take_terminal(struct process *p) {
  int master = terminal_take(p->terminal), input = -1;
  close(p->terminal);
  p->terminal = -1;
  if (master < 0) return -1;
  if (p->tty_input && (input = fcntl(master, F_DUPFD_CLOEXEC, 0)) < 0) {
    close(master);
    return -1;
  }
  p->tty = true;
  p->input.source.fd = input;
  if (source_add(&p->out, master, p->exec ? EPOLLET : EPOLLIN, out_ready, p)) _exit(71);
  if (p->exec && input >= 0) input_open(&p->input, p->conn, p->request);
  return 0;
}

static void started(struct process *p) {
  source_close(&p->error);
  struct container *t = p->container;
  if (p->terminal >= 0 && take_terminal(p)) {
    struct failure f;
    fail_with(&f, EPROTO, p->exec ? "exec" : "container.create", t->id, "terminal");
    if (p->pending) send_failure(p->conn, p->request, &f);
    p->pending = false;
    p->reported = true;
    (void)process_signal(p, SIGKILL);
    if (!p->exec) container_remove(t);
    return;
  }
  if (p->notify >= 0) handin_begin(t, p->notify);
  if (!p->exec) {
    if (t->before_fd >= 0) close(t->before_fd);
    t->before_fd = -1;
    t->state = STATE_RUNNING;
    t->started_at = now_ns(CLOCK_REALTIME);
  }
  if (!p->pending) return;
  p->pending = false;
  struct buffer b = {0};
  put_u32(&b, p->exec ? p->exec : (uint32_t)p->pid);
  if (p->exec) put_u32(&b, INPUT_WINDOW);
  else put_u8(&b, STATE_RUNNING);
  send_frame(p->conn, FRAME_REPLY, p->request, &b);
  buffer_free(&b);
  if (p->detached) p->conn = NULL; /* from now on the container's own */
  if (p->exec) process_output(p);
}

/* What joins a container that dies fails here and there, for one reason: its main process gives up its namespaces some time
 * before its end is told. The ninth field of its `stat` has it. [proc_pid_stat(5); PF_EXITING of linux/sched.h] */
static bool is_dying(const struct container *t) {
  enum { EXITING = 4 };
  char path[32], text[1024];
  unsigned flags;
  if (!t->main || t->main->exited) return true;
  snprintf(path, sizeof path, "%d/stat", t->main->pid);
  if (read_file_at(handin_proc(), path, text, sizeof text) < 0) return true;
  const char *at = strrchr(text, ')');
  return at && sscanf(at, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & EXITING;
}

static void error_ready(struct source *s, uint32_t events) {
  (void)events;
  struct process *p = s->owner;
  struct failure f;
  ssize_t n = read(s->fd, &f, sizeof f);
  if (n < 0) return;
  if (n == 0) {
    started(p);
    return;
  }
  if (n != sizeof f) fail_with(&f, EPROTO, "exec", "", "report");
  if (!f.errnum && p->pending && !p->exec) { /* `await` reached */
    p->pending = false;
    p->container->state = STATE_WAITING;
    struct buffer b = {0};
    put_u32(&b, (uint32_t)p->pid);
    put_u8(&b, STATE_WAITING);
    send_frame(p->conn, FRAME_REPLY, p->request, &b);
    buffer_free(&b);
    return;
  }
  source_close(&p->error);
  if (p->exec && !p->files && is_dying(p->container)) fail_with(&f, ESRCH, "exec", p->container->id, "not running");
  if (p->pending) send_failure(p->conn, p->request, &f);
  p->pending = false;
  p->reported = true; /* no exited event for what never started */
  if (!p->exec && !container_restore(p->container)) container_remove(p->container);
}

static bool drain(struct process *p, struct source *s, uint8_t stream) {
  static uint8_t chunk[CHUNK];
  if (s->fd < 0 || (p->exec && p->pending)) return false; /* the reply comes first */
  if (p->exec ? p->credit <= 0 && !p->detached : log_held(p->container)) {
    source_want(s, EPOLLET); /* not 0: the end of a writer would be told again and again */
    return false;
  }
  ssize_t n = read(s->fd, chunk, sizeof chunk);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    source_close(s);
    return false;
  }
  if (!p->exec) {
    log_append(&p->container->log, stream, chunk, (size_t)n);
    if (!p->exited && process_rests(p, (size_t)n)) process_output(p);
    return true;
  }
  struct buffer b = {0};
  put_u8(&b, stream);
  buffer_append(&b, chunk, (size_t)n);
  p->credit -= (int64_t)b.length;
  send_frame(p->conn, FRAME_DATA, p->request, &b);
  buffer_free(&b);
  return true;
}

void process_output(struct process *p) {
  if (p->pending) return;
  bool paused = p->rests || (p->exec ? p->credit <= 0 && !p->detached : log_held(p->container));
  source_want(&p->out, paused ? EPOLLET : EPOLLIN);
  source_want(&p->err, paused ? EPOLLET : EPOLLIN);
  process_settle(p);
}

void process_read(struct process *p) {
  enum { MOST = 64 }; /* who prints faster than we read would keep us here */
  for (int i = 0; i < MOST && (drain(p, &p->out, 1) || drain(p, &p->err, 2)); i++) continue;
}

static void out_ready(struct source *s, uint32_t events) {
  (void)events;
  struct process *p = s->owner;
  drain(p, s, s == &p->out ? 1 : 2);
  if (!p->exec) logs_pump(p->container);
  process_settle(p);
}

static void exit_ready(struct source *s, uint32_t events) {
  (void)events;
  struct process *p = s->owner;
  siginfo_t info = {0};
  if (waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG) || !info.si_pid) return;
  bool normal = info.si_code == CLD_EXITED;
  p->code = normal ? info.si_status : -1;
  p->signal = normal ? 0 : info.si_status;
  p->exited = true;
  /* A failure the child still had to tell stands in the pipe before its end is seen. */
  if (p->error.fd >= 0) error_ready(&p->error, 0);
  source_close(&p->exit);
  struct container *t = p->container;
  if (!p->exec) {
    while (drain(p, &p->out, 1) || drain(p, &p->err, 2)) continue;
    input_lost(&p->input);
    /* The kernel ends a pid namespace with its first process; where it is shared, we do. */
    if (!(t->namespaces & CLONE_NEWPID)) cgroups_end(&run.cgroups, t->cgroup_fds);
    t->state = STATE_EXITED;
    t->exited_at = now_ns(CLOCK_REALTIME);
    t->oom_killed = cgroups_oom_kills(&run.cgroups, t->cgroup_fds) > t->ooms;
    logs_pump(t);
  }
  process_settle(p);
}

/* Says once that a process is over, when its output is over too (an exec) or its container is. */
static void process_settle(struct process *p) {
  struct container *t = p->container;
  if (!p->exited) return;
  bool silent = p->out.fd < 0 && p->err.fd < 0;
  if (p->exec && !silent && !t->removing) return;
  if (!p->reported) {
    p->reported = true;
    struct buffer b = {0};
    put_u16(&b, 2);
    put_str(&b, t->id);
    put_u32(&b, p->exec);
    put_u32(&b, (uint32_t)p->code);
    put_u32(&b, (uint32_t)p->signal);
    put_u8(&b, !p->exec && t->oom_killed);
    send_frame(p->conn, FRAME_EVENT, 0, &b);
    buffer_free(&b);
    if (p->exec) {
      /* How it ended stands in the end itself: an event could overtake the client's knowing the exec's number. */
      put_u32(&b, (uint32_t)p->code);
      put_u32(&b, (uint32_t)p->signal);
      send_frame(p->conn, FRAME_END, p->request, &b);
      buffer_free(&b);
    } else {
      faults_lost(t);
      storage_release(t);
      ports_lost(t);
      waiters_exited(t);
    }
  }
  if (!p->exec && silent) logs_pump(t);
  container_settle(t);
}

static int container_pidfd(const char *id) {
  struct container *t = container_find(id);
  return t && t->main ? t->main->exit.fd : -1;
}

/* A mount namespace ends with its processes, and what is mounted there with it, unless somebody holds it. Made here and
   not with the child: an ordinary user's supervisor may not reach for what is a child's, until that has executed something. */
static int mounts_begin(void) {
  return unshare(CLONE_NEWNS) ? -1 : openat(run.proc_fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
}

static void mounts_leave(void) {
  if (setns(run.mount_ns, CLONE_NEWNS)) _exit(71);
}

struct process *process_spawn(struct container *t, struct connection *c, uint32_t request, uint32_t flags,
                              const uint8_t *ops, size_t n, uint32_t exec, struct failure *f) {
  struct pipes pipes;
  bool files = flags & FLAG_FILES, again = !exec && t->main;
  if (pipes_open(&pipes, flags, !exec)) {
    fail(f, exec ? "exec" : "container.create", t->id, "pipe");
    return NULL;
  }
  struct child child = {
    .error_fd = pipes.error[1], .control_fd = pipes.control[0], .name = t->id, .stage = run.stage, .terminal_fd = -1, .root_fd = -1, .staged_fd = -1,
    .scratch_fd = exec || again ? -1 : (t->scratch_fd = scratch_make()), .fuse_fd = exec || again ? -1 : helper_fuse(t->id),
    .cgroups = &run.cgroups, .cgroup_fds = t->cgroup_fds, .hub_route_fd = run.route, .bridge = run.bridge,
    .veth_index = exec ? 0 : ++run.next_veth, .host_net = run.host_net, .self_fd = run.self_fd, .pidfd_of = container_pidfd,
    .join_pidfd = exec && !files ? t->main->exit.fd : -1, .mounts_fd = files || again ? t->mounts_fd : -1};
  bool own = !exec && t->namespaces & CLONE_NEWNS;
  if (!exec) t->veth = child.veth_index;
  if (!exec) child.hub_route_fd = route_socket(); /* its own: answers on a shared one would mix */
  int pidfd = -1;
  struct clone3_args args = {.flags = CLONE_PIDFD | (exec ? 0 : t->namespaces & ~(uint64_t)CLONE_NEWNS), .pidfd = (uint64_t)(uintptr_t)&pidfd,
                             .exit_signal = SIGCHLD};
  struct container *other = exec ? t : t->pid_of[0] ? container_find(t->pid_of) : NULL;
  bool enter = (exec && !files) || t->pid_of[0];
  int whose = other && other->main ? other->main->exit.fd : -1;
  pid_t pid = -1;
  STEP(INJECT_SUPERVISOR);
  int mounts = own ? mounts_begin() : -1;
  if (own && mounts < 0) pid = -1;
  else if (files) pid = sys_clone3(&args);
  else if (!enter || !setns(whose, CLONE_NEWPID)) pid = cgroups_clone(&run.cgroups, t->cgroup_fds, &args);
  if (pid == 0) child_main(&child, &pipes, ops, n);
  int saved = enter && whose < 0 ? ESRCH : errno;
  if (own) mounts_leave();
  STEP(INJECT_SUPERVISOR);
  if (enter && setns(run.pid_ns, CLONE_NEWPID)) _exit(71);
  if (!exec && child.hub_route_fd >= 0) close(child.hub_route_fd);
  if (pid < 0) {
    if (mounts >= 0) close(mounts);
    pipes_close(&pipes);
    if (exec && !files && is_dying(t)) fail_with(f, ESRCH, "exec", t->id, "not running");
    else fail_with(f, saved, exec ? "exec" : "container.create", t->id, "clone3");
    return NULL;
  }
  struct process *p = xalloc(sizeof *p);
  *p = (struct process){.container = t, .exec = exec, .pid = pid, .conn = c, .request = request, .pending = true,
                        .control = pipes.control[1], .terminal = pipes.terminal[0], .notify = pipes.notify[0], .tty_input = flags & FLAG_STDIN,
                        .detached = exec && flags & FLAG_DETACHED, .files = files};
  if (again) t->before_fd = t->mounts_fd;
  if (!exec) t->mounts_fd = mounts;
  pipes_ours(&pipes);
  p->out.fd = p->err.fd = -1;
  p->input.source.fd = pipes.in[1];
  p->input.shared = exec;
  if (source_add(&p->exit, pidfd, EPOLLIN, exit_ready, p) ||
      source_add(&p->error, pipes.error[0], EPOLLIN, error_ready, p) ||
      (pipes.out[0] >= 0 && source_add(&p->out, pipes.out[0], exec ? EPOLLET : EPOLLIN, out_ready, p)) ||
      (pipes.err[0] >= 0 && source_add(&p->err, pipes.err[0], exec ? EPOLLET : EPOLLIN, out_ready, p)))
    _exit(71);
  return p;
}

void process_free(struct process *p) {
  source_close(&p->exit), source_close(&p->error), source_close(&p->out), source_close(&p->err);
  input_lost(&p->input);
  buffer_free(&p->input.pending);
  if (p->control >= 0) close(p->control);
  if (p->terminal >= 0) close(p->terminal);
  if (p->notify >= 0) close(p->notify);
  free_later(p);
}

int process_signal(struct process *p, int number) {
  if (p->exited || p->exit.fd < 0) {
    errno = ESRCH;
    return -1;
  }
  return sys_pidfd_send_signal(p->exit.fd, number);
}
