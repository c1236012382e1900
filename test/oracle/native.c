/*
 * Runs instruction cases on the host CPU: reads records from stdin, writes each back as the CPU left it. Data, stack and code
 * lie at fixed addresses, so that pointers mean the same on every machine. A fault is reported with its vector, error code
 * and CR2, and with the registers as they were when it was taken.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGES ((uint8_t *)0x10000000)
#define SECOND ((uint8_t *)0x10001000)
#define DATA ((uint8_t *)0x10000f80)
#define CODE ((uint8_t *)0x20000000)
#define DATA_BYTES 256
/* Zeroed on both sides of the data, so that no case sees what an earlier one left there. */
#define MARGIN 1024
#define CODE_BYTES 32

struct record {
	uint64_t registers[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8 … r15 */
	uint64_t rflags;
	uint64_t rip; /* 0: the case ran to its end */
	uint64_t signal, trap, error, cr2;
	uint64_t second; /* page 0x10001000: 0 writable, 1 not present, 2 read-only */
	uint8_t code[CODE_BYTES];
	uint8_t data[DATA_BYTES];
};

struct record *state;
uint64_t saved_rsp, saved_r15;
void run_case(void);
void back(void);

__asm__(
	".intel_syntax noprefix\n.text\n.globl run_case\nrun_case:\n"
	"push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\n"
	"mov saved_rsp[rip], rsp\n"
	"mov r15, state[rip]\n"
	"push qword ptr [r15+128]\npopfq\n"
	"mov rax,[r15]\nmov rcx,[r15+8]\nmov rdx,[r15+16]\nmov rbx,[r15+24]\nmov rsp,[r15+32]\nmov rbp,[r15+40]\nmov rsi,[r15+48]\n"
	"mov rdi,[r15+56]\nmov r8,[r15+64]\nmov r9,[r15+72]\nmov r10,[r15+80]\nmov r11,[r15+88]\nmov r12,[r15+96]\nmov r13,[r15+104]\n"
	"mov r14,[r15+112]\nmov r15,[r15+120]\n"
	"jmp qword ptr code_at[rip]\n"
	".globl back\nback:\n"
	"mov saved_r15[rip], r15\nmov r15, state[rip]\n"
	"mov [r15],rax\nmov [r15+8],rcx\nmov [r15+16],rdx\nmov [r15+24],rbx\nmov [r15+32],rsp\nmov [r15+40],rbp\nmov [r15+48],rsi\n"
	"mov [r15+56],rdi\nmov [r15+64],r8\nmov [r15+72],r9\nmov [r15+80],r10\nmov [r15+88],r11\nmov [r15+96],r12\nmov [r15+104],r13\n"
	"mov [r15+112],r14\nmov rax, saved_r15[rip]\nmov [r15+120],rax\n"
	"mov rsp, saved_rsp[rip]\npushfq\npop rax\nmov [r15+128],rax\npush 2\npopfq\n"
	"pop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n"
	".data\n.balign 8\ncode_at: .quad 0x20000000\n.text\n.att_syntax\n");

static sigjmp_buf escape;

static void on_signal(int number, siginfo_t *info, void *context)
{
	static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				       REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	const greg_t *registers;

	/* A case may have set AC, under which this program must not run. */
	__asm__ volatile("pushf; andq $~0x40400, (%%rsp); popf" ::: "memory", "cc");
	(void)info;
	registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	for (int i = 0; i < 16; i++)
		state->registers[i] = registers[order[i]];
	state->rflags = registers[REG_EFL];
	state->rip = registers[REG_RIP];
	state->trap = registers[REG_TRAPNO];
	state->error = registers[REG_ERR];
	state->cr2 = registers[REG_CR2];
	siglongjmp(escape, number);
}

int main(void)
{
	static uint8_t stack[65536];
	static struct record record __attribute__((aligned(64)));
	const stack_t alternative = { .ss_sp = stack, .ss_size = sizeof stack };
	const struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO };
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE;
	static const int protections[3] = { PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ };
	uint64_t protection = 0;

	if (mmap(PAGES, 0x4000, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return 1;
	if (mmap(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED) return 1;
	memset(PAGES, 0, 0x4000);
	sigaltstack(&alternative, NULL);
	for (int number = 1; number < 32; number++)
		if (number == SIGFPE || number == SIGILL || number == SIGSEGV || number == SIGTRAP || number == SIGBUS)
			sigaction(number, &action, NULL);
	state = &record;
	while (fread(&record, sizeof record, 1, stdin) == 1) {
		/* jmp [rip+2]: the target is aligned, for cases that leave AC set. */
		const uint8_t jump[8] = { 0xff, 0x25, 2, 0, 0, 0 };
		const uint64_t target = (uint64_t)back;
		int number;

		if (protection != 0) mprotect(SECOND, 4096, PROT_READ | PROT_WRITE);
		memcpy(CODE, record.code, CODE_BYTES);
		memcpy(CODE + CODE_BYTES, jump, sizeof jump);
		memcpy(CODE + CODE_BYTES + sizeof jump, &target, sizeof target);
		memset(DATA - MARGIN, 0, MARGIN);
		memcpy(DATA, record.data, DATA_BYTES);
		memset(DATA + DATA_BYTES, 0, MARGIN);
		protection = record.second;
		if (protection != 0) mprotect(SECOND, 4096, protections[protection]);
		__asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0));
		record.rip = record.trap = record.error = record.cr2 = 0;
		number = sigsetjmp(escape, 0);
		if (number == 0) run_case();
		record.signal = number;
		if (protection == 1) mprotect(SECOND, 4096, PROT_READ);
		memcpy(record.data, DATA, DATA_BYTES);
		fwrite(&record, sizeof record, 1, stdout);
	}
	return 0;
}
