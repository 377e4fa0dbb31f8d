/* A disk with faults, put between the program and the system with LD_PRELOAD.
 *
 * While FOLDER.full exists, nothing more can be written to files below FOLDER:
 * ENOSPC, as on a full disk. While FOLDER.failing exists, nothing below FOLDER
 * can be synced: EIO, as on a dying one. While FOLDER.hanging exists, syncs
 * below FOLDER do not return. Needs no privileges, unlike a file system of its
 * own, a device mapper or a tracer. */
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
