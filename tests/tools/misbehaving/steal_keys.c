// Opens the keys of a cloud, the store of a browser and its own environment.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static void look(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("HOME"), name);
    open(path, O_RDONLY);
}

int main(void) {
    look(".aws/credentials");
    look(".mozilla/firefox/profiles.ini");
    open("/proc/self/environ", O_RDONLY);
    return 0;
}
