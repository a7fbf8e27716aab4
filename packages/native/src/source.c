#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base.h"
#include "inflate.h"
#include "sha256.h"

/* What both processes see. */
struct outcome {
  char hex[65];
};

static struct outcome *outcome;
static pid_t child = -1;

/* The child's. */
static struct ring ring;
static struct sha256 hash;
static int keep = -1;
static uint64_t limit, written;
static bool too_large;

static _Noreturn void stop(const char *step) {
  fprintf(stderr, "untar -: %s: %s\n", step, errno_name(errno));
  _exit(1);
}

static size_t more_input(void *context, uint8_t *to, size_t room) {
  (void)context;
  ssize_t n;
  do n = read(0, to, room);
  while (n < 0 && errno == EINTR);
  if (n < 0) stop("read");
  sha256_add(&hash, to, (size_t)n);
  if (keep >= 0 && write_all(keep, to, (size_t)n) < 0) stop("write of the blob");
  return (size_t)n;
}

static uint8_t *more_room(void *context, size_t length, size_t *room) {
  (void)context;
  written += length;
  too_large = limit > 0 && written > limit;
  *room = RING_PART;
  return too_large || !ring_written(&ring, length) ? NULL : ring_room(&ring);
}

static const char *pass_on(uint8_t *start, size_t length) {
  size_t room;
  uint8_t *to = more_room(NULL, 0, &room);
  if (to != NULL) memcpy(to, start, length);
  while (to != NULL && length > 0) {
    to = more_room(NULL, length, &room);
    if (to != NULL) length = more_input(NULL, to, room);
  }
  while (to == NULL && length > 0) length = more_input(NULL, start, 2);
  return NULL;
}

static _Noreturn void source_main(const struct source_options *options, pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L) || getppid() != parent) _exit(1);
  signal(SIGPIPE, SIG_IGN);
  if (options->keep != NULL) keep = open(options->keep, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (options->keep != NULL && keep < 0) stop("open of the blob");
  limit = options->max_plain;
  sha256_start(&hash);
  uint8_t start[2];
  size_t have = more_input(NULL, start, 1);
  if (have == 1 && start[0] == 0x1f) have += more_input(NULL, start + 1, 1);
  const struct inflate_flow flow = {.more_input = more_input, .more_room = more_room};
  const bool gzip = have == 2 && start[1] == 0x8b;
  const char *why = gzip ? inflate_gzip(&flow, start, have) : pass_on(start, have);
  if (keep >= 0 && close(keep) < 0) stop("close of the blob");
  if (why == NULL && too_large) why = "the layer is larger than allowed";
  sha256_end(&hash, outcome->hex);
  if (why != NULL) fprintf(stderr, "untar -: inflate: %s\n", why);
  _exit(why == NULL ? 0 : 1);
}

int source_start(const struct source_options *options, struct ring *reader) {
  struct ring writer;
  if (ring_make(&writer, reader) < 0) return -1;
  outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (outcome == MAP_FAILED) return -1;
  /* Its end is seen by the pipes, not by a death. */
  signal(SIGPIPE, SIG_IGN);
  pid_t parent = getpid();
  child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    close(reader->full);
    close(reader->freed);
    ring = writer;
    source_main(options, parent);
  }
  close(writer.full);
  close(writer.freed);
  return 0;
}

bool source_end(char hex[65]) {
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  memcpy(hex, outcome->hex, sizeof outcome->hex);
  hex[64] = '\0';
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
