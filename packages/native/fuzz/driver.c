/* fuzz TARGET-DIRECTORY SECONDS SEED: replays every file of the directory, then mutates what reaches new code.
 * The input that is being run stands in CURRENT (a file mapped into memory), so that a crash leaves it there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

enum { EDGES = 1 << 16, CORPUS_MAX = 20000, HANG_SECONDS = 10 };

struct current {
  uint32_t length;
  uint8_t data[INPUT_MAX];
};

static uint8_t hits[EDGES], seen[EDGES];
static uintptr_t previous;
static struct current *current;
static struct {
  uint8_t *data;
  size_t length;
} corpus[CORPUS_MAX];
static size_t corpus_count;
static uint64_t state;

/* Called by the compiler's instrumentation at every edge; itself built without. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) {
  uintptr_t pc = (uintptr_t)__builtin_return_address(0);
  uint8_t *hit = &hits[(pc ^ previous) & (EDGES - 1)];
  if (*hit < 255) ++*hit;
  previous = pc >> 1;
}

uint32_t fuzz_random(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return below ? (uint32_t)((state >> 16) % below) : 0;
}

_Noreturn void fuzz_found(const char *what) {
  fprintf(stderr, "broken promise: %s\n", what);
  abort();
}

void fuzz_unshare(int flags) {
  uid_t uid = geteuid();
  if (unshare(uid == 0 ? flags : flags | CLONE_NEWUSER)) {
    perror("namespaces of its own");
    exit(2);
  }
  if (uid == 0) return;
  char map[32];
  int n = snprintf(map, sizeof map, "0 %u 1", (unsigned)uid), fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, map, (size_t)n) != n || close(fd)) exit(2);
}

static uint64_t clock_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Counts in classes, as 1, 2, 3, 4–7, 8–15, …: a loop that runs once more is nothing new. */
static uint8_t class_of(uint8_t count) {
  if (count < 4) return (uint8_t)(count == 3 ? 4 : count);
  uint8_t bit = 8;
  while ((count >>= 1) > 3) bit = (uint8_t)(bit << 1 ? bit << 1 : bit);
  return bit;
}

static bool run_one(const uint8_t *data, size_t length) {
  current->length = (uint32_t)length;
  memcpy(current->data, data, length);
  memset(hits, 0, sizeof hits);
  previous = 0;
  alarm(HANG_SECONDS);
  target_run(current->data, length);
  bool fresh = false;
  for (size_t i = 0; i < EDGES; i++) {
    uint8_t class = hits[i] ? class_of(hits[i]) : 0;
    if (!(class & ~seen[i])) continue;
    seen[i] |= class;
    fresh = true;
  }
  return fresh;
}

static void keep(const uint8_t *data, size_t length) {
  if (corpus_count == CORPUS_MAX) return;
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy) abort();
  memcpy(copy, data, length);
  corpus[corpus_count].data = copy;
  corpus[corpus_count++].length = length;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int not_hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

static void replay(const char *directory) {
  struct dirent **names;
  int count = scandir(directory, &names, not_hidden, by_name);
  if (count < 0) {
    perror(directory);
    exit(2);
  }
  static uint8_t data[INPUT_MAX];
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, names[i]->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, data, sizeof data);
    if (length < 0) {
      perror(path);
      exit(2);
    }
    close(fd);
    free(names[i]);
    (void)run_one(data, (size_t)length);
    keep(data, (size_t)length);
  }
  free(names);
}

static void store(uint8_t *data, size_t at, size_t bytes, uint64_t value) {
  for (size_t i = 0; i < bytes; i++) data[at + i] = (uint8_t)(value >> (8 * i));
}

size_t fuzz_mutate_bytes(uint8_t *data, size_t length, size_t max) {
  static const uint64_t edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
                                   0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
  for (uint32_t rounds = 1 + fuzz_random(4); rounds; rounds--) {
    size_t at = fuzz_random((uint32_t)length), n = 1 + fuzz_random(fuzz_random(8) ? 16 : 1024);
    size_t width = (size_t)1 << fuzz_random(4);
    switch (length ? fuzz_random(8) : 5) {
      case 0: data[at] ^= (uint8_t)(1u << fuzz_random(8)); break;
      case 1: data[at] = (uint8_t)fuzz_random(256); break;
      case 2:
        if (at + width <= length) store(data, at, width, edges[fuzz_random(sizeof edges / sizeof *edges)]);
        break;
      case 3: data[at] = (uint8_t)(data[at] + fuzz_random(33) - 16); break;
      case 4: /* cut out */
        if (n > length - at) n = length - at;
        memmove(data + at, data + at + n, length - at - n);
        length -= n;
        break;
      case 5: /* put in: random bytes, or a copy of others */
        if (n > max - length) n = max - length;
        memmove(data + at + n, data + at, length - at);
        for (size_t i = 0; i < n; i++)
          data[at + i] = length && n < 64 ? data[(at + n + i) % (length + n)] : (uint8_t)fuzz_random(256);
        length += n;
        break;
      case 6: { /* a piece of itself elsewhere */
        size_t from = fuzz_random((uint32_t)length);
        if (n > length - at) n = length - at;
        if (n > length - from) n = length - from;
        memmove(data + at, data + from, n);
        break;
      }
      default: { /* a piece of another input */
        if (!corpus_count) break;
        size_t other = fuzz_random((uint32_t)corpus_count), from = fuzz_random((uint32_t)corpus[other].length);
        if (n > length - at) n = length - at;
        if (from + n <= corpus[other].length) memcpy(data + at, corpus[other].data + from, n);
      }
    }
  }
  return length;
}

static void open_current(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof *current)) {
    perror(path);
    exit(2);
  }
  current = mmap(NULL, sizeof *current, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (current == MAP_FAILED) abort();
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s SEEDS CURRENT SECONDS NUMBER\n", argv[0]);
    return 2;
  }
  open_current(argv[2]);
  uint64_t end = clock_ms() + strtoull(argv[3], NULL, 10) * 1000;
  state = 0x9e3779b97f4a7c15u ^ strtoull(argv[4], NULL, 10) * 0x2545f4914f6cdd1du;
  target_start();
  replay(argv[1]);
  size_t seeds = corpus_count;
  uint64_t runs = 0;
  static uint8_t data[INPUT_MAX];
  while (corpus_count && clock_ms() < end) {
    /* Half of the time one of the latest finds, which are the least explored. */
    size_t pick = corpus_count > 32 && fuzz_random(2) ? corpus_count - 1 - fuzz_random(32) : fuzz_random((uint32_t)corpus_count);
    size_t length = corpus[pick].length;
    memcpy(data, corpus[pick].data, length);
    length = target_mutate(data, length);
    if (run_one(data, length)) keep(data, length);
    runs++;
  }
  size_t edges = 0;
  for (size_t i = 0; i < EDGES; i++) edges += seen[i] != 0;
  dprintf(1, "%zu seeds, %llu runs, %zu edges, %zu inputs that reached new ones\n", seeds, (unsigned long long)runs, edges,
         corpus_count - seeds);
  return 0;
}
