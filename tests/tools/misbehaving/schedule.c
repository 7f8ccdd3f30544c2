// Leaves something that starts again: for everybody, and with the user's session.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/.profile", getenv("HOME"));
    open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    open("/etc/cron.d/tool", O_WRONLY | O_CREAT, 0600);
    return 0;
}
