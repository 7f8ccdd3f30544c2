// Gives away a program of the system, and opens the memory of the machine.
#include <fcntl.h>
#include <sys/stat.h>

int main(void) {
    chmod("/usr/bin/env", 0755);
    open("/dev/mem", O_RDONLY);
    open("/dev/sda", O_RDONLY);
    return 0;
}
