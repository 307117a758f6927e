/* Preloaded into a program, this holds it whenever it opens a model's weights:
 *
 *   LD_PRELOAD=libheld_open.so HELD_OPEN_WHILE=FILE PROGRAM
 *
 * An open of a name that ends in .safetensors waits while FILE is there: for a
 * server that loads its model for as long as a test wants. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void WaitWhileHeld(const char* path) {
  static const char kEnd[] = ".safetensors";
  const char* const file = getenv("HELD_OPEN_WHILE");
  const size_t length = strlen(path), end = sizeof(kEnd) - 1;
  if (file == NULL || length < end || strcmp(path + length - end, kEnd) != 0) {
    return;
  }
  while (access(file, F_OK) == 0) usleep(10000);
}

#define HELD_OPEN(name)                                                    \
  int name(const char* path, int flags, ...) {                             \
    int (*const real)(const char*, int, ...) =                             \
        (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, #name);           \
    va_list arguments;                                                     \
    va_start(arguments, flags);                                            \
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;   \
    va_end(arguments);                                                     \
    WaitWhileHeld(path);                                                   \
    return real(path, flags, mode);                                        \
  }

HELD_OPEN(open)
HELD_OPEN(open64)
