/* Where the entries of a copied archive go. */
#ifndef MAYFLY_COPYPLACE_H
#define MAYFLY_COPYPLACE_H

#include "base.h"

struct place {
  int root, base;
  bool strict;       /* no link is followed below the base */
  char *from, *to;   /* the archive's first name, and what it is called here; NULL: as it is */
  uid_t uid;         /* of parents that are made */
  gid_t gid;
  char *parent_path; /* the directory that was opened last */
  int parent;
};

/* Ends the copy: errno tells why. */
_Noreturn void copy_in_stop(const char *path, const char *step);
/* Looks the target up for an archive whose first entry is this, or ends the copy; see COPY_* for the flags. */
void place_begin(struct place *p, const char *target, uint32_t flags, const char *first, bool directory);
/* The name of an entry below the base, yours to free: "" for the base itself; NULL for one that leads elsewhere. */
char *place_name(struct place *p, const char *archived);
/* The directory that holds `path`, kept open by the place; `make`: made where it is missing. -1 with errno. */
int place_parent(struct place *p, const char *path, bool make, const char **name);
/* A directory below the base, to be read; -1 with errno. */
int place_open(struct place *p, const char *path);

#endif
