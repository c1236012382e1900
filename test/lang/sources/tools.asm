; A program of the small-tools kind: system calls and control structures by macros, strings in place, number formatting.
%define SYS_write 1
%define SYS_exit 60
%imacro sys 1-7
 %ifnum %1
  %if %1 = 0
   xor eax, eax
  %else
   mov eax, %1
  %endif
 %else
  mov eax, SYS_%1
 %endif
 %assign %%n 1
 %if %0 > 1
  arg rdi, %2
 %endif
 %if %0 > 2
  arg rsi, %3
 %endif
 %if %0 > 3
  arg rdx, %4
 %endif
 syscall
%endmacro
%macro arg 2
 %ifidni %1, %2
 %elifid %2
  %ifdef %2
   mov %1, %2
  %else
   mov %1, %2
  %endif
 %elifstr %2
  jmp short %%over
  %%str: db %2
  %%len equ $ - %%str
  %%over:
  lea %1, [rel %%str]
 %elifempty %2
  xor %1, %1
 %else
  mov %1, %2
 %endif
%endmacro
%macro _cmp_jump 4
 cmp %1, %3
 j%-2 %4
%endmacro
%macro if_ 3
 %push if
 cmp %1, %3
 j%-2 %$ifnot
%endmacro
%macro else_ 0
 %ifctx if
  %repl else
  jmp %$ifend
  %$ifnot:
 %else
  %error "expected if"
 %endif
%endmacro
%macro endif_ 0
 %ifctx if
  %$ifnot:
  %pop
 %elifctx else
  %$ifend:
  %pop
 %endif
%endmacro
%macro repeat_ 0
 %push repeat
 %$begin:
%endmacro
%macro until_ 3
 cmp %1, %3
 j%-2 %$begin
 %pop
%endmacro
%define u(x) __?utf16?__(x)
bits 64
section .text
global _start
_start:
 pop rcx
 repeat_
  pop rsi
  test rsi, rsi
  jz near .done
  if_ rcx, e, 1
   sys write, 1, "one", 3
  else_
   if_ rcx, a, 100
    sys exit, 5
   endif_
   sys write, 1, rsi, 4
  endif_
  dec rcx
 until_ rcx, e, 0
.done:
 sys 0
 sys exit, 0
hex: mov al, dil
 and al, 15
 cmp al, 10
 sbb al, 69h
 db 2fh
 ret
crc32: mov eax, -1
.l: xor al, [rsi]
 mov cl, 8
.b: shr eax, 1
 jnc .n
 xor eax, 0xedb88320
.n: dec cl
 jnz .b
 inc rsi
 dec edx
 jnz .l
 not eax
 ret
itoa: mov r8, 10
 lea r9, [buf + 20]
.d: xor edx, edx
 div r8
 add dl, '0'
 dec r9
 mov [r9], dl
 or rax, rax
 jne .d
 mov rdx, buf+20
 sub rdx, r9
 ret
section .data
%macro entry 2-*
 dd %%name
 db %0 - 1
 %rep %0 - 1
 %rotate 1
 db %1
 %endrep
 [section .rodata]
 %rotate 1
 %%name: db %str(%1), 0
 __?SECT?__
%endmacro
entry foo, 1, 2, 3
entry bar, 9
 %defstr verstr __?NASM_MAJOR?__.__?NASM_MINOR?__
 db verstr, %strlen(verstr), %substr(verstr, 1, 1), %eval(3*4)
 dw 'ab', "c", `\n`
 dd 1.5, -0.25, 3.0e8
 dq 3.14159, 'abcdefgh'
 db 10 dup (1, 2 dup (3)), %sel(2, 7, 8, 9)
 times ($$ - $) & 15 db 0xcc
section .bss
buf: resb 32
 resq 4
