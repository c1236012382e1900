; Privilege 3: what it may not do, the ways in and out, and what each leaves behind.
%include "prelude.inc"
STAR    equ     0xc0000081
LSTAR   equ     0xc0000082
FMASK   equ     0xc0000084

%macro  REFUSED 2+              ; name, instruction
        TRY     %1
        ENTER_USER %%user
%%user: %2
        int     0x40
        DONE
%endmacro

%macro  IN_USER 2               ; name, label
        TRY     %1
        ENTER_USER %2
        DONE
%endmacro

tests:
        WRMSR   STAR, 0x0020001000000000
        WRMSR   LSTAR, system_call
        WRMSR   FMASK, 0x300
        REFUSED 'hlt', hlt
        REFUSED 'cli', cli
        REFUSED 'sti', sti
        REFUSED 'clts', clts
        REFUSED 'lgdt', lgdt [rsp - 16]
        REFUSED 'lidt', lidt [rsp - 16]
        REFUSED 'ltr', ltr ax
        REFUSED 'lldt', lldt ax
        REFUSED 'lmsw', lmsw ax
        REFUSED 'mov cr0', mov rax, cr0
        REFUSED 'mov to cr3', mov cr3, rax
        REFUSED 'mov dr7', mov rax, dr7
        REFUSED 'rdmsr', rdmsr
        REFUSED 'wrmsr', wrmsr
        REFUSED 'invlpg', invlpg [rsp]
        REFUSED 'wbinvd', wbinvd
        REFUSED 'invd', invd
        REFUSED 'swapgs', swapgs
        REFUSED 'sysret', o64 sysret
        REFUSED 'in', in al, 0x60
        REFUSED 'out', out 0x60, al
        REFUSED 'in, allowed by the bitmap', in al, 0x70
        REFUSED 'in of two bytes, one allowed', in ax, 0x70
        REFUSED 'insb', insb
        REFUSED 'stac', stac
        REFUSED 'int3', int3
        REFUSED 'int with a gate of privilege 0', int 0x41
        REFUSED 'int with a gate of privilege 3', int 0x40
        REFUSED 'ud2', ud2
        REFUSED 'sgdt is allowed', sgdt [rsp - 16]
        REFUSED 'str is allowed', str eax
        IN_USER 'popf leaves IF and IOPL', u_popf
        IN_USER 'null into ss', u_null_ss
        IN_USER 'null into ds', u_null_ds
        IN_USER 'kernel data into ds', u_kernel_ds
        IN_USER 'kernel data into ss', u_kernel_ss
        IN_USER 'user data into es', u_user_es
        IN_USER 'jmp far to kernel code', u_far_kernel
        IN_USER 'jmp far to conforming code', u_far_conforming
        IN_USER 'retf to kernel code', u_retf_kernel
        IN_USER 'iretq to kernel code', u_iret_kernel
        IN_USER 'iretq keeps IOPL and IF', u_iret_flags
        IN_USER 'a call gate leads to privilege 0 and back', u_gate
        IN_USER 'a call gate by jmp far', u_gate_jump
        IN_USER 'lar of a kernel segment', u_lar
        IN_USER 'verr and verw', u_verify
        IN_USER 'syscall and sysret', u_syscall
        IN_USER 'a fault across privilege pushes the user stack', u_fault
        TRY     'CR4.UMIP: sgdt is refused'
        mov     eax, 0x820
        mov     cr4, rax
        ENTER_USER u_sgdt
        DONE
        mov     eax, 0x20
        mov     cr4, rax
        TRY     'CR4.TSD: rdtsc is refused'
        mov     eax, 0x24
        mov     cr4, rax
        ENTER_USER u_rdtsc
        DONE
        mov     eax, 0x20
        mov     cr4, rax
        TRY     'CR4.FSGSBASE off: rdfsbase is none'
        rdfsbase rax
        DONE
        TRY     'CR4.FSGSBASE on'
        mov     eax, 0x10020
        mov     cr4, rax
        mov     ecx, 0x12345678
        wrfsbase rcx
        rdfsbase rbx
        mov     eax, 0x20
        mov     cr4, rax
        DONE_SHOW rbx
        TRY     'swapgs'
        WRMSR   0xc0000101, 0x1111
        WRMSR   0xc0000102, 0x2222
        swapgs
        mov     ecx, 0xc0000101
        rdmsr
        mov     ebx, eax
        mov     ecx, 0xc0000102
        rdmsr
        DONE_SHOW rbx, rax
        TRY     'lar, lsl'
        mov     ecx, KCODE
        lar     eax, ecx
        lsl     ebx, ecx
        mov     ecx, 0x1000
        mov     edx, 7
        lar     edx, ecx
        DONE_SHOW rax, rbx, rdx
        TRY     'str, sldt, smsw'
        str     eax
        sldt    ebx
        smsw    ecx
        DONE_SHOW rax, rbx, rcx
        TRY     'lmsw cannot leave protected mode'
        xor     eax, eax
        lmsw    ax
        smsw    eax
        mov     ebx, eax
        mov     eax, 0x33
        lmsw    ax
        and     ebx, 15
        DONE_SHOW rbx
        TRY     'retf to privilege 3 takes away the kernel data segments'
        mov     eax, KDATA
        mov     ds, eax
        push    UDATA
        mov     eax, USTACK
        push    rax
        push    UCODE
        mov     eax, USER(u_show_ds)
        push    rax
        o64 retf
        DONE_SHOW [saved.rax]
        TRY     'IOPL 3 opens ports and cli'
        push    UDATA
        mov     eax, USTACK
        push    rax
        push    0x3002
        push    UCODE
        mov     eax, USER(u_iopl)
        push    rax
        iretq
        DONE
        jmp     finish

; The frame of SYSCALL: rip in rcx, flags in r11.
system_call:
        mov     rbx, r11
        mov     rdx, rsp
        mov     ebp, ss
        mov     edi, cs
        o64 sysret

u_popf: push    0x3202
        popfq
        pushfq
        pop     rax
        and     eax, 0x3200
        int     0x40
u_null_ss:
        xor     eax, eax
        mov     ss, eax
u_null_ds:
        xor     eax, eax
        mov     ds, eax
        int     0x40
u_kernel_ds:
        mov     eax, KDATA
        mov     ds, eax
u_kernel_ss:
        mov     eax, KDATA
        mov     ss, eax
u_user_es:
        mov     eax, UDATA
        mov     es, eax
        int     0x40
u_far_kernel:
        push    KCODE
        push    0
        jmp     far dword [rsp + 4]
u_far_conforming:
        mov     dword [rsp - 16], USER(.there)
        mov     dword [rsp - 12], CONFORM
        jmp     far dword [rsp - 16]
.there: mov     eax, cs
        int     0x40
u_retf_kernel:
        push    KCODE
        push    0
        o64 retf
u_iret_kernel:
        push    KDATA
        push    rsp
        push    2
        push    KCODE
        push    0
        iretq
u_iret_flags:
        push    UDATA
        mov     eax, USTACK
        push    rax
        push    0x3202
        push    UCODE
        mov     eax, USER(.there)
        push    rax
        iretq
.there: int     0x40
u_gate: mov     dword [rsp - 12], GATE
        call    far dword [rsp - 16]
        int     0x40
u_gate_jump:
        mov     dword [rsp - 12], GATE
        jmp     far dword [rsp - 16]
u_lar:  mov     ecx, KDATA
        mov     eax, 5
        lar     eax, ecx
        jz      .yes
        int     0x40
.yes:   ud2
u_verify:
        mov     ecx, UDATA
        verr    cx
        jnz     .no
        verw    cx
        jnz     .no
        mov     ecx, UCODE
        verw    cx
        jz      .no
        mov     ecx, KDATA
        verr    cx
        jz      .no
        int     0x40
.no:    ud2
u_syscall:
        syscall
        int     0x40
u_fault:
        sub     rsp, 40
        xor     ecx, ecx
        div     ecx
u_sgdt: sgdt    [rsp - 16]
        int     0x40
u_rdtsc: rdtsc
        int     0x40
u_show_ds:
        mov     eax, ds
        int     0x40
u_iopl: cli
        in      al, 0x60
        int     0x40
