; Exceptions that instructions raise in privilege 0, their error codes and what is pushed.
%include "prelude.inc"
tests:
        TRY     'div by zero'
        div     ecx
        DONE
        TRY     'div overflow'
        mov     edx, 5
        mov     ecx, 5
        div     ecx
        DONE
        TRY     'idiv of the least by -1'
        mov     rdx, -1
        mov     rax, 1 << 63
        xor     edx, edx
        dec     rdx
        mov     rcx, -1
        idiv    rcx
        DONE
        TRY     'int3'
        int3
        DONE
        TRY     'int 3'
        int     3
        DONE
        TRY     'int 0x40'
        int     0x40
        DONE
        TRY     'ud2'
        ud2
        DONE
        TRY     'lock on a register'
        db      0xf0
        db      0x01, 0xc1
        DONE
        TRY     'lock on mov'
        db      0xf0, 0x89, 0x04, 0x24
        DONE
        TRY     'lock on cmp'
        db      0xf0, 0x39, 0x04, 0x24
        DONE
        TRY     'lock on bt'
        db      0xf0, 0x0f, 0xa3, 0x04, 0x24
        DONE
        TRY     'lock inc is none'
        push    41
        lock inc qword [rsp]
        pop     rbx
        DONE_SHOW rbx
        TRY     'fifteen bytes'
        times   10 db 0x2e
        db      0x48, 0xc7, 0xc3, 7, 0
        db      0, 0
        DONE
        TRY     'fifteen bytes, whole'
        times   14 db 0x2e
        nop
        DONE
        TRY     'sixteen bytes'
        times   15 db 0x2e
        nop
        DONE
        TRY     'mov to cs'
        db      0x8e, 0xc8
        DONE
        TRY     'lea of a register'
        db      0x8d, 0xc0
        DONE
        TRY     'push es'
        db      0x06
        DONE
        TRY     'into'
        db      0xce
        DONE
        TRY     'aaa'
        db      0x37
        DONE
        TRY     'mov cr1'
        db      0x0f, 0x20, 0xc8
        DONE
        TRY     'non-canonical load'
        mov     rcx, 0x800000000000
        mov     rax, [rcx]
        DONE
        TRY     'non-canonical load by rsp'
        mov     rbx, rsp
        mov     rsp, 0x800000000000
        mov     rax, [rsp]
        DONE
        TRY     'non-canonical load by rbp'
        mov     rbp, 0x8000000000000000
        mov     rax, [rbp]
        DONE
        TRY     'non-canonical jmp'
        mov     rcx, 0x800000000000
        jmp     rcx
        DONE
        TRY     'non-canonical call pushes nothing'
        mov     rcx, 0x800000000000
        call    rcx
        DONE
        TRY     'non-canonical ret'
        mov     rcx, 0x800000000000
        push    rcx
        ret
        DONE
        TRY     'null selector into ds'
        mov     ds, eax
        DONE
        TRY     'null selector into ss, privilege 0'
        mov     ss, eax
        DONE
        TRY     'null selector into ss, rpl 3'
        mov     eax, 3
        mov     ss, eax
        DONE
        TRY     'absent data into ds'
        mov     eax, ADATA
        mov     ds, eax
        DONE
        TRY     'absent data into ss'
        mov     eax, ADATA
        mov     ss, eax
        DONE
        TRY     'code into ss'
        mov     eax, KCODE
        mov     ss, eax
        DONE
        TRY     'read-only data into ss'
        mov     eax, READONLY
        mov     ss, eax
        DONE
        TRY     'user data into ss'
        mov     eax, UDATA
        mov     ss, eax
        DONE
        TRY     'selector beyond the table'
        mov     eax, 0x1000
        mov     ds, eax
        DONE
        TRY     'selector in an LDT that is not there'
        mov     eax, 0x14
        mov     es, eax
        DONE
        TRY     'a TSS into ds'
        mov     eax, TSS2
        mov     ds, eax
        DONE
        TRY     'lss, and the register'
        mov     rcx, rsp
        lss     eax, [.far]
        mov     edx, ss
        jmp     .loaded
.far:   dd      0x12345678
        dw      KDATA
.loaded:
        DONE_SHOW rax, rdx
        TRY     'lss of user data leaves the register'
        lss     eax, [.user_data]
.user_data:
        dd      0x12345678
        dw      UDATA
        DONE_SHOW rax
        TRY     'sgdt over what follows'
        mov     eax, FRAMES             ; the base's bytes add to and from [rax]
        mov     qword [rax], 0
        mov     qword [rax + 8], 0
        mov     word [.table], 0x07b0
        lgdt    [.table]
        jmp     .store
.table: dw      0
        dq      GDT
        align   4
.store: sgdt    [.after]
.after: nop
        nop
        jmp     .stored
        nop
        nop
        nop
        nop
        nop
        nop
.stored:
        mov     word [.table], LAST - 1
        lgdt    [.table]
        movzx   eax, al
        DONE_SHOW rax
        TRY     'mov cr0: bits that are not there'
        mov     rax, cr0
        mov     rcx, rax
        or      eax, 0x2ffc0
        mov     cr0, rax
        mov     rdx, cr0
        mov     cr0, rcx
        DONE_SHOW rdx
        TRY     'ltr of a busy TSS'
        mov     eax, TSS2
        ltr     ax
        DONE
        TRY     'ltr of data'
        mov     eax, KDATA
        ltr     ax
        DONE
        TRY     'lldt of data'
        mov     eax, KDATA
        lldt    ax
        DONE
        TRY     'lldt, and a selector in it'
        mov     eax, LOCAL
        lldt    ax
        mov     eax, KDATA | 4
        mov     es, eax
        mov     eax, es
        xor     ecx, ecx
        lldt    cx
        DONE_SHOW rax
        TRY     'jmp far to absent code'
        jmp     far dword [.absent]
.absent: dd     0
        dw      ABSENT
        DONE
        TRY     'jmp far to data'
        jmp     far dword [.data]
.data:  dd      0
        dw      KDATA
        DONE
        TRY     'jmp far to null'
        jmp     far dword [.null]
.null:  dd      0
        dw      0
        DONE
        TRY     'jmp far to privilege 3'
        jmp     far dword [.user]
.user:  dd      0
        dw      UCODE
        DONE
        TRY     'jmp far to conforming code'
        jmp     far dword [.conforming]
.conforming:
        dd      .there
        dw      CONFORM
.there: mov     eax, cs
        push    KCODE
        lea     rcx, [.back]
        push    rcx
        o64 retf
.back:
        DONE_SHOW rax
        TRY     'call far and retf'
        mov     rbx, rsp
        call    far dword [.target]
        sub     rbx, rsp
        jmp     .over
.target: dd     .callee
        dw      KCODE
.callee: mov    rax, [rsp]
        mov     edx, 0
        o32 retf
.over:
        DONE_SHOW rbx, rdx
        TRY     'retf to a null selector'
        push    0
        push    0
        o64 retf
        DONE
        TRY     'iretq to null'
        push    0
        push    rsp
        push    2
        push    0
        push    0
        iretq
        DONE
        TRY     'iretq with NT'
        push    0x4002
        popfq
        iretq
        DONE
        TRY     'iretq, non-canonical'
        push    KDATA
        push    rsp
        push    2
        push    KCODE
        mov     rcx, 0x800000000000
        push    rcx
        iretq
        DONE
        TRY     'wrmsr of LSTAR, non-canonical'
        WRMSR   0xc0000082, 0x800000000000
        DONE
        TRY     'mov cr0: NW without CD'
        mov     eax, 0xa0010033
        mov     cr0, rax
        DONE
        TRY     'mov cr0: an upper bit'
        mov     rax, 0x180010033
        mov     cr0, rax
        DONE
        TRY     'mov cr8: more than four bits'
        mov     eax, 16
        mov     cr8, rax
        DONE
        TRY     'mov dr7: an upper bit'
        mov     rax, 1 << 32
        mov     dr7, rax
        DONE
        TRY     'a gate that is absent'
        GATE_OF 0x42, stubs + 0x420, 0x0e00
        int     0x42
        DONE
        TRY     'a gate of another type'
        GATE_OF 0x42, stubs + 0x420, 0x8c00
        int     0x42
        DONE
        TRY     'a gate that leads to data'
        GATE_OF 0x42, stubs + 0x420, 0x8e00
        mov     word [IDT + 0x42 * 16 + 2], KDATA
        int     0x42
        DONE
        TRY     'a gate to a null selector'
        mov     word [IDT + 0x42 * 16 + 2], 0
        int     0x42
        DONE
        TRY     'a gate to absent code'
        mov     word [IDT + 0x42 * 16 + 2], ABSENT
        int     0x42
        DONE
        TRY     'beyond the limit of the IDT'
        lidt    [.short]
        int     0x42
.short: dw      0x400
        dq      IDT
        DONE
        lidt    [idtr]
        TRY     'an error while an exception is delivered: #NP'
        mov     byte [IDT + 6 * 16 + 5], 0x0e
        ud2
        DONE
        mov     byte [IDT + 6 * 16 + 5], 0x8e
        TRY     'double fault: two contributory ones'
        mov     byte [IDT + 0 * 16 + 5], 0x0e
        div     ecx
        DONE
        mov     byte [IDT + 0 * 16 + 5], 0x8e
        TRY     'double fault: no stack for a page fault'
        mov     rsp, WINDOW + 0x5800
        push    rax
        DONE
        TRY     'double fault: CR2 is of the second page fault'
        mov     rsp, WINDOW + 0x5800
        mov     al, [WINDOW + 0x6123]
        DONE
        mov     rax, cr2
        call    show
        call    newline
        TRY     'x87 with CR0.EM'
        mov     rax, cr0
        or      eax, 4
        mov     cr0, rax
        db      0xd9, 0xe8
        DONE
        TRY     'SSE with CR0.EM'
        db      0x0f, 0x28, 0xc1
        DONE
        TRY     'x87 with CR0.TS'
        mov     eax, 0x8001003b
        mov     cr0, rax
        db      0xd9, 0xe8
        DONE
        TRY     'wait with CR0.MP and TS'
        db      0x9b
        DONE
        TRY     'clts'
        clts
        mov     rax, cr0
        DONE_SHOW rax
        jmp     finish

