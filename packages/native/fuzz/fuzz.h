/* A small coverage-guided fuzzer: no libraries, the same order of inputs for the same seed number. */
#ifndef MAYFLY_FUZZ_H
#define MAYFLY_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_MAX (64u << 10)

/* What a target brings. */
void target_start(void);
void target_run(const uint8_t *data, size_t length);
/* Changes `data` (at most INPUT_MAX bytes) so that most of it still means something; answers the new length. */
size_t target_mutate(uint8_t *data, size_t length);

/* What the driver offers. */
uint32_t fuzz_random(uint32_t below);
size_t fuzz_mutate_bytes(uint8_t *data, size_t length, size_t max);
/* Namespaces of its own (CLONE_NEW*), as root or as an ordinary user. */
void fuzz_unshare(int flags);
/* An input that breaks a promise without crashing. */
_Noreturn void fuzz_found(const char *what);

#endif
