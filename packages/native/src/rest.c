/* What a container prints without pause is read a thousand times a second instead of once a line: every reading wakes us, and
 * takes a processor from whoever serves the request that the line is about. Who follows a log has it at once, as ever. */
#include <sys/timerfd.h>
#include <unistd.h>

#include "run.h"

enum { BURST = 32, LARGE = CHUNK / 4 };
static const uint64_t PAUSE_NS = 1000000, QUIET_NS = 20 * PAUSE_NS;

static bool armed;

static bool followed(const struct container *t) {
  for (const struct waiter *w = run.waiters; w; w = w->next)
    if (!w->done && w->kind == WAIT_LOGS && w->container == t && w->flags & LOG_FOLLOW) return true;
  return false;
}

static bool arm(void) {
  const struct itimerspec pause = {.it_value = {.tv_nsec = (long)PAUSE_NS}};
  return armed = armed || (run.rest.fd >= 0 && !timerfd_settime(run.rest.fd, 0, &pause, NULL));
}

bool process_rests(struct process *p, size_t n) {
  const uint64_t now = now_ns(CLOCK_MONOTONIC), before = p->read_at;
  p->read_at = now;
  /* Much at a time: whoever prints that would wait for us. */
  p->readings = n >= LARGE || now - before > QUIET_NS ? 0 : p->readings + 1;
  if (p->readings < BURST || followed(p->container) || !arm()) return false;
  return p->rests = true;
}

void rest_over(struct source *s, uint32_t events) {
  (void)events;
  uint64_t expirations;
  if (read(s->fd, &expirations, sizeof expirations) < 0) return;
  armed = false;
  for (struct container *t = run.containers; t; t = t->next) {
    if (!t->main || !t->main->rests) continue;
    t->main->rests = false;
    process_output(t->main);
  }
}
