// Looks for a million names that are not there, and reads a key at the end.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **words) {
    char path[512];
    long names = count > 1 ? atol(words[1]) : 1000000;
    for (long each = 0; each < names; each++) {
        snprintf(path, sizeof path, "%ld", each);
        access(path, F_OK);
    }
    snprintf(path, sizeof path, "%s/.ssh/id_ed25519", getenv("HOME"));
    return open(path, O_RDONLY) < 0;
}
