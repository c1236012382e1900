; From where QEMU's -kernel leaves off (multiboot: 32-bit protected mode) to long mode at BODY, with the first 4 GiB mapped to
; themselves for the supervisor. ../tcg-machine.ts begins there, in the same state.
        org     0x100000
        bits    32
BODY    equ     0x101000
PML4    equ     0x1000
PDPT    equ     0x2000
PD      equ     0x3000

header: dd      0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        dd      header, 0x100000, 0, 0, entry   ; load everything, no bss

entry:  cli
        cld
        mov     esp, 0x80000
        mov     edi, PML4
        mov     ecx, 6 * 1024
        xor     eax, eax
        rep stosd
        mov     dword [PML4], PDPT | 7
        mov     edi, PDPT
        mov     eax, PD | 7
.pdpt:  mov     [edi], eax
        add     edi, 8
        add     eax, 0x1000
        cmp     eax, (PD + 0x4000) | 7
        jne     .pdpt
        mov     edi, PD
        mov     eax, 0x83
.pd:    mov     [edi], eax
        add     edi, 8
        add     eax, 0x200000
        cmp     edi, PD + 0x4000
        jne     .pd
        lgdt    [gdtr]
        mov     eax, 0x20
        mov     cr4, eax
        mov     eax, PML4
        mov     cr3, eax
        mov     ecx, 0xc0000080
        mov     eax, 0x901
        xor     edx, edx
        wrmsr
        mov     eax, 0x80010033
        mov     cr0, eax
        jmp     8:start64
        bits    64
start64:
         mov     eax, 0x10
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        mov     ss, eax
        push    2
        popfq
        mov     rax, BODY
        jmp     rax
        align   8
gdt:    dq      0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:   dw      $ - gdt - 1
        dd      gdt
        times   0x1000 - ($ - $$) db 0
