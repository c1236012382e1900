; The start of a kernel: descriptor tables, model-specific registers, system calls, 32 exception entries made by a repetition.
bits 64
default rel
%define KERNEL_VMA 0xffffffff80000000
%define PHYS(x) ((x) - KERNEL_VMA)
PML4E_P equ 1 << 0
PML4E_W equ 1 << 1
MSR_EFER equ 0xc0000080
MSR_STAR equ 0xc0000081
MSR_LSTAR equ 0xc0000082
struc tss
 .res0 resd 1
 .rsp0 resq 1
 .rsp1 resq 1
 .rsp2 resq 1
 .res1 resq 1
 .ist  resq 7
 .res2 resq 1
 .res3 resw 1
 .iomap resw 1
 .size:
endstruc
%macro isr_noerr 1
global isr%1
isr%1:
 push 0
 push %1
 jmp isr_common
%endmacro
%macro isr_err 1
global isr%1
isr%1:
 push %1
 jmp isr_common
%endmacro
%macro pushall 0
 %push all
 %define %$regs rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
 pushlist %$regs
 %pop
%endmacro
%macro pushlist 1-*
 %rep %0
  push %1
  %rotate 1
 %endrep
%endmacro
%macro poplist 1-*
 %rep %0
  %rotate -1
  pop %1
 %endrep
%endmacro
section .text
global start
extern kmain
start:
 cli
 cld
 lgdt [gdt.ptr]
 lidt [idt_ptr]
 mov ax, gdt.data - gdt
 mov ds, ax
 mov es, ax
 mov ss, ax
 xor eax, eax
 mov fs, ax
 mov gs, ax
 mov ecx, MSR_EFER
 rdmsr
 or eax, 1 | 1 << 11
 wrmsr
 mov ecx, MSR_STAR
 mov edx, (gdt.code - gdt) | ((gdt.data - gdt) << 16)
 xor eax, eax
 wrmsr
 lea rax, [syscall_entry]
 mov rdx, rax
 shr rdx, 32
 mov ecx, MSR_LSTAR
 wrmsr
 mov rax, cr0
 and eax, ~(1 << 2)
 or ax, 1 << 1
 mov cr0, rax
 mov rax, cr4
 or rax, 3 << 9 | 1 << 7
 mov cr4, rax
 mov rsp, stack_top
 lea rdi, [rel stack_bottom]
 push byte gdt.code - gdt
 lea rax, [.flush]
 push rax
 o64 retf
.flush:
 mov ax, gdt.tss - gdt
 ltr ax
 mov word [tss0 + tss.iomap], tss.size
 mov rax, stack_top
 mov [tss0 + tss.rsp0], rax
 call kmain
.halt: hlt
 jmp short .halt
syscall_entry:
 swapgs
 mov [gs:8], rsp
 mov rsp, [gs:0]
 push qword [gs:8]
 push r11
 push rcx
 call [syscall_table + rax*8]
 pop rcx
 pop r11
 pop rsp
 swapgs
 o64 sysret
%assign v 0
%rep 32
 %if v = 8 || (v >= 10 && v <= 14) || v = 17
  isr_err v
 %else
  isr_noerr v
 %endif
 %assign v v+1
%endrep
isr_common:
 pushall
 mov rdi, rsp
 extern trap
 call trap
 poplist rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
 add rsp, 16
 iretq
section .data
align 16
gdt: dq 0
.code: dw 0, 0
 db 0, 10011010b, 00100000b, 0
.data: dq 0x0000920000000000
.tss: dw tss.size-1
 dw 0
 db 0, 0x89, 0, 0
 dq 0
.end:
gdt.ptr: dw gdt.end - gdt - 1
 dq gdt
idt_ptr: dw 4095
 dq idt
syscall_table: dq start, isr0, isr_common
tss0: istruc tss
 at tss.rsp0, dq 5
 at tss.iomap, dw 104
iend
%macro msg 1+
 %%s: db %%e - %%s, %1
 %%e:
%endmacro
msg "hello", 10, 0
msg `tab\there\x41\u20ac`, 0
section .bss
alignb 4096
idt: resb 4096
stack_bottom: resb 16384
stack_top:
common shared 16:8
