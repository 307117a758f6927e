/* Preloaded into a program, this moves the system's clock as it sees it:
 *
 *   LD_PRELOAD=libclock_jump.so CLOCK_JUMP_FILE=FILE PROGRAM
 *
 * FILE holds, as 8 bytes in the machine's order, by how many nanoseconds
 * CLOCK_REALTIME is off; whoever changes them makes the clock jump. As in the
 * kernel, waits until a time of that clock see the jump too, and CLOCK_MONOTONIC
 * never moves. Unlike libfaketime it knows the futex calls that Abseil makes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t kSecond = 1000000000;

/* A wait is cut into slices so long, between which the clock is looked at. */
static const int64_t kSlice = 50000000;

static const volatile int64_t* offset_place;

__attribute__((constructor)) static void MapOffset(void) {
  static const int64_t none = 0;
  const char* name = getenv("CLOCK_JUMP_FILE");
  const int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  void* place = MAP_FAILED;
  if (fd >= 0) {
    place = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
  }
  offset_place = place == MAP_FAILED ? &none : (const int64_t*)place;
}

static int64_t Offset(void) { return offset_place == NULL ? 0 : *offset_place; }

static int64_t Nanoseconds(const struct timespec* time) {
  return time->tv_sec * kSecond + time->tv_nsec;
}

static struct timespec Timespec(int64_t nanoseconds) {
  struct timespec time = {nanoseconds / kSecond, nanoseconds % kSecond};
  return time;
}

/* The kernel's own time. */
static int64_t RealNow(void) {
  static int (*real)(clockid_t, struct timespec*);
  if (real == NULL) {
    real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT,
                                                       "clock_gettime");
  }
  struct timespec time;
  real(CLOCK_REALTIME, &time);
  return Nanoseconds(&time);
}

/* The end, in the kernel's time, of the next slice of a wait until `until` of
 * the moved clock; 0 once that has come. */
static int64_t NextSlice(int64_t until) {
  const int64_t now = RealNow(), left = until - (now + Offset());
  if (left <= 0) return 0;
  return now + (left < kSlice ? left : kSlice);
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  static int (*real)(clockid_t, struct timespec*);
  if (real == NULL) {
    real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT,
                                                       "clock_gettime");
  }
  const int result = real(clock, time);
  if (result == 0 &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    *time = Timespec(Nanoseconds(time) + Offset());
  }
  return result;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  (void)zone;
  const int64_t now = RealNow() + Offset();
  time->tv_sec = now / kSecond;
  time->tv_usec = now % kSecond / 1000;
  return 0;
}

time_t time(time_t* out) {
  const time_t now = (RealNow() + Offset()) / kSecond;
  if (out != NULL) *out = now;
  return now;
}

int pthread_cond_timedwait(pthread_cond_t* restrict cond,
                           pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict until) {
  typedef int (*Wait)(pthread_cond_t*, pthread_mutex_t*, clockid_t,
                      const struct timespec*);
  static Wait real;
  if (real == NULL) real = (Wait)dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  const int64_t slice = NextSlice(Nanoseconds(until));
  if (slice == 0) return ETIMEDOUT;
  const struct timespec end = Timespec(slice);
  const int result = real(cond, mutex, CLOCK_REALTIME, &end);
  /* A wake-up without a cause is allowed; whoever waits looks again. */
  return result == ETIMEDOUT && NextSlice(Nanoseconds(until)) != 0 ? 0 : result;
}

long syscall(long number, ...) {
  typedef long (*Call)(long, ...);
  static Call real;
  if (real == NULL) real = (Call)dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  const int command = (int)a[1];
  if (number != SYS_futex || a[3] == 0 || !(command & FUTEX_CLOCK_REALTIME) ||
      (command & FUTEX_CMD_MASK) != FUTEX_WAIT_BITSET) {
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  const int64_t until = Nanoseconds((const struct timespec*)a[3]);
  while (1) {
    const int64_t slice = NextSlice(until);
    if (slice == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    const struct timespec end = Timespec(slice);
    const long result = real(number, a[0], a[1], a[2], &end, a[4], a[5]);
    if (result == 0 || errno != ETIMEDOUT) return result;
  }
}
