#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base.h"

int ring_make(struct ring *writer, struct ring *reader) {
  int fd = memfd_create("mayfly-ring", MFD_CLOEXEC), full[2], freed[2];
  if (fd < 0 || ftruncate(fd, RING_SIZE) < 0) return -1;
  uint8_t *base = mmap(NULL, (size_t)2 * RING_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return -1;
  for (size_t i = 0; i < 2; i++)
    if (mmap(base + i * RING_SIZE, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) return -1;
  close(fd);
  if (pipe2(full, O_CLOEXEC) < 0 || pipe2(freed, O_CLOEXEC) < 0) return -1;
  *writer = (struct ring){.base = base, .space = RING_SIZE, .full = full[1], .freed = freed[0]};
  *reader = (struct ring){.base = base, .full = full[0], .freed = freed[1]};
  return 0;
}

/* The next length in a pipe; 0 at its end. */
static size_t length_from(int fd) {
  uint32_t length;
  ssize_t n;
  do n = read(fd, &length, sizeof length);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof length ? length : 0;
}

static bool length_to(int fd, size_t length) {
  uint32_t word = (uint32_t)length;
  return write_all(fd, &word, sizeof word) == 0;
}

/* The second mapping, so that what was written last lies before it. */
uint8_t *ring_room(struct ring *writer) {
  while (writer->space < RING_PART) {
    size_t more = length_from(writer->freed);
    if (more == 0) return NULL;
    writer->space += more;
  }
  size_t place = writer->place < RING_SIZE / 2 ? writer->place + RING_SIZE : writer->place;
  return writer->base + place;
}

bool ring_written(struct ring *writer, size_t length) {
  if (length == 0) return true;
  writer->place = (writer->place + length) % RING_SIZE;
  writer->space -= length;
  return length_to(writer->full, length);
}

size_t ring_more(struct ring *reader) { return length_from(reader->full); }

void ring_read(struct ring *reader, size_t length) {
  reader->place = (reader->place + length) % RING_SIZE;
  /* Nobody writes any more: nobody needs to know. */
  if (length > 0) (void)length_to(reader->freed, length);
}
