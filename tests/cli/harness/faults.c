/* A disk with faults, put between the program and the system with LD_PRELOAD.
 *
 * While FOLDER.full exists, nothing more can be written to files below FOLDER:
 * ENOSPC, as on a full disk. While FOLDER.failing exists, nothing below FOLDER
 * can be synced: EIO, as on a dying one. While FOLDER.hanging exists, syncs
 * below FOLDER do not return. The wall clock of a process is as many seconds off as
 * a file says that has its process id for a name, in the folder FAULTS_CLOCKS of the
 * environment. Needs no privileges, unlike a file system of its
 * own, a device mapper or a tracer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int has_fault(int fd, const char *fault) {
    char link[64], path[PATH_MAX], mark[PATH_MAX + 16];
    int before = errno, found = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    while (length > 0 && !found) {
        path[length] = 0;
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path)
            break;
        *slash = 0;
        length = slash - path;
        snprintf(mark, sizeof mark, "%s.%s", path, fault);
        found = access(mark, F_OK) == 0;
    }
    errno = before;
    return found;
}

#define FULL(result, name, fd, parameters, arguments)                           \
    result name parameters {                                                   \
        static result (*real) parameters;                                      \
        if (real == NULL)                                                      \
            real = (result(*) parameters)dlsym(RTLD_NEXT, #name);              \
        if (has_fault(fd, "full")) {                                           \
            errno = ENOSPC;                                                    \
            return -1;                                                         \
        }                                                                      \
        return real arguments;                                                 \
    }

FULL(ssize_t, write, fd, (int fd, const void *bytes, size_t count), (fd, bytes, count))
FULL(ssize_t, writev, fd, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FULL(ssize_t, pwrite64, fd, (int fd, const void *bytes, size_t count, off64_t offset),
     (fd, bytes, count, offset))

#define SYNCING(name)                                                          \
    int name(int fd) {                                                         \
        static int (*real)(int);                                               \
        if (real == NULL)                                                      \
            real = (int (*)(int))dlsym(RTLD_NEXT, #name);                      \
        while (has_fault(fd, "hanging"))                                       \
            usleep(1000);                                                      \
        if (has_fault(fd, "failing")) {                                        \
            errno = EIO;                                                       \
            return -1;                                                         \
        }                                                                      \
        return real(fd);                                                       \
    }

SYNCING(fdatasync)
SYNCING(fsync)

static long clock_is_off_by(void) {
    char path[PATH_MAX], text[32] = "";
    const char *folder = getenv("FAULTS_CLOCKS");
    if (folder == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    return length > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time), before = errno;
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += clock_is_off_by();
    errno = before;
    return result;
}
