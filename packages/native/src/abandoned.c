/* Sockets that were handed in, and whether somebody in their container still has them. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "handin.h"

enum { INTERVAL_NS = 100000000, LINK = 64 };

static struct source timer = {.fd = -1};

static bool link_of(char out[LINK], const char *path) {
  ssize_t n = readlinkat(handin_proc(), path, out, LINK - 1);
  out[n > 0 ? n : 0] = 0;
  return n > 0;
}

static bool has(const struct holder *h, const char *socket) {
  char path[64], link[LINK];
  snprintf(path, sizeof path, "%d/fd/%d", h->process, h->fd);
  return h->process > 0 && link_of(link, path) && !strcmp(link, socket);
}

static DIR *directory(const char *path) {
  int fd = openat(handin_proc(), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (fd >= 0 && !d) close(fd);
  return d;
}

/* A process that has ended, and waits for its parent to ask: it has nothing any more, and is nobody's to look into. */
static bool is_zombie(pid_t process) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "%d/stat", process);
  if (read_file_at(handin_proc(), path, text, sizeof text) < 0) return true;
  const char *at = strrchr(text, ')');
  return at && (at[2] == 'Z' || at[2] == 'X');
}

/* Whether one of the process's descriptors is the socket. Who cannot be looked into may have it. */
static bool finds(struct holder *h, pid_t process, const char *socket) {
  char path[64];
  snprintf(path, sizeof path, "%d/fd", process);
  DIR *d = directory(path);
  if (!d) return !is_zombie(process);
  bool found = false;
  for (struct dirent *e; !found && (e = readdir(d));) {
    struct holder one = {.process = process, .fd = atoi(e->d_name)};
    found = isdigit((unsigned char)e->d_name[0]) && has(&one, socket);
    if (found) *h = one;
  }
  closedir(d);
  return found;
}

/* Whoever shares the main process's pid namespace is in the container. */
static bool somebody_has(struct holder *h, const struct container *t, const char *socket) {
  char path[64], own[LINK], theirs[LINK];
  snprintf(path, sizeof path, "%d/ns/pid", t->main ? t->main->pid : 0);
  DIR *d = link_of(own, path) ? directory(".") : NULL;
  if (!d) return true;
  bool found = false;
  for (struct dirent *e; !found && (e = readdir(d));) {
    int process = atoi(e->d_name);
    if (!isdigit((unsigned char)e->d_name[0]) || process == getpid()) continue;
    snprintf(path, sizeof path, "%d/ns/pid", process);
    found = link_of(theirs, path) && !strcmp(own, theirs) && finds(h, process, socket);
  }
  closedir(d);
  return found;
}

static bool is_had(struct port *p, int at) {
  struct stat st;
  char socket[LINK];
  if (fstat(p->listeners[at].fd, &st)) return true;
  snprintf(socket, sizeof socket, "socket:[%llu]", (unsigned long long)st.st_ino);
  return has(&p->holders[at], socket) || somebody_has(&p->holders[at], p->container, socket);
}

static void look(struct source *s, uint32_t events) {
  (void)events;
  uint64_t expirations;
  bool any = false;
  if (read(s->fd, &expirations, sizeof expirations) < 0) return;
  for (struct port *p = run.ports; p; p = p->next)
    for (int at = 0; at < 2; at++) {
      if (!(p->given >> at & 1) || p->closed || !p->container || p->container->state != STATE_RUNNING) continue;
      bool had = is_had(p, at);
      /* One that is started anew has the time between two looks. */
      if (had || !p->holders[at].missed) any = true;
      else handin_abandon(p, at);
      p->holders[at].missed = !had;
    }
  if (!any) source_close(s);
}

void handin_watch(void) {
  if (timer.fd >= 0) return;
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const struct itimerspec every = {.it_interval = {.tv_nsec = INTERVAL_NS}, .it_value = {.tv_nsec = INTERVAL_NS}};
  if (fd < 0) return;
  if (timerfd_settime(fd, 0, &every, NULL) || source_add(&timer, fd, EPOLLIN, look, NULL)) {
    close(fd);
    timer.fd = -1;
  }
}
