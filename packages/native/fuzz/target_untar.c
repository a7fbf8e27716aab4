/* untar, whole: an archive from a memory file into a directory on a tmpfs of its own, beside a file it must not reach. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../src/base.h"
#include "../src/commands.h"
#include "../src/layer.h"
#include "tar_mutate.h"

static jmp_buf ended;
static bool running;
static int input;
static unsigned first_free;

_Noreturn void __real_exit(int code);
_Noreturn void __wrap_exit(int code);
_Noreturn void __wrap_exit(int code) {
  if (running) longjmp(ended, code + 1);
  __real_exit(code);
}

void target_start(void) {
  fuzz_unshare(CLONE_NEWNS);
  if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) ||
      mount("fuzz", "/mnt", "tmpfs", 0, "size=64m") || chdir("/mnt")) {
    perror("a tmpfs of its own");
    exit(2);
  }
  int fd = open("secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, "secret", 6) != 6 || close(fd)) abort();
  input = memfd_create("archive", 0);
  if (input < 0 || dup2(input, 0) < 0) abort();
  stderr = fopen("/dev/null", "we");
  stdout = fopen("/dev/null", "we");
  if (!stderr || !stdout) abort();
  int next = dup(0);
  if (next < 0 || close(next)) abort();
  first_free = (unsigned)next;
}

static void forget(void) {
  /* A refusal ends the program, and with it what is open. */
  (void)syscall(SYS_close_range, first_free, ~0u, 0u);
  for (size_t i = 0; i < layer.count; i++) {
    free(layer.all[i]->path);
    free(layer.all[i]);
  }
  for (size_t i = 0; i < layer.below_count; i++) {
    free(layer.below[i].path);
    free(layer.below[i].target);
  }
  free(layer.all);
  free(layer.below);
  free(layer.buffer);
  memset(&layer, 0, sizeof layer);
}

static void check_outside(void) {
  struct stat st;
  char text[16];
  int fd = open("/mnt/secret", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) || read(fd, text, sizeof text) != 6 || memcmp(text, "secret", 6) || close(fd))
    fuzz_found("the file outside was changed");
  if (st.st_mode != (S_IFREG | 0600) || st.st_nlink != 1 || st.st_uid != 0) fuzz_found("the file outside was touched");
  if (stat("/mnt", &st) || st.st_nlink != 3) fuzz_found("something was made outside");
}

void target_run(const uint8_t *data, size_t length) {
  if (chdir("/mnt") || mkdir("layer", 0755)) fuzz_found("the directory outside cannot be used any more");
  if (ftruncate(input, 0) || pwrite(input, data, length, 0) != (ssize_t)length || lseek(input, 0, SEEK_SET)) abort();
  char *words[] = {"untar", "--max-bytes", "100000", "/mnt/layer", NULL};
  int outcome = setjmp(ended);
  if (outcome == 0) {
    running = true;
    outcome = cmd_untar(4, words) + 1;
  }
  running = false;
  if (outcome > 2) fuzz_found("an exit status that is not documented");
  forget();
  check_outside();
  if (remove_tree(AT_FDCWD, "/mnt/layer")) fuzz_found("the tree cannot be removed");
}
