// Has a hundred and fifty children for a while; none of them asks the kernel for anything.
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    int ends[2];
    char nothing;
    if (pipe(ends))
        return 1;
    for (int each = 0; each < 150; each++)
        if (fork() == 0) {
            close(ends[1]);
            read(ends[0], &nothing, 1);
            _exit(0);
        }
    usleep(300000);
    close(ends[1]);
    while (wait(0) > 0)
        continue;
    return 0;
}
