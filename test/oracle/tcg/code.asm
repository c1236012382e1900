; Code that changes, code at the end of the world, and instructions with an order of their own.
%include "prelude.inc"
NEXT    equ     10              ; not mapped
tests:
        TRY     'the next instruction'
        mov     byte [.next + 1], 7
.next:  mov     al, 1
        DONE_SHOW rax
        TRY     'its own later bytes, in a loop'
        mov     ecx, 3
        xor     ebx, ebx
.loop:  add     ebx, 1
        inc     byte [.loop + 2]
        dec     ecx
        jnz     .loop
        DONE_SHOW rbx
        TRY     'by another address'
        mov     eax, USER(.alias)
        mov     byte [rax + 1], 9
.alias: mov     al, 1
        DONE_SHOW rax
        TRY     'code of another page, called before and after'
        mov     dword [WINDOW + 0x9000], 0xc301b0
        mov     eax, WINDOW + 0x9000
        call    rax
        mov     ebx, eax
        mov     byte [WINDOW + 0x9001], 2
        mov     eax, WINDOW + 0x9000
        call    rax
        mov     bl, al
        DONE_SHOW rbx
        TRY     'by rep stosb over it'
        mov     edi, WINDOW + 0x9000
        mov     ecx, 16
        mov     al, 0x90
        rep stosb
        mov     byte [rdi], 0xc3
        mov     eax, WINDOW + 0x9000
        call    rax
        DONE
        TRY     'an instruction across two pages'
        PTE     10, P | W
        mov     dword [WINDOW + 0x9ffe], 0x1122b8
        mov     dword [WINDOW + 0xa001], 0xc30000
        mov     byte [WINDOW + 0x9ffe], 0xb8
        mov     eax, WINDOW + 0x9ffe
        call    rax
        mov     ebx, eax
        mov     byte [WINDOW + 0xa000], 0x33
        mov     eax, WINDOW + 0x9ffe
        call    rax
        DONE_SHOW rbx, rax
        TRY     'the second page is not there: cr2 is its, rip that of the instruction'
        mov     qword [PAGES + 10 * 8], 0
        invlpg  [WINDOW + 0xa000]
        mov     eax, WINDOW + 0x9ffe
        call    rax
        DONE
        TRY     'the last bytes before a missing page'
        mov     word [WINDOW + 0x9ffe], 0xc3f8
        mov     eax, WINDOW + 0x9ffe
        call    rax
        DONE
        TRY     'falling into a missing page'
        mov     word [WINDOW + 0x9ffe], 0x9090
        mov     eax, WINDOW + 0x9ffe
        jmp     rax
        DONE
        TRY     'undefined before the page ends'
        mov     word [WINDOW + 0x9ffe], 0x0b0f
        mov     eax, WINDOW + 0x9ffe
        jmp     rax
        DONE
        TRY     'rep movsb faults in the middle'
        mov     esi, WINDOW
        mov     edi, WINDOW + 0x9ff0
        mov     ecx, 64
        rep movsb
        DONE_SHOW [saved.rcx], [saved.rsi], [saved.rdi]
        TRY     'rep movsq, downwards, to a read-only page'
        std
        PTE     2, P
        mov     esi, WINDOW + 0x100
        mov     edi, WINDOW + 0x3010
        mov     rax, (FRAMES + 0x3000) | P | W
        mov     [PAGES + 3 * 8], rax
        invlpg  [WINDOW + 0x3000]
        mov     ecx, 64
        rep movsq
        DONE_SHOW [saved.rcx], [saved.rsi], [saved.rdi]
        cld
        TRY     'rep scasb to a missing page'
        mov     edi, WINDOW + 0x9ff8
        mov     ecx, 100
        mov     al, 0x77
        repne scasb
        DONE_SHOW [saved.rcx], [saved.rdi]
        TRY     'rep with rcx 0 touches nothing'
        xor     ecx, ecx
        mov     edi, WINDOW + 0xa000
        rep stosb
        DONE
        TRY     'rep insb, outsb of nothing'
        xor     ecx, ecx
        mov     edx, 0x80
        rep insb
        rep outsb
        DONE
        TRY     'a32 rep stosb wraps nothing above'
        mov     rdi, 0x1234567800000000 | WINDOW
        mov     rcx, 0x7700000002
        mov     al, 0x5a
        a32 rep stosb
        DONE_SHOW rdi, rcx
        TRY     'enter 31'
        mov     rbp, rsp
        mov     rbx, rsp
        enter   8, 31
        sub     rbx, rsp
        leave
        DONE_SHOW rbx
        TRY     'push rsp, pop rsp'
        mov     rbx, rsp
        push    rsp
        mov     rax, [rsp]
        sub     rax, rbx
        pop     rsp
        sub     rbx, rsp
        DONE_SHOW rax, rbx
        TRY     'pop [rsp]'
        push    0x55
        push    0x66
        pop     qword [rsp]
        pop     rbx
        DONE_SHOW rbx
        TRY     'bt far below its operand'
        mov     dword [WINDOW + 0x100], 0x80000000
        mov     eax, WINDOW + 0x200
        mov     ecx, -0x100 * 8 + 31
        bt      [rax], ecx
        setc    bl
        movzx   ebx, bl
        movsxd  rcx, ecx
        btr     [rax], rcx
        DONE_SHOW rbx, [WINDOW + 0x100]
        TRY     'bts far below, with 64 bits'
        mov     eax, WINDOW + 0x200
        mov     rcx, -0x800
        bts     [rax], rcx
        DONE_SHOW [WINDOW + 0x100]
        TRY     'cmpxchg16b wants alignment'
        cmpxchg16b [WINDOW + 8]
        DONE
        TRY     'cmpxchg16b'
        mov     qword [WINDOW], 1
        mov     qword [WINDOW + 8], 2
        mov     eax, 1
        mov     edx, 2
        mov     ebx, 3
        mov     ecx, 4
        lock cmpxchg16b [WINDOW]
        setz    al
        movzx   eax, al
        DONE_SHOW rax, [WINDOW], [WINDOW + 8]
        TRY     'xadd with itself'
        mov     ebx, 5
        xadd    ebx, ebx
        DONE_SHOW rbx
        TRY     'xchg by byte registers of one'
        mov     eax, 0x1234
        xchg    al, ah
        DONE_SHOW rax
        TRY     'mul into its operand'
        mov     eax, 0x10000
        mul     eax
        DONE_SHOW rax, rdx
        TRY     'movs with a segment base'
        WRMSR   0xc0000100, WINDOW
        mov     dword [WINDOW + 0x300], 0xabcd
        mov     eax, [fs:0x300]
        mov     ebx, [gs:WINDOW + 0x300]
        DONE_SHOW rax, rbx
        TRY     'shld by more than the width'
        mov     eax, 0x1234
        mov     ebx, 0xabcd
        shld    eax, ebx, 36
        DONE_SHOW rax
        TRY     'rcl by nine of a byte'
        stc
        mov     al, 0x81
        rcl     al, 9
        DONE_SHOW rax
        TRY     'loop with a 32-bit count'
        mov     rcx, 0x100000002
        xor     ebx, ebx
.again: inc     ebx
        a32 loop .again
        DONE_SHOW rbx, rcx
        TRY     'movsxd, movzx, cdqe'
        mov     eax, 0x80000000
        movsxd  rbx, eax
        cdqe
        DONE_SHOW rbx, rax
        TRY     'bsf of zero leaves the register'
        mov     ebx, 0x77
        xor     eax, eax
        bsf     rbx, rax
        DONE_SHOW rbx
        jmp     finish
