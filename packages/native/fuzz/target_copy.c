/* copy.in, whole: an archive from a memory file below a directory on a tmpfs of its own, which is the process's root where
   a container's would be, beside a file it must not reach. The last byte chooses the way. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../src/copyfiles.h"
#include "tar_mutate.h"

static jmp_buf ended;
static bool running;
static int input, outside;
static unsigned first_free;

_Noreturn void __real_exit(int code);
_Noreturn void __wrap_exit(int code);
_Noreturn void __wrap_exit(int code) {
  if (running) longjmp(ended, code + 1);
  __real_exit(code);
}

void target_start(void) {
  fuzz_unshare(CLONE_NEWNS);
  if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) || mount("fuzz", "/mnt", "tmpfs", 0, "size=64m")) {
    perror("a tmpfs of its own");
    exit(2);
  }
  int fd = open("/mnt/secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), null = open("/dev/null", O_WRONLY);
  if (fd < 0 || write(fd, "secret", 6) != 6 || close(fd) || null < 0 || dup2(null, 2) < 0) abort();
  outside = open("/", O_PATH | O_DIRECTORY);
  input = memfd_create("archive", 0);
  if (outside < 0 || input < 0 || dup2(input, 0) < 0) abort();
  int next = dup(0);
  if (next < 0 || close(next)) abort();
  first_free = (unsigned)next;
}

static void check_outside(void) {
  struct stat st;
  char text[16];
  int fd = open("/mnt/secret", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) || read(fd, text, sizeof text) != 6 || memcmp(text, "secret", 6) || close(fd)) fuzz_found("the file outside was changed");
  if (st.st_mode != (S_IFREG | 0600) || st.st_nlink != 1 || st.st_uid != 0) fuzz_found("the file outside was touched");
  if (stat("/mnt", &st) || st.st_nlink != 3) fuzz_found("something was made outside");
}

static void prepare(void) {
  int fd;
  if (mkdir("/mnt/tree", 0755) || mkdir("/mnt/tree/d", 0755) || mkdir("/mnt/tree/d/e", 0755) || symlink("/mnt", "/mnt/tree/d/absolute") ||
      symlink("../../..", "/mnt/tree/d/link") || symlink("d", "/mnt/tree/within") || (fd = open("/mnt/tree/d/file", O_WRONLY | O_CREAT, 0600)) < 0 || close(fd))
    fuzz_found("the directory outside cannot be used any more");
}

void target_run(const uint8_t *data, size_t length) {
  static const char *const targets[] = {"/mnt/tree/d", "/d/new/", "/d", "/mnt/tree/missing"};
  static const uint32_t flags[] = {COPY_HOST | COPY_RESOURCE | COPY_PARENTS, COPY_RESOURCE | COPY_PARENTS, COPY_PARENTS | COPY_OWNERS, COPY_HOST | COPY_RESOURCE};
  unsigned way = length ? data[length - 1] & 3 : 0;
  bool inside = !(flags[way] & COPY_HOST);
  prepare();
  if (length) length--;
  if (ftruncate(input, 0) || pwrite(input, data, length, 0) != (ssize_t)length || lseek(input, 0, SEEK_SET)) abort();
  if (inside && (chroot("/mnt/tree") || chdir("/"))) abort();
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) abort();
  struct copy_in how = {.target = targets[way], .flags = flags[way], .uid = inside ? 0 : ~0u, .gid = inside ? 0 : ~0u, .mode = COPY_NO_MODE};
  int outcome = setjmp(ended);
  if (outcome == 0) {
    running = true;
    copy_in(root, &how);
  }
  running = false;
  (void)syscall(SYS_close_range, first_free, ~0u, 0u);
  if (inside && (fchdir(outside) || chroot("."))) abort();
  if (outcome > 2) fuzz_found("an exit status that is not documented");
  check_outside();
  if (remove_tree(AT_FDCWD, "/mnt/tree")) fuzz_found("the tree cannot be removed");
}
