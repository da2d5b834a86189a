// The names of POSIX that Swift's Glibc does not show.
#define _GNU_SOURCE
#include "CTerminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int terminal_open(int *screen) {
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (keyboard < 0) return -1;
    const char *name = grantpt(keyboard) == 0 && unlockpt(keyboard) == 0 ? ptsname(keyboard) : NULL;
    *screen = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    if (*screen >= 0) return keyboard;
    close(keyboard);
    return -1;
}
