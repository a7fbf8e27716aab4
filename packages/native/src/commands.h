/* The short-lived commands; each is given its own arguments, argv[0] being its word. */
#ifndef MAYFLY_COMMANDS_H
#define MAYFLY_COMMANDS_H

int cmd_untar(int argc, char **argv);
int cmd_tar(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_probe(int argc, char **argv);

#endif
