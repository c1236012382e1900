; COUNT times WINDOW accesses, then a newline to COM1 and to the debug console. Of which KIND: OUT to COM1's scratch register or IN from it,
; STORE to a register in the memory of edu, which is PCI device 4, or LOAD from it. An image at 1 MiB for multiboot loaders, for the CPUs
; that stand beside gvm's; a write to isa-debug-exit ends it.
        bits    32
        org     0x100000
COM1    equ     0x3f8
SCRATCH equ     COM1 + 7
DEBUG   equ     0xe9
ADDRESS equ     0xcf8                   ; of PCI's configuration space,
DATA    equ     0xcfc
BAR0    equ     0x80002010              ; and of the device's first BAR in it
LIVENESS equ    4                       ; edu's register that does nothing
start:  jmp     boot
        align   4
header: dd      0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        dd      header, start, end, end, boot
boot:   mov     ebx, COUNT
%ifidn KIND, STORE
        call    find
%elifidn KIND, LOAD
        call    find
%endif
window: mov     edx, SCRATCH
        mov     ecx, WINDOW
.access:
%ifidn KIND, OUT
        mov     eax, ecx
        out     dx, al
%elifidn KIND, IN
        in      al, dx
%elifidn KIND, STORE
        mov     [esi], ecx
%elifidn KIND, LOAD
        mov     eax, [esi]
%endif
        dec     ecx
        jnz     .access
        mov     edx, COM1
        mov     al, 10
        out     dx, al
        out     DEBUG, al
        dec     ebx
        jnz     window
        mov     edx, EXIT
        out     dx, al
        hlt
; ESI is the liveness register of edu.
find:   mov     edx, ADDRESS
        mov     eax, BAR0
        out     dx, eax
        mov     edx, DATA
        in      eax, dx
        lea     esi, [eax + LIVENESS]
        ret
end:
