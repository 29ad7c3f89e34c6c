/* Ends by the named fault: crash MODE [NAME]; NAME, if given, becomes the dying task's name first. */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *mode;

static int deeper(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return deeper(depth + 1) + room[0];
}

static void forbid_getppid(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    syscall(SYS_getppid);
}

static void beyond_a_file(void)
{
    char name[] = "/tmp/crashXXXXXX";
    int file = mkstemp(name);
    unlink(name);
    char *mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    printf("%d", mapped[0]);
}

static void fault(void)
{
    volatile int zero = 0, one = 1;
    if (!strcmp(mode, "null"))
        *(volatile int *)0 = 1;
    if (!strcmp(mode, "jump"))
        ((void (*)(void))(uintptr_t)zero)();
    if (!strcmp(mode, "library"))
        printf("%zu", strlen((const char *)(uintptr_t)(zero + 16)));
    if (!strcmp(mode, "stack"))
        printf("%d", deeper(0));
    if (!strcmp(mode, "readonly"))
        *(volatile char *)"constant" = 'x';
    if (!strcmp(mode, "noexec")) {
        char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *page = '\xc3';
        ((void (*)(void))page)();
    }
    if (!strcmp(mode, "general"))
        *(volatile int *)0x4141414141414141 = 1;
    if (!strcmp(mode, "ud2"))
        __asm__ volatile("ud2");
    if (!strcmp(mode, "int3"))
        __asm__ volatile("int3");
    if (!strcmp(mode, "divide"))
        printf("%d", one / zero);
    if (!strcmp(mode, "stack-segment"))
        __asm__ volatile("movabs $0x4141414141414141, %%rbp; mov (%%rbp), %%rax" ::: "rax", "memory");
    if (!strcmp(mode, "alignment"))
        __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; mov 1(%%rsp), %%rax" ::: "rax", "memory");
    if (!strcmp(mode, "seccomp"))
        forbid_getppid();
    if (!strcmp(mode, "bus"))
        beyond_a_file();
    if (!strcmp(mode, "abort"))
        abort();
}

static void *in_a_thread(void *name)
{
    prctl(PR_SET_NAME, name);
    fault();
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc < 2)
        return 2;
    mode = argv[1];
    if (argc > 3) {
        pthread_create(&thread, NULL, in_a_thread, argv[3]);
        pthread_join(thread, NULL);
    }
    if (argc > 2)
        prctl(PR_SET_NAME, argv[2]);
    fault();
    return 1;
}
