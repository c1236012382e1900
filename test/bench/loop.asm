; Adds, loads and stores, ROUNDS times: 8 instructions a round.
        bits    64
        mov     rcx, ROUNDS
        mov     rbx, 0x200000
        xor     eax, eax
.loop:  add     rax, rcx
        mov     rdx, [rbx + 8]
        add     rdx, rax
        mov     [rbx + 8], rdx
        add     esi, 3
        mov     [rbx + 16], esi
        dec     rcx
        jnz     .loop
        hlt
