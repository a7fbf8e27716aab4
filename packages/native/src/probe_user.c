/* What an ordinary user may do here: tried in a user namespace of one id, which is left with the process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "netlink.h"
#include "probe.h"
#include "userns.h"

static void say(const char *name, int result) {
  printf("%s=%s\n", name, result ? errno_name(errno) : "yes");
  (void)fflush(stdout);
}

static int mount_overlay(void) {
  static const char *const made[] = {"lower", "upper", "work", "merged"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++)
    if (mkdir(made[i], 0755)) return -1;
  return mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr");
}

static int make_bridge(void) {
  int route = route_socket();
  return route < 0 || bridge_create(route, "probe") < 0 ? -1 : 0;
}

/* As pid 1 of the namespace, whose procfs it may mount: mounts go with it. */
static void inside(void) {
  int result = mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) || mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m") || chdir("/tmp");
  say("user_mount", result);
  if (result) return;
  say("memory_xattrs", setxattr("/tmp", "user.overlay.probe", "y", 1, 0));
  say("user_overlay", mount_overlay());
  say("user_proc", mkdir("proc", 0755) || mount("proc", "proc", "proc", 0, NULL));
  say("user_network", make_bridge());
}

static void apart(void) {
  char uids[32], gids[32];
  const struct id_map map = {.uids = uids, .gids = gids};
  const char *step = "";
  snprintf(uids, sizeof uids, "0:%u:1", (unsigned)geteuid());
  snprintf(gids, sizeof gids, "0:%u:1", (unsigned)getegid());
  int result = userns_enter(&map, &step);
  printf("userns=%s\n", result ? "no" : "yes");
  if (result) printf("userns_error=%s %s\n", step, errno_name(errno));
  (void)fflush(stdout);
  if (result || unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)) return;
  pid_t child = fork();
  if (child == 0) {
    inside();
    _exit(0);
  }
  while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

void probe_user(void) {
  (void)fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    /* What fails says so in its line. */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) (void)dup2(null, 2);
    apart();
    _exit(0);
  }
  while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}
