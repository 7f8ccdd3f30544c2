// Makes, reads and removes files without end, and reads a key in the end.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **words) {
    char path[512];
    long names = count > 1 ? atol(words[1]) : 1000000;
    for (long each = 0; each < names / 2; each++) {
        snprintf(path, sizeof path, "%ld", each);
        close(open(path, O_WRONLY | O_CREAT, 0600));
        close(open(path, O_RDONLY));
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/.ssh/id_ed25519", getenv("HOME"));
    return open(path, O_RDONLY) < 0;
}
