/*
 * The 32-bit build of the workloads, as a flat image at 1 MiB for v86, which loads it itself (multiboot) and so needs no BIOS. The
 * words at PARAMETERS say what to run. The checksum goes to COM1 in hexadecimal with a newline, and then it is run again, for ever:
 * who listens can tell the first time from those when the emulator is warm.
 */
#include "multiboot.S"
boot:
	mov $stack_top, %esp
	cld
again:
	push parameters + 4
	push parameters
	call workload
	add $8, %esp
	mov %eax, %ebx
	mov %edx, %esi
	mov $0x3f8, %edx
	mov $16, %ecx
1:	mov %esi, %edi
	shld $4, %ebx, %esi
	shld $4, %edi, %ebx
	mov %bl, %al
	and $15, %al
	add $48, %al
	cmp $58, %al
	jb 2f
	add $39, %al
2:	out %al, %dx
	dec %ecx
	jnz 1b
	mov $10, %al
	out %al, %dx
	jmp again
	.bss
	.balign 4096
	.space 65536
stack_top:
