; COUNT times: WINDOW writes to COM1's scratch register, then a newline to COM1 and to the debug console. An image at 1 MiB for multiboot
; loaders, for the CPUs that stand beside gvm's; a write to isa-debug-exit ends it.
        bits    32
        org     0x100000
COM1    equ     0x3f8
SCRATCH equ     COM1 + 7
DEBUG   equ     0xe9
start:  jmp     boot
        align   4
header: dd      0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        dd      header, start, end, end, boot
boot:   mov     ebx, COUNT
window: mov     edx, SCRATCH
        mov     ecx, WINDOW
.write: mov     eax, ecx
        out     dx, al
        dec     ecx
        jnz     .write
        mov     edx, COM1
        mov     al, 10
        out     dx, al
        out     DEBUG, al
        dec     ebx
        jnz     window
        mov     edx, EXIT
        out     dx, al
        hlt
end:
