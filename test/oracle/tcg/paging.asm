; Page faults and their error codes, accessed and dirty bits, and what keeps the TLB true.
%include "prelude.inc"
EFER    equ     0xc0000080

; What stands in the low 12 bits, and bit 63, of page n's entry.
%macro  BITS_OF 1
        mov     rax, [PAGES + (%1) * 8]
        mov     rbx, rax
        and     eax, 0xfff
        shr     rbx, 63
        shl     rbx, 12
        or      rax, rbx
%endmacro

%macro  SET_CR4 1               ; the whole register
        mov     eax, %1
        mov     cr4, rax
%endmacro

; Let privilege 3 run `mov rax, [rcx]`, `mov [rcx], rax` or `jmp rcx` with rcx from rdi.
%macro  USER_TRY 3              ; name, label, address
        TRY     %1
        mov     edi, %3
        ENTER_USER %2
        DONE
%endmacro

tests:
        TRY     'a read of no page'
        mov     eax, [WINDOW + 0x5123]
        DONE
        TRY     'a write to no page'
        mov     [WINDOW + 0x5123], eax
        DONE
        TRY     'a read-modify-write of no page'
        inc     dword [WINDOW + 0x5123]
        DONE
        TRY     'a jump to no page'
        mov     eax, WINDOW + 0x5123
        jmp     rax
        DONE
        TRY     'a reserved bit'
        mov     eax, [WINDOW + 0x6000]
        DONE
        TRY     'a reserved bit, write'
        mov     [WINDOW + 0x6000], eax
        DONE
        TRY     'a write to a read-only page'
        mov     [WINDOW + 0x2000], eax
        DONE
        TRY     'cmpxchg that fails writes all the same'
        mov     eax, 1
        lock cmpxchg [WINDOW + 0x2000], ecx
        DONE
        TRY     'bt only reads, bts writes'
        bt      dword [WINDOW + 0x2000], 3
        bts     dword [WINDOW + 0x2000], 3
        DONE
        TRY     'a push to a read-only page'
        mov     rsp, WINDOW + 0x2800
        push    rax
        DONE
        TRY     'a shift by 0 of a read-only page'
        shl     dword [WINDOW + 0x2000], cl
        DONE
        TRY     'CR0.WP off: the supervisor writes'
        mov     rax, cr0
        btr     eax, 16
        mov     cr0, rax
        mov     dword [WINDOW + 0x2000], 7
        bts     eax, 16
        mov     cr0, rax
        mov     ebx, [WINDOW + 0x2000]
        DONE_SHOW rbx
        TRY     'and no longer'
        mov     dword [WINDOW + 0x2000], 8
        DONE
        TRY     'a fetch from an NX page'
        mov     eax, WINDOW + 0x4000
        jmp     rax
        DONE
        TRY     'EFER.NXE off: bit 63 is reserved'
        WRMSR   EFER, 0x101
        mov     rax, cr3
        mov     cr3, rax
        mov     eax, [WINDOW + 0x4000]
        DONE
        WRMSR   EFER, 0x901
        mov     rax, cr3
        mov     cr3, rax
        TRY     'an access across two pages: the second is not there'
        mov     rax, [WINDOW + 0x4ffc]
        DONE
        TRY     'a write across two pages changes nothing'
        mov     dword [WINDOW + 0x4ffc], 0x55
        mov     rcx, -1
        mov     [WINDOW + 0x4ffc], rcx
        DONE_SHOW [WINDOW + 0x4ff8]
        TRY     'a push across two pages, the lower read-only'
        PTE     10, P
        PTE     11, P | W
        mov     rsp, WINDOW + 0xb004
        push    rax
        DONE
        TRY     'xchg to a read-only page leaves the register'
        mov     eax, 5
        xchg    eax, [WINDOW + 0x2000]
        DONE_SHOW [saved.rax]
        TRY     'pop to a page that is not there leaves rsp'
        push    5
        pop     qword [WINDOW + 0x5000]
        DONE

        ; Accessed and dirty bits.
        TRY     'nothing is set at first'
        PTE     0, P | W
        BITS_OF 0
        DONE_SHOW rax
        TRY     'a read sets A'
        PTE     0, P | W
        mov     eax, [WINDOW]
        BITS_OF 0
        DONE_SHOW rax
        TRY     'a write sets A and D'
        PTE     0, P | W
        mov     [WINDOW], eax
        BITS_OF 0
        DONE_SHOW rax
        TRY     'a read, then a write'
        PTE     0, P | W
        mov     eax, [WINDOW]
        mov     [WINDOW], eax
        BITS_OF 0
        DONE_SHOW rax
        TRY     'a write that faults sets no D'
        PTE     2, P
        mov     [WINDOW + 0x2000], eax
        DONE
        TRY     'as its entry shows'
        BITS_OF 2
        and     eax, D
        DONE_SHOW rax
        TRY     'A in the tables above'
        mov     eax, [PD_OF_WINDOW]
        and     eax, A
        mov     rcx, cr3
        mov     ecx, [rcx]
        and     ecx, A
        DONE_SHOW rax, rcx
        TRY     'a large page has its own D'
        mov     qword [PD_OF_WINDOW + 8], 0x400000 | P | W | 0x80
        mov     rax, cr3
        mov     cr3, rax
        mov     eax, [WINDOW + 0x200000]
        mov     rbx, [PD_OF_WINDOW + 8]
        mov     [WINDOW + 0x3ffff8], eax
        mov     rax, [PD_OF_WINDOW + 8]
        DONE_SHOW rbx, rax
        TRY     'a large page at no multiple of its size'
        mov     qword [PD_OF_WINDOW + 16], 0x402000 | P | W | 0x80
        mov     eax, [WINDOW + 0x400000]
        DONE
        TRY     'the same page at two addresses'
        PTE     0, P | W
        mov     rax, FRAMES | P | W
        mov     [PAGES + 12 * 8], rax
        mov     dword [WINDOW + 0x10], 0x1234
        mov     ebx, [WINDOW + 0xc010]
        DONE_SHOW rbx

        ; Translations that were known.
        TRY     'a new entry where there was none needs no invalidation'
        mov     rax, (FRAMES + 0xd000) | P | W
        mov     [PAGES + 13 * 8], rax
        mov     dword [WINDOW + 0xd000], 3
        mov     ebx, [FRAMES + 0xd000]
        DONE_SHOW rbx
        TRY     'invlpg after a change'
        mov     dword [FRAMES + 0xd000], 0xd
        mov     dword [FRAMES], 0xa
        mov     ecx, [WINDOW + 0xd000]
        mov     rax, FRAMES | P | W
        mov     [PAGES + 13 * 8], rax
        invlpg  [WINDOW + 0xd123]
        mov     ebx, [WINDOW + 0xd000]
        DONE_SHOW rcx, rbx
        TRY     'mov cr3 after a change'
        mov     rax, (FRAMES + 0xd000) | P | W
        mov     [PAGES + 13 * 8], rax
        mov     rax, cr3
        mov     cr3, rax
        mov     ebx, [WINDOW + 0xd000]
        DONE_SHOW rbx
        TRY     'a global page goes with CR4.PGE'
        SET_CR4 0xa0
        mov     rax, (FRAMES + 0xd000) | P | W | 0x100
        mov     [PAGES + 13 * 8], rax
        invlpg  [WINDOW + 0xd000]
        mov     ecx, [WINDOW + 0xd000]
        mov     rax, FRAMES | P | W
        mov     [PAGES + 13 * 8], rax
        SET_CR4 0x20
        mov     ebx, [WINDOW + 0xd000]
        DONE_SHOW rcx, rbx
        TRY     'a page made read-only, then invlpg'
        mov     dword [WINDOW + 0xd000], 1
        and     qword [PAGES + 13 * 8], ~W
        invlpg  [WINDOW + 0xd000]
        mov     dword [WINDOW + 0xd000], 2
        DONE

        ; Privilege 3.
        USER_TRY 'user: a supervisor page, read', u_read, WINDOW
        USER_TRY 'user: a supervisor page, write', u_write, WINDOW
        USER_TRY 'user: a supervisor page, fetch', u_jump, WINDOW
        USER_TRY 'user: a read-only page, write', u_write, WINDOW + 0x3000
        USER_TRY 'user: no page', u_read, WINDOW + 0x5000
        USER_TRY 'user: NX', u_jump, WINDOW + 0x4000
        USER_TRY 'user: a reserved bit', u_write, WINDOW + 0x6000
        USER_TRY 'user: its own page', u_write, WINDOW + 0x1000
        USER_TRY 'user: the lower supervisor table', u_read, 0x200000
        TRY     'CR0.WP off does not help privilege 3'
        mov     rax, cr0
        btr     eax, 16
        mov     cr0, rax
        mov     edi, WINDOW + 0x3000
        ENTER_USER u_write
        DONE

        ; SMEP and SMAP.
        TRY     'SMEP: the supervisor fetches from a user page'
        SET_CR4 0x100020
        mov     eax, USER(u_jump)
        jmp     rax
        DONE
        SET_CR4 0x20
        TRY     'without SMEP it may'
        mov     byte [WINDOW + 0x1000], 0xc3
        mov     eax, WINDOW + 0x1000
        call    rax
        DONE
        TRY     'SMAP: the supervisor reads a user page'
        SET_CR4 0x200020
        mov     eax, [WINDOW + 0x1000]
        DONE
        TRY     'SMAP: it writes one'
        mov     [WINDOW + 0x1000], eax
        DONE
        TRY     'SMAP: after stac it may, after clac not'
        stac
        mov     eax, [WINDOW + 0x1000]
        clac
        mov     eax, [WINDOW + 0x1000]
        DONE
        TRY     'SMAP: a supervisor page is no matter'
        mov     eax, [WINDOW]
        DONE
        SET_CR4 0x20
        TRY     'with EFER.NXE off and SMEP on a fetch still says so'
        WRMSR   EFER, 0x101
        SET_CR4 0x100020
        mov     qword [PAGES + 4 * 8], 0
        mov     eax, WINDOW + 0x5000
        jmp     rax
        DONE
        WRMSR   EFER, 0x901
        SET_CR4 0x20
        jmp     finish

u_read: mov     eax, [rdi]
        int     0x40
u_write: mov    [rdi], eax
        int     0x40
u_jump: jmp     rdi
