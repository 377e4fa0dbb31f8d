/* A disk with faults, put between the program and the system with LD_PRELOAD.
 *
 * While FOLDER.full exists, nothing more can be written to files below FOLDER:
 * ENOSPC, as on a full disk. While FOLDER.failing exists, nothing below FOLDER
 * can be synced: EIO, as on a dying one. Needs no privileges, unlike a file
 * system of its own, a device mapper or a tracer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
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

#define FAILING(result, name, fault, error, fd, parameters, arguments)          \
    result name parameters {                                                   \
        static result (*real) parameters;                                      \
        if (real == NULL)                                                      \
            real = (result(*) parameters)dlsym(RTLD_NEXT, #name);              \
        if (has_fault(fd, fault)) {                                            \
            errno = error;                                                     \
            return -1;                                                         \
        }                                                                      \
        return real arguments;                                                 \
    }

FAILING(ssize_t, write, "full", ENOSPC, fd, (int fd, const void *bytes, size_t count),
        (fd, bytes, count))
FAILING(ssize_t, writev, "full", ENOSPC, fd, (int fd, const struct iovec *parts, int count),
        (fd, parts, count))
FAILING(ssize_t, pwrite64, "full", ENOSPC, fd,
        (int fd, const void *bytes, size_t count, off64_t offset), (fd, bytes, count, offset))
FAILING(int, fdatasync, "failing", EIO, fd, (int fd), (fd))
FAILING(int, fsync, "failing", EIO, fd, (int fd), (fd))
