/* Terminals: made by the child in the container's own devpts, held by the supervisor through a descriptor. No path of
 * the container's is ever trusted to be the terminal: what lies there can be swapped (CVE-2025-52565). */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pipes.h"
#include "run.h"
#include "sys.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
enum { DEVPTS_MAGIC = 0x1cd1, TMPFS_MAGIC = 0x01021994 };

/* Whether it is the first side of a pseudo-terminal, whatever it is called: 5:2 on a devpts. */
static bool is_master(int fd) {
  struct stat st;
  struct statfs fs;
  return !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2) && !fstatfs(fd, &fs) && fs.f_type == DEVPTS_MAGIC;
}

static int open_master(struct child *c) {
  int pts = open_inside(c, "/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  struct statfs fs;
  if (pts < 0) return -1;
  int master = -1;
  if (fstatfs(pts, &fs) || fs.f_type != DEVPTS_MAGIC) errno = ENOTTY; /* opening what is there instead may already do harm */
  else master = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  int saved = errno;
  close(pts);
  if (master >= 0 && !is_master(master)) {
    close(master);
    master = -1;
    saved = ENOTTY;
  }
  errno = saved;
  return master;
}

/* The terminal appears as /dev/console by its descriptor, on a file of our own tmpfs. */
static int bind_console(struct child *c, int slave) {
  int dev = open_inside(c, "/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW);
  struct statfs fs;
  if (dev < 0) return -1;
  if (fstatfs(dev, &fs) || fs.f_type != TMPFS_MAGIC) {
    close(dev);
    errno = ENOTTY;
    return -1;
  }
  int at = openat(dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (at < 0 && errno == EEXIST) { /* a device that was asked for stays what it is */
    close(dev);
    return 0;
  }
  int tree = at < 0 ? -1 : sys_open_tree(slave, "", 0x1000u /* AT_EMPTY_PATH */ | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  int result = tree < 0 ? -1 : sys_move_mount(tree, at), saved = errno;
  if (tree >= 0) close(tree);
  if (at >= 0) close(at);
  close(dev);
  errno = saved;
  return result;
}

int op_terminal(struct child *c, struct reader *r) {
  struct winsize size = {.ws_col = get_u16(r)};
  size.ws_row = get_u16(r);
  uint8_t console = get_u8(r);
  if (r->bad) return 0;
  if (c->terminal_fd < 0) return fail_with(&c->failure, EINVAL, "terminal", "", "not asked for");
  int master = open_master(c);
  if (master < 0) return fail(&c->failure, "terminal", "/dev/pts", "open ptmx");
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked)) return fail(&c->failure, "terminal", "/dev/pts", "TIOCSPTLCK");
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return fail(&c->failure, "terminal", "/dev/pts", "TIOCGPTPEER");
  if (size.ws_col && ioctl(master, TIOCSWINSZ, &size)) return fail(&c->failure, "terminal", "/dev/pts", "TIOCSWINSZ");
  if (ioctl(slave, TIOCSCTTY, 0)) return fail(&c->failure, "terminal", "/dev/pts", "TIOCSCTTY");
  for (int fd = 0; fd < 3; fd++)
    if (dup2(slave, fd) < 0) return fail(&c->failure, "terminal", "/dev/pts", "dup2");
  if (console && bind_console(c, slave)) return fail(&c->failure, "terminal", "/dev/console", "bind");
  if (descriptor_send(c->terminal_fd, master)) return fail(&c->failure, "terminal", "/dev/pts", "send");
  close(master), close(slave), close(c->terminal_fd);
  c->terminal_fd = -1;
  return 0;
}

int terminal_take(int socket) {
  int master = descriptor_take(socket);
  if (master < 0) return -1;
  int flags = fcntl(master, F_GETFL);
  if (!is_master(master) || flags < 0 || fcntl(master, F_SETFL, flags | O_NONBLOCK)) {
    close(master);
    return -1;
  }
  return master;
}

int terminal_resize(struct process *p, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_col = columns, .ws_row = rows};
  if (p->exited || p->out.fd < 0) {
    errno = ESRCH;
    return -1;
  }
  if (!p->tty) {
    errno = ENOTTY;
    return -1;
  }
  return ioctl(p->out.fd, TIOCSWINSZ, &size);
}
