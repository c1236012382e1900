; Faults in the middle of instructions: what is left as it was, so that the instruction can be begun again.
%include "prelude.inc"

EDGE    equ     WINDOW + 0x5000 ; where no page is; the one before it may be written
BEFORE  equ     EDGE - 64

tests:
        mov     byte [IDT + 14 * 16 + 4], 1     ; page faults of the stack arrive too
        mov     edi, BEFORE
        mov     ecx, 64
        mov     al, 0x11
        rep stosb

        TRY     'movsq into the edge writes no part'
        mov     esi, WINDOW
        mov     edi, EDGE - 4
        movsq
        DONE_SHOW [saved.rsi], [saved.rdi], [EDGE - 8]
        TRY     'rep movsq stops at the element'
        mov     ecx, 5
        mov     esi, WINDOW
        mov     edi, EDGE - 20
        rep movsq
        DONE_SHOW [saved.rcx], [saved.rsi], [saved.rdi], [EDGE - 8]
        TRY     'rep movsw from the edge'
        mov     ecx, 9
        mov     esi, EDGE - 5
        mov     edi, WINDOW
        rep movsw
        DONE_SHOW [saved.rcx], [saved.rsi], [saved.rdi]
        TRY     'rep stosd downwards, into a read-only page'
        std
        mov     ecx, 4
        mov     edi, WINDOW + 0x4004
        rep stosd
        DONE_SHOW [saved.rcx], [saved.rdi]
        cld
        TRY     'repe cmpsb at the edge of both'
        mov     ecx, 99
        mov     esi, EDGE - 3
        mov     edi, EDGE - 2
        repe cmpsb
        DONE_SHOW [saved.rcx], [saved.rsi], [saved.rdi]
        TRY     'repne scasb up to the edge'
        mov     ecx, 99
        mov     edi, EDGE - 3
        mov     al, 0x77
        repne scasb
        DONE_SHOW [saved.rcx], [saved.rdi]
        TRY     'rep lodsd up to the edge'
        mov     ecx, 3
        mov     esi, EDGE - 8
        rep lodsd
        DONE_SHOW [saved.rax], [saved.rcx], [saved.rsi]
        TRY     'rep with a count of 0 touches nothing'
        mov     esi, EDGE
        mov     edi, EDGE
        rep movsb
        repe cmpsb
        DONE_SHOW rsi, rdi
        TRY     'add to memory across the edge: no flags, no bytes'
        mov     al, 0xff
        inc     al
        mov     eax, -1
        add     [EDGE - 2], eax
        DONE_SHOW [EDGE - 8]
        TRY     'xadd across the edge leaves the register'
        mov     eax, 5
        xadd    [EDGE - 3], eax
        DONE_SHOW [saved.rax]
        TRY     'cmpxchg8b of a read-only page'
        mov     eax, 1
        mov     edx, 2
        cmpxchg8b [WINDOW + 0x2000]
        DONE_SHOW [saved.rax], [saved.rdx]
        TRY     'cmpxchg16b off its boundary'
        cmpxchg16b [WINDOW + 8]
        DONE
        TRY     'push across the edge leaves rsp'
        mov     rsp, EDGE + 4
        push    rax
        DONE_SHOW [EDGE - 8]
        TRY     'push from the edge leaves rsp'
        push    qword [EDGE - 4]
        DONE
        TRY     'pop over the edge leaves rsp'
        mov     rsp, EDGE - 4
        pop     rax
        DONE
        TRY     'pop to memory of the new rsp'
        mov     rsp, EDGE - 8
        pop     qword [rsp]
        DONE
        TRY     'call that cannot push does not go'
        mov     rsp, EDGE + 8
        call    .never
.never: DONE
        TRY     'ret from no stack'
        mov     rsp, EDGE
        ret     16
        DONE
        TRY     'leave with rbp at the edge'
        push    rbp
        mov     ebp, EDGE - 4
        leave
        DONE_SHOW rbp
        TRY     'enter whose frame is no page'
        mov     rsp, EDGE + 8
        mov     ebp, 0x1234
        enter   16, 0
        DONE_SHOW rbp
        TRY     'enter whose room ends in no page'
        mov     rsp, WINDOW + 0x7010
        mov     ebp, 0x1234
        enter   0x2000, 0
        DONE_SHOW rbp
        TRY     'pushf to a read-only page, popf from no page'
        mov     rsp, WINDOW + 0x2800
        pushfq
        DONE
        TRY     'div of memory over the edge'
        mov     eax, 7
        div     dword [EDGE - 2]
        DONE_SHOW [saved.rax], [saved.rdx]
        TRY     'bts far away, where no page is'
        mov     eax, 8 * 0x1000
        bts     [EDGE - 8], eax
        DONE
        TRY     'lgdt across the edge keeps the table'
        lgdt    [EDGE - 2]
        DONE
        TRY     'sgdt across the edge writes no part'
        sgdt    [EDGE - 4]
        DONE_SHOW [EDGE - 8]
        TRY     'jmp far through a pointer at the edge'
        jmp     far dword [EDGE - 4]
        DONE
        TRY     'iretq from a frame over the edge'
        mov     rsp, EDGE - 16
        iretq
        DONE
        TRY     'an instruction that ends beyond the edge'
        mov     word [EDGE - 2], 0xc081
        mov     eax, PAGES
        and     dword [rax + 4 * 8 + 4], 0x7fffffff     ; no NX
        invlpg  [EDGE - 4096]
        mov     eax, EDGE - 2
        jmp     rax
        DONE
        TRY     'a prefix before it: rip is the prefix'
        mov     dword [EDGE - 4], 0xc0816666
        mov     eax, EDGE - 4
        jmp     rax
        DONE
        TRY     'fifteen bytes of prefixes'
        times 15 db 0x66
        nop
        DONE
        TRY     'fourteen, and what they belong to'
        times 14 db 0x66
        nop
        DONE
        jmp     finish
