/* The tmpfs that a container's root is built on and its changes in memory lie in. The supervisor makes it, unmounted, and
   keeps it open: so it can still be read when the container's own mounts have ended with its processes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"
#include "run.h"
#include "sys.h"

/* Freeing a page takes a fraction of a microsecond: from here on it is another process's time. */
enum { LARGE = 32 << 20 };

struct save {
  struct save *next;
  struct source exit;
  int report;
  struct connection *conn;
  uint32_t request;
};
static struct save *saves;

int scratch_make(void) {
  int fs = sys_fsopen("tmpfs"), mount = -1;
  if (fs < 0) return -1;
  if (!sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755") && !sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL))
    mount = sys_fsmount(fs, MOUNT_ATTR_NODEV);
  close(fs);
  return mount;
}

static pid_t fork_with(int *pidfd) {
  struct clone3_args args = {.flags = pidfd ? CLONE_PIDFD : 0, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
  return sys_clone3(&args);
}

/* The last descriptor's end frees the memory, in whoever's it is. */
void scratch_free(struct container *t) {
  if (t->scratch_fd < 0) return;
  struct statfs size;
  int gate[2];
  bool large = !fstatfs(t->scratch_fd, &size) && (uint64_t)(size.f_blocks - size.f_bfree) * (uint64_t)size.f_bsize > LARGE;
  if (large && !pipe2(gate, O_CLOEXEC)) {
    pid_t pid = fork_with(NULL);
    if (pid == 0) {
      char byte;
      close(gate[1]);
      _exit(read(gate[0], &byte, 1) < 0);
    }
    close(t->scratch_fd);
    close(gate[0]);
    close(gate[1]);
    if (pid > 0) run.strays = true; /* reaped as other orphans are */
  } else {
    close(t->scratch_fd);
  }
  t->scratch_fd = -1;
}

static void saved(struct source *s, uint32_t events) {
  (void)events;
  struct save *save = s->owner;
  siginfo_t info = {0};
  /* Whoever reaps orphans may have been first (ECHILD). */
  if (!waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG) && !info.si_pid) return;
  struct failure f = {0};
  if (read(save->report, &f, sizeof f) != (ssize_t)sizeof f) fail_with(&f, EIO, "scratch.save", "", "ended");
  if (save->conn && f.errnum) send_failure(save->conn, save->request, &f);
  else if (save->conn) send_reply(save->conn, save->request);
  for (struct save **at = &saves; *at; at = &(*at)->next)
    if (*at == save) {
      *at = save->next;
      break;
    }
  source_close(&save->exit);
  close(save->report);
  free_later(save);
}

int scratch_save(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f) {
  char *directory = get_str_dup(r), *upper = get_str_dup(r);
  int report[2], pidfd = -1;
  if (r->bad || *directory != '/' || (*upper && *upper != '/')) {
    free(directory);
    free(upper);
    return fail_with(f, EBADMSG, "scratch.save", t->id, "decode");
  }
  int from = !*upper && t->scratch_fd < 0 ? (errno = EBADF, -1) : openat(t->scratch_fd, *upper ? upper : "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(upper);
  if (from < 0 || pipe2(report, O_CLOEXEC)) {
    fail(f, "scratch.save", t->id, "upper");
    if (from >= 0) close(from);
    free(directory);
    return -1;
  }
  pid_t pid = fork_with(&pidfd);
  if (pid == 0) {
    struct failure outcome = {0};
    (void)copy_upper(from, directory, &outcome);
    _exit(write(report[1], &outcome, sizeof outcome) != (ssize_t)sizeof outcome);
  }
  close(from);
  close(report[1]);
  free(directory);
  if (pid < 0) {
    close(report[0]);
    return fail(f, "scratch.save", t->id, "clone3");
  }
  struct save *save = xalloc(sizeof *save);
  *save = (struct save){.report = report[0], .conn = c, .request = id, .next = saves};
  if (source_add(&save->exit, pidfd, EPOLLIN, saved, save)) _exit(71);
  saves = save;
  return 0;
}

void scratch_forget(struct connection *c) {
  for (struct save *save = saves; save; save = save->next)
    if (save->conn == c) save->conn = NULL;
}
