/*
 * Does on the host's own /dev/kvm what standard input says, a line at a time, and prints what came of it: the other side of the comparison
 * of test/oracle/kvm. Numbers are hexadecimal but for results.
 *
 *   new IRQCHIP           a new virtual machine with RAM and one vCPU; the old one goes
 *   int FD REQUEST ARG    an ioctl whose argument is a number
 *   at FD REQUEST BYTES   an ioctl on a structure: prints the bytes as they are then
 *   put ADDRESS BYTES     write memory; RAM of 16 MiB is at RAM_AT
 *   peek ADDRESS COUNT    read it
 *   run                   KVM_RUN: the access that the guest was left for, or why else it was
 *   data BYTES            the answer to such a read
 *   page OFFSET BYTES     write into struct kvm_run and the pages behind it
 *   seen OFFSET COUNT     read them
 *   count FD              what an eventfd has counted
 *   signal FD             add one, and let the kernel's worker see it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { KVM = 100, VM, VCPU, EVENTFD = 110, EVENTFDS = 3 };
#define RAM_AT ((uint8_t *)0x200000000)
#define RAM_BYTES (16u << 20)
#define SCRATCH ((uint8_t *)0x300000000)
#define BUFFER ((uint8_t *)0x310000000)
#define SCRATCH_BYTES (1u << 16)
#define BUFFER_BYTES (1u << 18)
#define RUN_LIMIT_SECONDS 2
#define WORKER_TAKES_USEC 2000

static struct kvm_run *run;
static int run_bytes;
/* A guest that has not come back is not waited for again. */
static int lost;

static void place(int fd, int number)
{
	if (fd < 0) {
		perror("machine.c");
		exit(1);
	}
	dup2(fd, number);
	close(fd);
}

static void *map(void *at, size_t bytes, int flags, int fd)
{
	void *got = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (got == MAP_FAILED)
		abort();
	return got;
}

static void begin(int irqchip)
{
	const int fresh = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	lost = 0;
	if (run)
		munmap(run, run_bytes);
	close(VCPU);
	close(VM);
	for (int i = 0; i < EVENTFDS; i++)
		place(eventfd(0, EFD_NONBLOCK), EVENTFD + i);
	map(RAM_AT, RAM_BYTES, fresh, -1);
	map(SCRATCH, SCRATCH_BYTES, fresh, -1);
	map(BUFFER, BUFFER_BYTES, fresh, -1);
	place(ioctl(KVM, KVM_CREATE_VM, 0L), VM);
	if (irqchip && ioctl(VM, KVM_CREATE_IRQCHIP, 0L))
		abort();
	place(ioctl(VM, KVM_CREATE_VCPU, 0L), VCPU);
	run = map(0, run_bytes, MAP_SHARED, VCPU);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_BYTES, .userspace_addr = (uint64_t)RAM_AT };
	if (ioctl(VM, KVM_SET_USER_MEMORY_REGION, &slot))
		abort();
}

static size_t unhex(const char *text, uint8_t *into)
{
	size_t count = 0;
	unsigned byte;
	for (; sscanf(text, "%2x", &byte) == 1 && text[0] != '\n'; text += 2)
		into[count++] = byte;
	return count;
}

static void print_bytes(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%02x", bytes[i]);
}

static void run_once(void)
{
	struct itimerval limit = { .it_value = { .tv_sec = RUN_LIMIT_SECONDS } };
	setitimer(ITIMER_REAL, &limit, 0);
	if (lost)
		printf("lost");
	else if (ioctl(VCPU, KVM_RUN, 0L) < 0) {
		lost = !run->immediate_exit;
		printf("%d", -errno);
	} else if (run->exit_reason == KVM_EXIT_IO) {
		int out = run->io.direction == KVM_EXIT_IO_OUT;
		printf("%s %x %d %d ", out ? "out" : "in", run->io.port, run->io.size, run->io.count);
		if (out)
			print_bytes((uint8_t *)run + run->io.data_offset, run->io.size * run->io.count);
	} else if (run->exit_reason == KVM_EXIT_MMIO) {
		printf("%s %llx %d ", run->mmio.is_write ? "write" : "read", run->mmio.phys_addr, run->mmio.len);
		if (run->mmio.is_write)
			print_bytes(run->mmio.data, run->mmio.len);
	} else if (run->exit_reason == KVM_EXIT_X86_RDMSR)
		printf("rdmsr %x %d", run->msr.index, run->msr.reason);
	else if (run->exit_reason == KVM_EXIT_X86_WRMSR)
		printf("wrmsr %x %d %llx", run->msr.index, run->msr.reason, run->msr.data);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		printf("internal %d", run->internal.suberror);
	else
		printf("exit %d", run->exit_reason);
	printf("\n");
}

static uint8_t *data(void)
{
	return run->exit_reason == KVM_EXIT_IO ? (uint8_t *)run + run->io.data_offset : run->mmio.data;
}

static void nothing(int signal) { (void)signal; }

int main(void)
{
	static char line[1 << 17];
	struct sigaction action = { .sa_handler = nothing };
	sigaction(SIGALRM, &action, 0);
	place(open("/dev/kvm", O_RDWR), KVM);
	run_bytes = ioctl(KVM, KVM_GET_VCPU_MMAP_SIZE, 0L);
	while (fgets(line, sizeof line, stdin)) {
		unsigned fd;
		unsigned long request, value;
		int at = 0;
		if (sscanf(line, "new %lx", &value) == 1) {
			begin(value);
			printf("new\n");
		} else if (sscanf(line, "int %x %lx %lx", &fd, &request, &value) == 3) {
			int result = ioctl(fd, request, value);
			printf("%d\n", result < 0 ? -errno : result);
		} else if (sscanf(line, "at %x %lx %n", &fd, &request, &at) == 2) {
			size_t count = unhex(line + at, SCRATCH);
			int result = ioctl(fd, request, SCRATCH);
			if (request == KVM_IRQFD)
				usleep(WORKER_TAKES_USEC);
			printf("%d ", result < 0 ? -errno : result);
			print_bytes(SCRATCH, count);
			printf("\n");
		} else if (sscanf(line, "put %lx %n", &value, &at) == 1) {
			unhex(line + at, (uint8_t *)value);
			printf("put\n");
		} else if (sscanf(line, "peek %lx %lx", &value, &request) == 2) {
			print_bytes((uint8_t *)value, request);
			printf("\n");
		} else if (sscanf(line, "page %lx %n", &value, &at) == 1) {
			unhex(line + at, (uint8_t *)run + value);
			printf("page\n");
		} else if (sscanf(line, "seen %lx %lx", &value, &request) == 2) {
			print_bytes((uint8_t *)run + value, request);
			printf("\n");
		} else if (sscanf(line, "count %x", &fd) == 1) {
			uint64_t count = 0;
			printf("%d ", read(fd, &count, sizeof count) == sizeof count);
			print_bytes((uint8_t *)&count, sizeof count);
			printf("\n");
		} else if (sscanf(line, "signal %x", &fd) == 1) {
			uint64_t one = 1;
			printf("%d\n", write(fd, &one, sizeof one) == sizeof one);
			usleep(WORKER_TAKES_USEC);
		} else if (sscanf(line, "data %n", &at) == 0 && at) {
			unhex(line + at, data());
			printf("data\n");
		} else {
			run_once();
		}
		fflush(stdout);
	}
	return 0;
}
