; The trap flag, breakpoints and the debug registers.
%include "prelude.inc"

; Go on after each #DB, at most `steps` times.
go_on:  xor     eax, eax
        cmp     qword [rsp + 8], 1
        jne     .end
        dec     dword [steps]
        js      .end
        mov     eax, 1
.end:   ret

; The same with RF in the frame, as a handler of instruction breakpoints does.
resume: call    .count
        test    eax, eax
        jz      .end
        or      dword [rsp + 8 + 32], 0x10000
.end:   ret
.count: xor     eax, eax
        cmp     qword [rsp + 16], 1
        jne     .no
        dec     dword [steps]
        js      .no
        mov     eax, 1
.no:    ret
        align   8
steps:  dq      0

%macro  STEPS 1
        mov     qword [hook], go_on
        mov     dword [steps], %1
%endmacro
%macro  RESUMES 1
        mov     qword [hook], resume
        mov     dword [steps], %1
%endmacro
%macro  NO_STEPS 0
        mov     qword [hook], 0
        xor     eax, eax
        mov     dr7, rax
%endmacro
%macro  BREAK 3                 ; register, address, bits of DR7
        mov     rax, %2
        mov     dr%1, rax
        mov     eax, %3
        mov     dr7, rax
%endmacro

tests:
        STEPS   8
        TRY     'single steps'
        push    0x102
        popfq
        nop
        inc     ecx
        push    2
        popfq
        nop
        DONE
        STEPS   8
        TRY     'not between mov ss and what follows'
        mov     ebx, ss
        push    0x102
        popfq
        nop
        mov     ss, ebx
        nop
        nop
        push    2
        popfq
        DONE
        STEPS   8
        TRY     'each element of rep stosb'
        mov     ecx, 3
        mov     edi, WINDOW
        push    0x102
        popfq
        rep stosb
        push    2
        popfq
        DONE_SHOW rcx
        STEPS   8
        TRY     'pushf shows the trap flag'
        push    0x102
        popfq
        pushfq
        pop     rbx
        push    2
        popfq
        and     ebx, 0x100
        DONE_SHOW rbx
        STEPS   4
        TRY     'iretq that sets TF: one instruction later'
        push    KDATA
        lea     rax, [rsp + 8]
        push    rax
        push    0x102
        push    KCODE
        lea     rax, [%$there]
        push    rax
        iretq
%$there: nop
        push    2
        popfq
        DONE
        NO_STEPS
        TRY     'TF and a fault: the fault comes alone'
        push    0x102
        popfq
        ud2
        DONE
        TRY     'int3 under TF'
        push    0x102
        popfq
        int3
        DONE
        RESUMES 1
        TRY     'an instruction breakpoint'
        BREAK   0, %$here, 1
        nop
%$here:  inc     ebx
        nop
        DONE
        NO_STEPS
        RESUMES 2
        TRY     'two at one place'
        mov     rax, %$here
        mov     dr1, rax
        BREAK   0, %$here, 5
%$here:  nop
        DONE
        NO_STEPS
        STEPS   4
        TRY     'a write to four bytes'
        BREAK   0, WINDOW + 0x20, 0xd0001
        mov     eax, [WINDOW + 0x20]
        mov     [WINDOW + 0x1c], eax
        mov     [WINDOW + 0x23], al
        nop
        DONE
        NO_STEPS
        STEPS   4
        TRY     'a read or write of eight bytes'
        BREAK   2, WINDOW + 0x40, 0x0b000010
        mov     eax, [WINDOW + 0x47]
        mov     [WINDOW + 0x3e], ax
        mov     [WINDOW + 0x3e], eax
        nop
        DONE
        NO_STEPS
        STEPS   4
        TRY     'a push that hits'
        lea     rcx, [rsp - 8]
        mov     dr3, rcx
        mov     eax, 0xd0000040 | 0x90000000
        mov     dr7, rax
        push    rax
        nop
        xor     eax, eax
        mov     dr7, rax
        DONE
        NO_STEPS
        STEPS   6
        TRY     'rep movsb: the element that hits'
        BREAK   0, WINDOW + 0x82, 0x10001
        mov     esi, WINDOW
        mov     edi, WINDOW + 0x80
        mov     ecx, 5
        rep movsb
        DONE_SHOW rcx
        NO_STEPS
        TRY     'general detect'
        mov     eax, 0x2000
        mov     dr7, rax
        mov     rax, dr0
        DONE
        mov     rax, dr7
        TRY     'DR7 afterwards'
        mov     rax, dr7
        DONE_SHOW rax
        TRY     'DR4 is DR6, without CR4.DE'
        mov     rax, dr4
        mov     rcx, dr5
        DONE_SHOW rax, rcx
        TRY     'with CR4.DE it is none'
        mov     eax, 0x28
        mov     cr4, rax
        mov     rax, dr4
        DONE
        mov     eax, 0x20
        mov     cr4, rax
        TRY     'fixed bits'
        xor     eax, eax
        mov     dr6, rax
        mov     dr7, rax
        mov     rax, dr6
        mov     rcx, dr7
        DONE_SHOW rax, rcx
        TRY     'int1'
        db      0xf1
        DONE
        TRY     'syscall under TF, masked'
        WRMSR   0xc0000081, 0x0020001000000000
        lea     rax, [.entry]
        mov     rdx, rax
        shr     rdx, 32
        mov     ecx, 0xc0000082
        wrmsr
        WRMSR   0xc0000084, 0x100
        push    UDATA
        mov     eax, USTACK
        push    rax
        push    0x102
        push    UCODE
        mov     rax, USER(.user)
        push    rax
        iretq
.user:  syscall
        ud2
.entry: mov     rsp, [stack]
        and     r11d, 0x100
        DONE_SHOW r11
        TRY     'sysret that restores TF traps before the next instruction'
        WRMSR   0xc0000081, 0x0020001000000000
        mov     rcx, USER(.back)
        mov     r11d, 0x102
        mov     rsp, USTACK
        o64 sysret
.back:  nop
        nop
        ud2
        DONE
        jmp     finish
