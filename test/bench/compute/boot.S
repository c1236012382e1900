/*
 * A flat image at 1 MiB for QEMU's -kernel (multiboot) and for a bare model of the CPU. The words at PARAMETERS say what to
 * run; the checksum goes to port 0xe9 in hexadecimal, then a write to port 0x501 ends it.
 */
	.code32
#include "multiboot.S"
	.org 0x80
	.code64
entry64:
	mov $stack_top, %rsp
	mov parameters, %edi
	mov parameters + 4, %esi
	call workload
	mov %rax, %rbx
	mov $16, %ecx
1:	rol $4, %rbx
	mov %bl, %al
	and $15, %al
	add $48, %al
	cmp $58, %al
	jb 2f
	add $39, %al
2:	out %al, $0xe9
	dec %ecx
	jnz 1b
	mov $0x501, %dx
	out %al, %dx
3:	hlt
	jmp 3b
	.code32
boot:
	mov $tables, %edi
	mov $tables + 0x1003, %eax
	mov %eax, tables
	mov $tables + 0x2003, %eax
	mov %eax, tables + 0x1000
	xor %ecx, %ecx
	mov $0x83, %eax
4:	mov %eax, tables + 0x2000(,%ecx,8)
	add $0x200000, %eax
	inc %ecx
	cmp $512, %ecx
	jb 4b
	mov %edi, %cr3
	mov $0x20, %eax
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov $0x80000001, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $entry64
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 23
	.long gdt
	.bss
	.balign 4096
tables:	.space 3 * 4096
	.space 65536
stack_top:
