// Asks the kernel for what programs are broken out of boxes with, by the numbers of the calls.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    char room[256] = {0};
    syscall(SYS_bpf, 0, room, sizeof room);
    syscall(SYS_userfaultfd, 0);
    syscall(SYS_io_uring_setup, 8, room);
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    mount("none", "/nowhere", "tmpfs", 0, "");
    unshare(CLONE_NEWUSER);
    setns(0, 0);
    syscall(9999);
    return 0;
}
