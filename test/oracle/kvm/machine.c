/*
 * Does on the host's own /dev/kvm what standard input says, a line at a time, and prints what came of it: the other side of the comparison
 * of test/oracle/kvm. Numbers are hexadecimal but for results.
 *
 *   new IRQCHIP           a new virtual machine with RAM and one vCPU; the old one goes
 *   int FD REQUEST ARG    an ioctl whose argument is a number
 *   at FD REQUEST BYTES   an ioctl on a structure: prints the bytes as they are then
 *   vcpu ID               KVM_CREATE_VCPU: further ones
 *   ram OFFSET BYTES      put bytes into guest memory
 *   show OFFSET COUNT     guest memory
 *   run FD STEPS          KVM_RUN until something other than a port or MMIO access ends it, or so often
 *   event INDEX           what an eventfd counts, which is 0 then
 *   signal INDEX          adds 1 to an eventfd
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { KVM = 100, VM, VCPU, EVENTFD = 110, EVENTFDS = 3, VCPUS = 4 };
#define RAM_AT ((uint8_t *)0x200000000)
#define RAM_BYTES (16u << 20)
#define SCRATCH ((uint8_t *)0x300000000)
#define SCRATCH_BYTES (1u << 16)
#define BUFFER ((uint8_t *)0x310000000)

static struct kvm_run *runs[VCPUS];
static int run_bytes;

static int placed(int fd, int number)
{
	if (fd < 0)
		return -errno;
	dup2(fd, number);
	close(fd);
	return 0;
}

static void *mapped(void *at, size_t bytes)
{
	void *got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (got != at)
		abort();
	return got;
}

static int add_vcpu(int id)
{
	int index = 0;
	while (index < VCPUS && runs[index])
		index++;
	if (index == VCPUS)
		return -1;
	int result = placed(ioctl(VM, KVM_CREATE_VCPU, (long)id), VCPU + index);
	if (result == 0)
		runs[index] = mmap(0, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, VCPU + index, 0);
	return result;
}

static void begin(int irqchip)
{
	for (int i = 0; i < VCPUS; i++) {
		if (runs[i])
			munmap(runs[i], run_bytes);
		runs[i] = 0;
		close(VCPU + i);
	}
	close(VM);
	for (int i = 0; i < EVENTFDS; i++)
		placed(eventfd(0, EFD_NONBLOCK), EVENTFD + i);
	mapped(RAM_AT, RAM_BYTES);
	mapped(SCRATCH, SCRATCH_BYTES);
	mapped(BUFFER, 1 << 16);
	placed(ioctl(KVM, KVM_CREATE_VM, 0L), VM);
	if (irqchip && ioctl(VM, KVM_CREATE_IRQCHIP, 0L))
		abort();
	if (add_vcpu(0))
		abort();
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

/* What nobody serves reads as this, told apart by byte and address. */
static uint8_t answer(uint64_t address, int i)
{
	return 0x51 + 7 * address + 3 * i;
}

static void run(int fd, int steps)
{
	struct kvm_run *run = runs[fd - VCPU];
	while (steps-- > 0) {
		struct itimerval limit = { .it_value = { .tv_usec = 300000 } };
		setitimer(ITIMER_REAL, &limit, 0);
		int result = ioctl(fd, KVM_RUN, 0L);
		if (result < 0) {
			printf("%d;", -errno);
			break;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO: {
			uint8_t *data = (uint8_t *)run + run->io.data_offset;
			size_t count = run->io.size * run->io.count;
			printf("%s %x %d %d ", run->io.direction ? "out" : "in", run->io.port, run->io.size, run->io.count);
			if (run->io.direction)
				print_bytes(data, count);
			else
				for (size_t i = 0; i < count; i++)
					data[i] = answer(run->io.port, i);
			printf(";");
			continue;
		}
		case KVM_EXIT_MMIO:
			printf("%s %llx %d ", run->mmio.is_write ? "write" : "read", (unsigned long long)run->mmio.phys_addr, run->mmio.len);
			if (run->mmio.is_write)
				print_bytes(run->mmio.data, run->mmio.len);
			else
				for (unsigned i = 0; i < run->mmio.len; i++)
					run->mmio.data[i] = answer(run->mmio.phys_addr, i);
			printf(";");
			continue;
		case KVM_EXIT_INTERNAL_ERROR:
			printf("internal %d;", run->internal.suberror);
			break;
		default:
			printf("exit %d;", run->exit_reason);
		}
		break;
	}
	printf("\n");
}

static void nothing(int signal) { (void)signal; }

int main(void)
{
	static char line[1 << 17];
	struct sigaction action = { .sa_handler = nothing };
	sigaction(SIGALRM, &action, 0);
	if (placed(open("/dev/kvm", O_RDWR), KVM) < 0) {
		perror("/dev/kvm");
		return 1;
	}
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
			printf("%d ", result < 0 ? -errno : result);
			print_bytes(SCRATCH, count);
			printf("\n");
		} else if (sscanf(line, "vcpu %lx", &value) == 1) {
			printf("%d\n", add_vcpu(value));
		} else if (sscanf(line, "ram %lx %n", &value, &at) == 1) {
			unhex(line + at, RAM_AT + value);
			printf("ram\n");
		} else if (sscanf(line, "show %lx %lx", &value, &request) == 2) {
			print_bytes(RAM_AT + value, request);
			printf("\n");
		} else if (sscanf(line, "run %x %lx", &fd, &value) == 2) {
			run(fd, value);
		} else if (sscanf(line, "event %lx", &value) == 1) {
			uint64_t count = 0;
			if (read(EVENTFD + value, &count, 8) < 0)
				count = 0;
			printf("%d\n", (int)count);
		} else if (sscanf(line, "signal %lx", &value) == 1) {
			uint64_t one = 1;
			printf("%d\n", (int)write(EVENTFD + value, &one, 8));
		} else {
			printf("? %s", line);
		}
		fflush(stdout);
	}
	return 0;
}
